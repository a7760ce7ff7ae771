"""Waiting in order: first come, first served, big or small, in tasks, threads and several event loops."""

import asyncio
import random
import threading
import time
from collections.abc import Callable

import pytest
from tests.support import virtual_time
from tests.support.retries import Clock

from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience import TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.token_bucket_limiter import _Waiter

Attempt = asyncio.Task[bool]


class Watched(TokenBucketLimiter):
    """Notes who was served, in order, at the moment of the take itself."""

    served: list[_Waiter | None]

    def _take(self, cost: float, waiter: _Waiter | None = None) -> bool:
        granted = super()._take(cost, waiter)
        if granted:
            self.__dict__.setdefault("served", []).append(waiter)
        return granted


def until(condition: Callable[[], bool]) -> None:
    """Let other threads go on until `condition` holds; the bound only keeps a broken test from hanging."""
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at, "never came true"
        time.sleep(0)


@pytest.mark.parametrize("seed", range(5))
def test_500_tasks_are_served_in_order_however_big_their_requests(seed: int) -> None:
    sizes = [random.Random(seed).choice([1, 1, 1, 2.5, 9, 10]) for _ in range(500)]

    async def main() -> None:
        limiter = TokenBucketLimiter(5, 10, clock=virtual_time.clock)
        served: list[tuple[int, float]] = []

        async def ask(number: int) -> None:
            assert await limiter.acquire_async(sizes[number])
            served.append((number, virtual_time.clock()))

        await asyncio.gather(*(ask(number) for number in range(500)))
        assert [number for number, _ in served] == list(range(500))
        taken = 0.0
        for number, at in served:
            taken += sizes[number]
            assert at == pytest.approx(max(0.0, (taken - 10) / 5))  # not a moment sooner or later
        assert not limiter._queue
        assert limiter._queued == 0.0

    virtual_time.run(main())


def test_small_requests_that_keep_coming_do_not_starve_a_big_one() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(10, 10, clock=virtual_time.clock)
        assert limiter.acquire(10)
        big = asyncio.ensure_future(limiter.acquire_async(10))
        await asyncio.sleep(0.05)
        small = [asyncio.ensure_future(limiter.acquire_async()) for _ in range(50)]
        for _ in range(19):
            assert not limiter.acquire()  # nor does anyone overtake who does not wait
            await asyncio.sleep(0.05)
        assert await big
        assert virtual_time.clock() == pytest.approx(1.0)
        assert not any(task.done() for task in small)
        assert all(await asyncio.gather(*small))
        assert virtual_time.clock() == pytest.approx(6.0)

    virtual_time.run(main())


