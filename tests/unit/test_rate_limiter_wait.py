"""Waiting by hand, one waiter at a time; who comes first is in tests/concurrency."""

import asyncio
import math
import threading

import pytest
from tests.support import virtual_time
from tests.support.retries import Clock

from omnibase_infra.infrastructure.resilience import TokenBucketLimiter


def bucket(rate: float = 2.0, capacity: float = 5.0, start: float = 0.0) -> tuple[TokenBucketLimiter, Clock]:
    clock = Clock(start)
    return TokenBucketLimiter(rate, capacity, clock=clock, sleep=clock.sleep), clock


def test_wait_returns_at_once_while_there_are_tokens() -> None:
    limiter, clock = bucket()
    assert limiter.wait(5)
    assert clock.waits == []
    assert limiter.tokens == 0.0


def test_wait_sleeps_exactly_until_the_tokens_are_there_and_takes_them() -> None:
    limiter, clock = bucket()
    assert limiter.wait(5)
    assert limiter.wait(3)
    assert clock.waits == [1.5]
    assert limiter.tokens == 0.0
    assert not limiter._queue


def test_wait_gives_up_at_once_when_its_timeout_cannot_be_enough_and_takes_nothing() -> None:
    limiter, clock = bucket()
    assert limiter.wait(5)
    assert not limiter.wait(2, timeout=0.99)
    assert not limiter.wait(timeout=0)
    assert clock.waits == []
    assert limiter.tokens == 0.0
    assert limiter.wait(2, timeout=1.0)
    assert clock.now == 1.0


def test_a_timeout_of_zero_takes_what_is_there() -> None:
    limiter, _ = bucket()
    assert limiter.wait(5, timeout=0)
    assert not limiter.wait(1, timeout=0)


@pytest.mark.parametrize("start", [0.0, 7.3, 1e5 + 0.1])
def test_a_timeout_of_exactly_the_time_it_takes_is_enough_however_floats_round(start: float) -> None:
    limiter, clock = bucket(rate=10, capacity=10, start=start)
    for _ in range(100):
        assert limiter.wait(10)
        assert limiter.wait(timeout=0.1)
        clock.now += 0.7


def test_a_sleep_that_ends_early_is_slept_again_and_a_late_end_costs_nothing() -> None:
    clock = Clock()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock.now += seconds / 2 if len(naps) == 1 else seconds + 0.25

    limiter = TokenBucketLimiter(1, 2, clock=clock, sleep=nap)
    assert limiter.wait(2)
    assert limiter.wait()
    assert naps == [1.0, 0.5]
    assert limiter.tokens == 0.25


def test_a_wait_whose_time_ran_out_in_its_sleep_ends_without_tokens() -> None:
    clock = Clock()

    def nap(seconds: float) -> None:
        clock.now += seconds
        limiter._box[0] += 10  # somebody else took in the meantime

    limiter = TokenBucketLimiter(2, 1, clock=clock, sleep=nap)
    assert limiter.wait()
    assert not limiter.wait(timeout=0.5)
    assert not limiter._queue


def test_an_interrupted_sleep_gives_the_place_back_and_takes_nothing() -> None:
    def nap(_: float) -> None:
        raise KeyboardInterrupt

    limiter = TokenBucketLimiter(1, 1, clock=Clock(), sleep=nap)
    assert limiter.wait()
    with pytest.raises(KeyboardInterrupt):
        limiter.wait()
    assert not limiter._queue
    assert limiter._queued == 0.0


@pytest.mark.parametrize("start", [1e7, 1.7e9, 1e12])
def test_waiting_ends_on_a_clock_too_coarse_to_show_the_rest(start: float) -> None:
    limiter, clock = bucket(rate=1e6, capacity=1, start=start)
    for _ in range(100):
        assert limiter.wait()
    assert len(clock.waits) <= 200


def test_a_wait_of_ages_is_slept_in_parts_that_the_system_can_count() -> None:
    limiter, clock = bucket(rate=1e-12, capacity=1)
    assert limiter.wait()
    assert limiter.wait()
    assert len(clock.waits) > 1
    assert max(clock.waits) < threading.TIMEOUT_MAX
    assert clock.now == pytest.approx(1e12)


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 10**400, threading.TIMEOUT_MAX])
def test_a_timeout_beyond_all_measure_is_none(timeout: float | None) -> None:
    limiter, clock = bucket()
    assert limiter.wait(5)
    assert limiter.wait(1, timeout=timeout)
    assert clock.waits == [0.5]

    async def main() -> bool:
        limiter = TokenBucketLimiter(2, 1, clock=virtual_time.clock)
        return await limiter.acquire_async() and await limiter.acquire_async(timeout=timeout)

    assert virtual_time.run(main())


def test_acquire_async_waits_exactly_until_the_tokens_are_there() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(2, 5, clock=virtual_time.clock)
        assert await limiter.acquire_async(5)
        assert virtual_time.clock() == 0
        assert await limiter.acquire_async(3)
        assert virtual_time.clock() == 1.5
        assert limiter.tokens == 0.0
        assert not limiter._queue

    virtual_time.run(main())


def test_acquire_async_gives_up_at_once_when_its_timeout_cannot_be_enough() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(2, 5, clock=virtual_time.clock)
        assert await limiter.acquire_async(5)
        assert not await limiter.acquire_async(2, timeout=0.99)
        assert not await limiter.acquire_async(timeout=0)
        assert virtual_time.clock() == 0
        assert await limiter.acquire_async(2, timeout=1.0)
        assert virtual_time.clock() == 1.0

    virtual_time.run(main())


def test_acquire_async_sleeps_again_when_the_tokens_are_not_there_yet() -> None:
    clock = Clock()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        limiter = TokenBucketLimiter(2, 1, clock=lambda: clock.now + loop.time() / 2)  # half as fast as the loop's
        assert await limiter.acquire_async()
        assert not await limiter.acquire_async(timeout=0.4)
        assert await limiter.acquire_async(timeout=0.5)
        assert loop.time() == pytest.approx(1.0)

    virtual_time.run(main())


def test_acquire_async_ends_without_tokens_when_its_time_ran_out_in_its_sleep() -> None:
    clock = Clock()

    async def main() -> None:
        limiter = TokenBucketLimiter(2, 1, clock=clock)
        assert await limiter.acquire_async()
        waiting = asyncio.ensure_future(limiter.acquire_async(timeout=0.5))
        await asyncio.sleep(0.1)
        limiter._box[0] += 10  # somebody else took in the meantime
        assert not await waiting
        assert not limiter._queue

    virtual_time.run(main())
