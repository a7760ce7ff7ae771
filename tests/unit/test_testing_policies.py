"""Policies of a process under test: led by the clock, as new in each run, switched off at will."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator

import pytest

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    AdaptiveThrottle,
    CredentialRefreshManager,
    Hedge,
    InfrastructureCircuitBreaker,
    RateLimiter,
    RetryBudget,
    StaleCache,
    TokenBucketLimiter,
    create_database_circuit_breaker,
    create_database_resilience,
    create_database_retry_policy,
    create_database_timeout,
    create_stale_cache,
)
from omnibase_infra.mixins import MixinAsyncCircuitBreaker
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelRetryBudgetConfig
from omnibase_infra.testing import clock, install, policies_disabled, recorded_events, reset_policies, run
from omnibase_infra.utils.util_ambient import set_ambient


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    before = set_ambient(None)
    install()
    yield
    set_ambient(before)


async def failing() -> None:
    raise ConnectionResetError


async def opened(breaker: InfrastructureCircuitBreaker) -> None:
    with pytest.raises(ConnectionResetError):
        await breaker.call(failing)


def test_a_policy_made_before_the_run_follows_its_clock():
    breaker = create_database_circuit_breaker(1, 60)
    limiter = TokenBucketLimiter(1, 2)

    @breaker
    @limiter
    async def query() -> None:
        if clock() < 10:
            raise ConnectionResetError

    async def main() -> None:
        await asyncio.sleep(5)
        with pytest.raises(ConnectionResetError):
            await query()
        await asyncio.sleep(59)
        with pytest.raises(InfraUnavailableError) as refused:
            await query()
        assert refused.value.retry_after_seconds == 1
        await asyncio.sleep(1)
        await query()
        await query()
        with pytest.raises(InfraRateLimitedError) as limited:
            await query()
        assert limited.value.retry_after_seconds == 1

    run(main())
    run(main())


def test_a_policy_with_a_clock_of_its_own_keeps_it():
    breaker = create_database_circuit_breaker(1, clock=lambda: 3.0)
    run(opened(breaker))
    run(asyncio.sleep(100))
    assert breaker.open_remaining == 60


def test_after_a_run_the_policies_go_on_in_real_time_from_where_it_ended():
    breaker = create_database_circuit_breaker(1, 60)

    async def main() -> None:
        await asyncio.sleep(1000)
        await opened(breaker)
        await asyncio.sleep(20)

    run(main())
    assert breaker.state is EnumCircuitState.OPEN
    assert 0 < breaker.open_remaining <= 40


def test_outside_a_run_real_time_passes():
    limiter = TokenBucketLimiter(100, 1)
    assert limiter.wait()
    began = time.monotonic()
    assert limiter.wait()
    assert time.monotonic() - began > 0.005


class Keyed:
    def __init__(self) -> None:
        self.breaker = create_database_circuit_breaker(1, key=lambda key: key)

    async def spend(self) -> None:
        @self.breaker
        async def query(key: str) -> None:
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await query("a")

    def spent(self) -> bool:
        return self.breaker.for_key("a").opened


class Breaker:
    def __init__(self) -> None:
        self.breaker = create_database_circuit_breaker(1)

    async def spend(self) -> None:
        await opened(self.breaker)

    def spent(self) -> bool:
        return self.breaker.opened


class Windowed(Breaker):
    def __init__(self) -> None:
        config = ModelCircuitBreakerConfig(failure_threshold=9, failure_rate=0.5, minimum_calls=2, window=10)
        self.breaker = InfrastructureCircuitBreaker(config)

    async def spend(self) -> None:
        await opened(self.breaker)
        await opened(self.breaker)


class Mixed(MixinAsyncCircuitBreaker):
    def __init__(self) -> None:
        self._init_circuit_breaker(1, 60, "mixed")

    async def spend(self) -> None:
        async with self._circuit_breaker_lock:
            await self._record_circuit_failure("spend")

    def spent(self) -> bool:
        return self._circuit_breaker_open


class Bucket:
    def __init__(self) -> None:
        self.limiter = TokenBucketLimiter(0.001, 1)

    async def spend(self) -> None:
        assert self.limiter.acquire()

    def spent(self) -> bool:
        return self.limiter.tokens < 1


class Buckets:
    def __init__(self) -> None:
        self.limiter = RateLimiter()

    async def spend(self) -> None:
        assert self.limiter.acquire("key", 0.001, 1)

    def spent(self) -> bool:
        return len(self.limiter) > 0


class Budget:
    def __init__(self) -> None:
        self.budget = RetryBudget(ModelRetryBudgetConfig(ratio=0, min_per_second=0.01, window=100))

    async def spend(self) -> None:
        assert self.budget.spend()

    def spent(self) -> bool:
        return self.budget.granted > 0 or self.budget.balance < 1


class Throttle:
    def __init__(self) -> None:
        self.throttle = AdaptiveThrottle(1, 100, 0)

    async def spend(self) -> None:
        with pytest.raises(ConnectionResetError):
            await self.throttle.call(failing)

    def spent(self) -> bool:
        return self.throttle.requests > 0


class Hedged:
    def __init__(self) -> None:
        self.hedge = Hedge(1, 0.5, idempotent=True, minimum_calls=1)

    async def spend(self) -> None:
        await self.hedge.call(asyncio.sleep, 0.5)
        await self.hedge.call(asyncio.sleep, 0.7)

    def spent(self) -> bool:
        return self.hedge.current_delay != 1 or self.hedge.hedged > 0


class Cache:
    def __init__(self) -> None:
        self.cache: StaleCache = create_stale_cache()

    async def spend(self) -> None:
        await self.cache.call(asyncio.sleep, 1)

    def spent(self) -> bool:
        return self.cache.entries > 0


class Credentials:
    def __init__(self) -> None:
        self.asked = 0
        self.manager = CredentialRefreshManager(self)

    def refresh_credential(self) -> dict[str, object]:
        self.asked += 1
        return {"credential": "c", "ttl_seconds": 3600}

    async def spend(self) -> None:
        before = self.asked
        self.manager.get_valid_credential()
        assert self.asked == before + 1

    def spent(self) -> bool:
        return self.manager._held is not None


@pytest.mark.parametrize(
    "kind",
    [Breaker, Windowed, Keyed, Mixed, Bucket, Buckets, Budget, Throttle, Hedged, Cache, Credentials],
)
def test_each_run_begins_with_policies_that_are_as_new(kind: type[Breaker], caplog: pytest.LogCaptureFixture):
    subject = kind()

    async def main() -> None:
        assert not subject.spent()
        await asyncio.sleep(500)
        await subject.spend()
        assert subject.spent()

    run(main())
    assert subject.spent()
    caplog.clear()
    with recorded_events() as events, caplog.at_level(logging.DEBUG):
        reset_policies()
    assert not subject.spent()
    assert events == []
    assert caplog.messages == []
    run(main())
    run(main())


def refuse() -> None:
    raise ConnectionResetError


async def refuse_async() -> None:
    raise ConnectionResetError


def refuse_items() -> Generator[int]:
    yield from ()
    raise ConnectionResetError


async def refuse_items_async() -> AsyncGenerator[int]:
    for item in ():
        yield item
    raise ConnectionResetError


async def outcome(fn: Callable[[], object]) -> BaseException | None:
    try:
        result = fn()
        if inspect.isawaitable(result):
            await result
        elif inspect.isgenerator(result):
            list(result)
        elif inspect.isasyncgen(result):
            async for _ in result:
                pass
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("fn", [refuse, refuse_async, refuse_items, refuse_items_async])
@pytest.mark.parametrize(
    "make",
    [
        lambda: create_database_circuit_breaker(1),
        lambda: create_database_circuit_breaker(1, name="known"),
        lambda: create_database_retry_policy(2, 1, 1),
        create_database_resilience,
        lambda: TokenBucketLimiter(0.001, 1),
    ],
)
def test_a_disabled_policy_lets_each_call_pass_and_sees_nothing_of_it(
    make: Callable[[], Callable[..., Callable[[], object]]], fn: Callable[[], object]
):
    policy = make()
    guarded = policy(fn)
    assert inspect.iscoroutinefunction(guarded) == inspect.iscoroutinefunction(fn)
    assert inspect.isasyncgenfunction(guarded) == inspect.isasyncgenfunction(fn)
    assert inspect.isgeneratorfunction(guarded) == inspect.isgeneratorfunction(fn)

    async def main() -> None:
        with recorded_events() as events, policies_disabled():
            for _ in range(20):
                assert type(await outcome(guarded)) is ConnectionResetError
                assert type(await outcome(lambda: policy.call(fn))) is ConnectionResetError
        assert events == []
        assert clock() == 0
        errors = [await outcome(guarded) for _ in range(8)]
        assert {type(error) for error in errors} != {ConnectionResetError}

    run(main())


def test_a_disabled_timeout_does_not_end_a_call():
    @create_database_timeout(1)
    async def slow() -> float:
        await asyncio.sleep(10)
        return clock()

    async def main() -> None:
        with policies_disabled():
            with policies_disabled():
                pass
            assert await slow() == 10
        with pytest.raises(TimeoutError):
            await slow()

    run(main())


def test_in_production_a_policy_binds_the_real_clock_and_the_function_itself():
    set_ambient(None)
    limiter = TokenBucketLimiter(1, 1)
    assert limiter._clock is time.monotonic
    assert limiter._sleep is time.sleep
    budget = RetryBudget()
    assert budget._clock is time.monotonic
    breaker = create_database_circuit_breaker()
    assert breaker._clock is time.monotonic
    wrapper = breaker(refuse_async)
    assert wrapper.__code__.co_filename.endswith("circuit_breaker_factory.py")
    with policies_disabled():
        assert isinstance(asyncio.run(outcome(limiter(refuse))), ConnectionResetError)
        assert isinstance(asyncio.run(outcome(limiter(refuse))), InfraRateLimitedError)