def test_who_is_rejected_while_others_wait_is_told_a_time_behind_them() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(10, 10, clock=virtual_time.clock)
        assert limiter.acquire(10)
        waiting = [asyncio.ensure_future(limiter.acquire_async(5)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(InfraRateLimitedError) as caught:
            limiter.check_limit(3)
        assert caught.value.retry_after_seconds == pytest.approx(2.3)
        await asyncio.sleep(caught.value.retry_after_seconds)
        assert limiter.acquire(3)
        assert all(task.done() for task in waiting)

    virtual_time.run(main())


@pytest.mark.parametrize("cancelled", [[0], [2], [4], [0, 1], [1, 3], [0, 4], [0, 1, 2, 3, 4]], ids=str)
def test_a_cancelled_waiter_leaves_no_place_and_takes_nothing(cancelled: list[int]) -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(1, 5, clock=virtual_time.clock)
        assert limiter.acquire(5)
        tasks = [asyncio.ensure_future(limiter.acquire_async(2)) for _ in range(5)]
        await asyncio.sleep(0.5)
        for number in cancelled:
            tasks[number].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [
            asyncio.CancelledError if number in cancelled else bool for number in range(5)
        ]
        served = 5 - len(cancelled)
        assert virtual_time.clock() == pytest.approx(max(0.5, 2.0 * served))
        assert limiter.tokens == pytest.approx(virtual_time.clock() - 2 * served)
        assert not limiter._queue
        assert limiter._queued == 0.0

    virtual_time.run(main())


@pytest.mark.parametrize("seed", range(20))
def test_hundreds_of_waiters_cancelled_at_any_time_and_place_leave_the_rest_in_order(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice([1, 1, 2, 7.5, 10]) for _ in range(300)]
    rate, capacity = 20.0, 10.0

    async def main() -> None:
        limiter = TokenBucketLimiter(rate, capacity, clock=virtual_time.clock)
        loop = asyncio.get_running_loop()
        served: list[tuple[int, float]] = []
        left_at: dict[int, float] = {}

        async def ask(number: int) -> None:
            try:
                assert await limiter.acquire_async(sizes[number])
            except asyncio.CancelledError:
                left_at[number] = loop.time()
                raise
            served.append((number, loop.time()))

        tasks = [asyncio.ensure_future(ask(number)) for number in range(300)]
        for number in rng.sample(range(300), 150):
            loop.call_at(rng.choice([0.0, rng.uniform(0, 60)]), tasks[number].cancel)
        await asyncio.gather(*tasks, return_exceptions=True)

        assert [number for number, _ in served] == [n for n in range(300) if not tasks[n].cancelled()]
        assert 20 < len(served) < 290
        taken, turn = 0.0, 0.0
        for number, at in served:
            taken += sizes[number]
            # Whoever left was in the way until then.
            turn = max([turn, (taken - capacity) / rate, *(t for gone, t in left_at.items() if gone < number)])
            assert at == pytest.approx(turn, abs=1e-6)
        assert not limiter._queue
        assert limiter._queued == 0.0
        assert limiter._box[0] == pytest.approx(taken / rate, abs=1e-6) or taken / rate < loop.time()

    virtual_time.run(main())


def test_a_waiter_cancelled_when_it_already_has_its_turn_passes_it_on() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(1, 1, clock=virtual_time.clock)
        assert limiter.acquire()
        first, second, third = (asyncio.ensure_future(limiter.acquire_async()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)  # the turn is on its way to the second
        second.cancel()
        assert await third
        assert virtual_time.clock() == pytest.approx(1.0)
        assert first.cancelled()
        assert second.cancelled()

    virtual_time.run(main())


def test_a_cancelled_call_of_a_waiting_decorator_gets_out_unchanged_and_calls_nothing() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(1, 1, on_limit="wait", translate=True, clock=virtual_time.clock)
        calls = 0

        @limiter
        async def fetch() -> None:
            nonlocal calls
            calls += 1

        await fetch()
        task = asyncio.ensure_future(fetch())
        await asyncio.sleep(0.5)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert calls == 1
        assert limiter.tokens == pytest.approx(0.5)
        assert not limiter._queue

    virtual_time.run(main())


def test_timeouts_anywhere_in_the_queue_leave_the_rest_in_order() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(1, 3, clock=virtual_time.clock)
        assert limiter.acquire(3)
        ended: list[tuple[int, bool, float]] = []

        async def ask(number: int, tokens: float, timeout: float | None) -> None:
            granted = await limiter.acquire_async(tokens, timeout)
            ended.append((number, granted, virtual_time.clock()))

        # The third learns only when its turn comes that its time will not do; the fourth's runs out before.
        requests = [(2, None), (3, 5.5), (3, 7.5), (1, 4.0), (1, 6.0), (2, None)]
        await asyncio.gather(*(ask(number, *request) for number, request in enumerate(requests)))
        assert ended == [
            (0, True, 2.0),
            (3, False, 4.0),
            (1, True, 5.0),
            (2, False, 5.0),
            (4, True, 6.0),
            (5, True, 8.0),
        ]
        assert not limiter._queue
        assert limiter._queued == 0.0

    virtual_time.run(main())


def test_a_thread_whose_time_runs_out_in_the_queue_leaves_it() -> None:
    clock, go_on = Clock(), threading.Event()

    def nap(seconds: float) -> None:
        go_on.wait(20)
        clock.now += seconds

    limiter = TokenBucketLimiter(10, 10, clock=clock, sleep=nap)
    assert limiter.acquire(10)
    head = threading.Thread(target=limiter.wait, args=(10,))
    head.start()
    until(lambda: len(limiter._queue) == 1)
    clock.now = 0.5
    assert not limiter.wait(timeout=0)  # its own token is there, but it is not its turn
    assert len(limiter._queue) == 1
    assert limiter._queued == 1.0
    go_on.set()
    head.join(20)
    assert not limiter._queue


@pytest.mark.parametrize("seed", range(3))
def test_threads_are_served_in_order_however_big_their_requests(seed: int) -> None:
    sizes = [random.Random(seed).choice([1, 2, 10]) for _ in range(64)]
    clock, go_on = Clock(), threading.Event()

    def nap(seconds: float) -> None:
        go_on.wait(20)
        clock.now += seconds

    limiter = Watched(10, 10, clock=clock, sleep=nap)
    assert limiter.acquire(10)
    threads = [threading.Thread(target=limiter.wait, args=(size,)) for size in sizes]
    for number, thread in enumerate(threads):
        thread.start()
        until(lambda number=number: len(limiter._queue) == number + 1)
    in_line = list(limiter._queue)
    assert not limiter.acquire()
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert limiter.served == [None, *in_line]
    assert clock.now == pytest.approx(sum(sizes) / 10)
    assert not limiter._queue


def test_tasks_of_two_event_loops_and_threads_stand_in_one_line() -> None:
    naps, go_on = Clock(), threading.Event()
    loops = [virtual_time.VirtualTimeLoop(waits_for_threads=True) for _ in range(2)]

    def now() -> float:
        return naps.now + sum(loop.time() for loop in loops)  # only who is at the head of the line moves it

    def nap(seconds: float) -> None:
        go_on.wait(20)
        naps.now += seconds

    limiter = Watched(10, 10, clock=now, sleep=nap)
    assert limiter.acquire(10)
    runners = [threading.Thread(target=loop.run_forever) for loop in loops]
    threads: list[threading.Thread] = []
    answers = []
    for runner in runners:
        runner.start()
    for number in range(60):
        size = 1 + number % 7
        if number % 3:
            answers.append(asyncio.run_coroutine_threadsafe(limiter.acquire_async(size), loops[number % 3 - 1]))
        else:
            threads.append(threading.Thread(target=limiter.wait, args=(size,)))
            threads[-1].start()
        until(lambda number=number: len(limiter._queue) == number + 1)
    in_line = list(limiter._queue)
    assert {waiter.loop for waiter in in_line} == {None, *loops}
    go_on.set()
    assert all(answer.result(20) for answer in answers)
    for thread in threads:
        thread.join(20)
    for loop, runner in zip(loops, runners, strict=True):
        loop.call_soon_threadsafe(loop.stop)
        runner.join(20)
        loop.close()
    assert limiter.served == [None, *in_line]
    assert now() == pytest.approx(sum(1 + number % 7 for number in range(60)) / 10)
    assert not limiter._queue
