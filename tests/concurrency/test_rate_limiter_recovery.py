"""A thread that dies with the bucket's float in its hands, and event loops that are closed on their waiters."""

import asyncio
import gc
from types import SimpleNamespace

import pytest
from tests.support import virtual_time
from tests.support.retries import Clock

from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience import TokenBucketLimiter, token_bucket_limiter


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_bucket_limiter, "_LOST_AFTER", 0)


def test_a_float_that_is_away_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = TokenBucketLimiter(1, 5, clock=Clock())
    box = limiter._box
    away = box.pop()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 900:
            box.append(away)

    monkeypatch.setattr(token_bucket_limiter, "time", SimpleNamespace(sleep=nap))
    assert limiter.acquire(5)
    assert limiter._box is box
    assert not limiter.acquire()
    assert naps[0] == 0
    assert naps[-1] > 0


def test_the_bucket_that_replaces_a_lost_one_is_waited_for_as_patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = TokenBucketLimiter(1, 5, clock=Clock())
    limiter._box.pop()
    boxes = [limiter._box]

    def nap(_: float) -> None:
        if limiter._box is not boxes[-1]:
            boxes.append(limiter._box)
            limiter._box.append(5.0)

    class Replaced:
        """Another thread is first to take the new bucket's float."""

        def __enter__(self) -> None: ...

        def __exit__(self, *exc: object) -> None:
            limiter._box.pop()

    monkeypatch.setattr(token_bucket_limiter, "time", SimpleNamespace(sleep=nap))
    limiter._queue_lock = Replaced()
    assert limiter.tokens == 0.0
    assert len(boxes) == 2


def test_a_bucket_whose_float_is_lost_begins_again_without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    clock = Clock(10.0)
    limiter = TokenBucketLimiter(2, 5, clock=clock)
    clock.now += 3.0
    limiter._box.pop()
    assert not limiter.acquire()
    assert limiter.tokens == 0.0
    clock.now += 0.5
    assert limiter.acquire()
    assert not limiter.acquire()


def test_a_decorated_call_recovers_a_lost_float_too(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    clock = Clock()
    limiter = TokenBucketLimiter(2, 5, clock=clock)

    @limiter
    async def fetch() -> str:
        return "row"

    limiter._box.pop()
    with pytest.raises(InfraRateLimitedError) as caught:
        asyncio.run(fetch())
    clock.now += caught.value.retry_after_seconds
    assert asyncio.run(fetch()) == "row"


def test_an_owner_who_comes_back_late_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    clock = Clock()
    limiter = TokenBucketLimiter(2, 5, clock=clock)
    box = limiter._box
    full_at = box.pop()
    assert not limiter.acquire()
    box.append(full_at)  # a full bucket, by the late owner's reckoning
    assert not limiter.acquire()
    assert limiter.tokens == 0.0
    clock.now += 2.5
    assert [limiter.acquire() for _ in range(6)] == [True] * 5 + [False]


def test_two_callers_who_find_the_float_lost_make_one_new_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    limiter = TokenBucketLimiter(2, 5, clock=Clock())
    limiter._box.pop()
    lock = limiter._queue_lock

    class Overtaken:
        def __enter__(self) -> None:
            limiter._queue_lock = lock
            limiter._box = [1.0]  # somebody else was first

        def __exit__(self, *exc: object) -> None: ...

    limiter._queue_lock = Overtaken()
    assert limiter.tokens == 3.0


class Abandoned:
    """A loop with tasks that wait for `limiter`, which will be closed without a word."""

    def __init__(self, limiter: TokenBucketLimiter, waiters: int = 1) -> None:
        self.loop = virtual_time.VirtualTimeLoop()
        self.tasks = [self.loop.create_task(limiter.acquire_async()) for _ in range(waiters)]
        self.loop.run_until_complete(asyncio.sleep(0))
        assert len(limiter._queue) == waiters
        for task in self.tasks:
            task._log_destroy_pending = False

    def close(self) -> None:
        self.loop.close()

    def forget(self) -> None:
        """Let go of the tasks, as most programs do."""
        self.tasks.clear()
        gc.collect()


@pytest.fixture
def drained() -> tuple[TokenBucketLimiter, Clock]:
    clock = Clock()
    limiter = TokenBucketLimiter(1, 2, clock=clock, sleep=clock.sleep)
    assert limiter.acquire(2)
    return limiter, clock


@pytest.mark.parametrize("waiters", [1, 3])
def test_waiters_whose_loop_was_closed_block_nobody(drained: tuple[TokenBucketLimiter, Clock], waiters: int) -> None:
    limiter, clock = drained

    @limiter
    async def fetch() -> str:
        return "row"

    @limiter
    def read() -> str:
        return "row"

    for ask in (limiter.acquire, limiter.wait, lambda: asyncio.run(fetch()), read):
        abandoned = Abandoned(limiter, waiters)
        abandoned.close()
        clock.now += 1
        assert ask()
        assert not limiter._queue
        assert limiter._queued == 0.0
        assert limiter.tokens == 0.0


@pytest.mark.parametrize("found_by", ["the garbage collector", "the next caller"])
def test_who_waits_behind_a_closed_loop_is_served(drained: tuple[TokenBucketLimiter, Clock], found_by: str) -> None:
    limiter, clock = drained
    abandoned = Abandoned(limiter, 2)

    async def main() -> None:
        behind = asyncio.ensure_future(limiter.acquire_async())
        await asyncio.sleep(0)
        assert len(limiter._queue) == 3
        clock.now += 1
        abandoned.close()
        if found_by == "the garbage collector":
            abandoned.forget()
        else:
            assert not limiter.acquire()
        assert await behind
        assert limiter.tokens == 0.0

    virtual_time.run(main(), waits_for_threads=True)
    assert not limiter._queue
    assert limiter._queued == 0.0


def test_a_waiter_passed_over_does_no_harm_when_its_coroutine_is_closed_later(
    drained: tuple[TokenBucketLimiter, Clock],
) -> None:
    limiter, clock = drained
    abandoned = Abandoned(limiter, 3)
    abandoned.close()
    clock.now += 1
    assert limiter.acquire()
    abandoned.forget()
    assert not limiter._queue
    assert limiter._queued == 0.0
    clock.now += 1
    assert limiter.acquire()


def test_a_collection_while_the_queue_is_locked_does_not_lock_up(drained: tuple[TokenBucketLimiter, Clock]) -> None:
    limiter, clock = drained
    waiting = limiter.acquire_async()

    async def begin() -> None:
        waiting.send(None)

    asyncio.run(begin())
    assert limiter._queue
    with limiter._queue_lock:
        waiting.close()  # what the collector does, wherever it happens to run
    assert not limiter._queue
    clock.now += 1
    assert limiter.acquire()
