"""Buckets under threads: never a token too many, whoever asks and however."""

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator

import pytest
from tests.support.retries import Clock

from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience import RateLimiter, TokenBucketLimiter

THREADS = 64


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(ask: Callable[[int], bool], times: int) -> int:
    """How often `ask` was granted, over all threads."""
    start = threading.Barrier(THREADS)
    granted = [0] * THREADS
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            start.wait(10)
            granted[number] = sum(ask(number) for _ in range(times))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    return sum(granted)


def finishes(call: Coroutine[object, None, bool]) -> bool:
    """Run a coroutine that does not suspend; False when it was rejected."""
    try:
        call.send(None)
    except StopIteration:
        return True
    except InfraRateLimitedError:
        return False
    raise AssertionError("the call waited")


def test_64_threads_are_granted_exactly_the_capacity_of_a_frozen_bucket() -> None:
    limiter = TokenBucketLimiter(1, 3_001, clock=Clock())
    assert in_threads(lambda _: limiter.acquire(), 100) == 3_001
    assert limiter.tokens == 0.0


def test_every_face_of_a_limiter_draws_on_the_same_bucket_under_threads() -> None:
    limiter = TokenBucketLimiter(1, 2_003, clock=Clock())

    @limiter
    async def fetch() -> bool:
        return True

    @limiter
    def read() -> bool:
        return True

    def ask(number: int) -> bool:
        match number % 4:
            case 0:
                return finishes(fetch())
            case 1:
                return limiter.acquire()
            case 2:
                return limiter.wait(timeout=0)
            case _:
                try:
                    return read()
                except InfraRateLimitedError:
                    return False

    assert in_threads(ask, 100) == 2_003
    assert limiter.tokens == 0.0
    assert not limiter._queue


def test_threads_are_never_granted_more_than_capacity_and_rate_times_time() -> None:
    ticks = itertools.count()
    limiter = TokenBucketLimiter(50, 100, clock=lambda: next(ticks) / 1_000)
    granted = in_threads(lambda _: limiter.acquire(), 100)
    assert 100 < granted <= 100 + 50 * next(ticks) / 1_000


def test_threads_that_read_the_tokens_neither_lose_nor_make_any() -> None:
    limiter = TokenBucketLimiter(1, 1_000, clock=Clock())
    assert in_threads(lambda number: limiter.acquire() if number % 2 else limiter.tokens < 0, 50) == 1_000


def test_64_threads_are_granted_exactly_the_capacity_of_every_key() -> None:
    limiter = RateLimiter(max_keys=4_096, clock=Clock())
    keys = itertools.cycle(range(7))
    assert in_threads(lambda _: limiter.acquire(next(keys), 1, 101), 50) == 7 * 101


def test_sweeping_under_threads_drops_no_bucket_that_is_in_use() -> None:
    clock = Clock()
    limiter = RateLimiter(max_keys=8_192, clock=clock)
    numbers = itertools.count()

    def ask(_: int) -> bool:
        clock.now += 0.01  # keys come, fill up and go all the while
        limiter.acquire(f"passer-by {next(numbers)}", 100, 2)
        return limiter.acquire("limited", 1e-9, 500)

    assert in_threads(ask, 50) == 500
    assert len(limiter) <= 8_192


def test_500_tasks_share_one_bucket_exactly() -> None:
    limiter = TokenBucketLimiter(1, 123, clock=Clock())
    running = 0

    @limiter
    async def fetch() -> int:
        nonlocal running
        running += 1
        await asyncio.sleep(0)
        return running

    async def main() -> list[int | BaseException]:
        return await asyncio.gather(*(fetch() for _ in range(500)), return_exceptions=True)

    answers = asyncio.run(main())
    assert sum(isinstance(answer, InfraRateLimitedError) for answer in answers) == 500 - 123
    assert sum(isinstance(answer, int) for answer in answers) == running == 123
