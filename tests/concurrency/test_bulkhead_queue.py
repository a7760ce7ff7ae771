"""Who gets a place when: in order over tasks, loops and threads; nothing lost to cancellations or closed loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
import time
from collections.abc import Callable

import pytest
from tests.support import virtual_time

from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import Bulkhead
from omnibase_infra.infrastructure.resilience.bulkhead import _Waiter


def assert_free(bulkhead: Bulkhead) -> None:
    assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)
    assert not bulkhead._called


def until(condition: Callable[[], bool]) -> None:
    """Let other threads go on until `condition` holds; the bound only keeps a broken test from hanging."""
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at, "never came true"
        time.sleep(0)


def test_500_tasks_are_served_in_the_order_of_their_arrival() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(3, 500, 3600)
        begun: list[int] = []

        @bulkhead
        async def fetch(number: int) -> None:
            begun.append(number)
            assert bulkhead.in_flight <= 3
            await asyncio.sleep(1)

        await asyncio.gather(*(fetch(number) for number in range(500)))
        assert begun == list(range(500))
        assert not [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]
        assert virtual_time.clock() == 167
        assert_free(bulkhead)

    virtual_time.run(main())


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 5, 60)
        order: list[str] = []

        @bulkhead
        async def fetch(name: str) -> None:
            order.append(name)
            await asyncio.sleep(1)

        tasks = [asyncio.ensure_future(fetch(name)) for name in "ab"]
        await tasks[0]  # the place is on its way to the second
        assert not bulkhead.take_place()
        await asyncio.gather(tasks[1], fetch("c"))
        assert order == ["a", "b", "c"]

    virtual_time.run(main())


def test_a_place_that_another_thread_is_giving_back_goes_to_who_waits() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 5, 60)
        order: list[str] = []

        @bulkhead
        async def fetch(name: str) -> None:
            order.append(name)
            await asyncio.sleep(1)

        assert bulkhead.take_place()
        waiting = asyncio.ensure_future(fetch("first"))
        await asyncio.sleep(0)
        bulkhead._places.append(True)  # the other thread has not called the next one yet
        assert not bulkhead.take_place()
        await asyncio.gather(fetch("second"), waiting)
        assert order == ["first", "second"]
        assert_free(bulkhead)

    virtual_time.run(main())


@pytest.mark.parametrize("seed", range(30))
def test_hundreds_of_calls_cancelled_at_any_time_and_place_lose_nothing(seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        bulkhead = Bulkhead(rng.randint(1, 5), rng.randint(0, 60), rng.choice([0.5, 3, 60]))
        loop = asyncio.get_running_loop()
        running = 0

        @bulkhead
        async def fetch(seconds: float) -> None:
            nonlocal running
            running += 1
            assert running <= bulkhead.max_concurrent
            try:
                await asyncio.sleep(seconds)
            finally:
                running -= 1

        async def late(begins: float, seconds: float) -> None:
            await asyncio.sleep(begins)
            await fetch(seconds)

        grid = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
        tasks = [loop.create_task(late(rng.choice(grid), rng.choice(grid))) for _ in range(300)]
        for task in rng.sample(tasks, 150):
            loop.call_at(rng.choice(grid) + rng.choice(grid), task.cancel)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {type(None), asyncio.CancelledError, InfraUnavailableError}
        assert_free(bulkhead)

    virtual_time.run(main())


@pytest.mark.parametrize("turns", range(4))
def test_a_waiter_cancelled_around_its_turn_passes_it_on(turns: int) -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 5, 60)
        assert bulkhead.take_place()
        second, third = (asyncio.ensure_future(bulkhead.call(asyncio.sleep, 0)) for _ in range(2))
        await asyncio.sleep(1)
        bulkhead.give_back()
        for _ in range(turns):
            await asyncio.sleep(0)
        second.cancel()
        await third
        assert second.cancelled() or turns > 1
        assert_free(bulkhead)

    virtual_time.run(main())


def test_a_place_that_comes_as_the_wait_ends_is_taken_not_lost() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 5, 2)

        async def hold() -> None:
            with bulkhead:
                await asyncio.sleep(2)

        holding = asyncio.ensure_future(hold())
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(bulkhead.call(asyncio.sleep, 0)) for _ in range(3)]
        await asyncio.gather(*waiting, return_exceptions=True)
        await holding
        assert_free(bulkhead)

    virtual_time.run(main())


def test_threads_and_event_loops_wait_in_one_queue() -> None:
    bulkhead = Bulkhead(1, 10, 60)
    order: list[int] = []

    @bulkhead
    def plain(number: int) -> None:
        order.append(number)

    @bulkhead
    async def coroutine(number: int) -> None:
        order.append(number)

    threads = []
    assert bulkhead.take_place()
    for number in range(8):
        target = (lambda n=number: plain(n)) if number % 2 else (lambda n=number: asyncio.run(coroutine(n)))
        threads.append(threading.Thread(target=target))
        threads[-1].start()
        until(lambda n=number: bulkhead.waiting == n + 1)
    bulkhead.give_back()
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert_free(bulkhead)


def test_many_threads_never_share_a_place_nor_lose_one() -> None:
    bulkhead = Bulkhead(3, 100, 60)
    lock = threading.Lock()
    running, most, done = 0, 0, 0

    def work() -> None:
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0)
        with lock:
            running -= 1
            done += 1

    @bulkhead
    def plain() -> None:
        work()

    @bulkhead
    async def coroutine() -> None:
        work()
        await asyncio.sleep(0)

    async def several() -> None:
        for _ in range(50):
            await asyncio.gather(*(coroutine() for _ in range(4)))

    def repeated() -> None:
        for _ in range(200):
            plain()

    threads = [threading.Thread(target=repeated) for _ in range(6)]
    threads += [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == 6 * 200 + 3 * 200
    assert most <= 3
    assert_free(bulkhead)


# Event loops that are closed under those who wait


def abandoned(bulkhead: Bulkhead, calls: int) -> tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]]]:
    """A loop whose tasks wait for a place, and that is not run any more."""
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(bulkhead.call(asyncio.sleep, 0)) for _ in range(calls)]
    for task in tasks:
        task._log_destroy_pending = False
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    return loop, tasks


def test_waiters_of_a_closed_loop_are_passed_over() -> None:
    bulkhead = Bulkhead(1, 3, 60)
    assert bulkhead.take_place()
    loop, tasks = abandoned(bulkhead, 2)
    loop.close()
    waiting = threading.Thread(target=bulkhead.call, args=(lambda: None,))
    waiting.start()
    until(lambda: bulkhead.waiting == 1)  # the two were seen to be gone
    bulkhead.give_back()
    waiting.join()
    assert_free(bulkhead)
    assert not any(task.done() for task in tasks)


def test_a_queue_that_is_full_of_waiters_of_a_closed_loop_has_room() -> None:
    bulkhead = Bulkhead(1, 2, 60)
    assert bulkhead.take_place()
    loop, tasks = abandoned(bulkhead, 2)
    loop.close()
    waiting = threading.Thread(target=bulkhead.call, args=(lambda: None,))
    waiting.start()
    until(lambda: bulkhead.waiting == 1)
    bulkhead.give_back()
    waiting.join()
    assert_free(bulkhead)
    assert not any(task.done() for task in tasks)


def test_a_place_that_is_given_back_to_waiters_of_a_closed_loop_only_is_free() -> None:
    bulkhead = Bulkhead(1, 3, 60)
    assert bulkhead.take_place()
    loop, tasks = abandoned(bulkhead, 2)
    loop.close()
    bulkhead.give_back()
    assert_free(bulkhead)
    assert not any(task.done() for task in tasks)


def test_a_waiter_that_leaves_as_it_is_called_does_not_keep_the_place() -> None:
    bulkhead = Bulkhead(1, 3, 60)
    assert bulkhead.take_place()
    waiter = _Waiter(lambda: None)
    bulkhead._queue[waiter] = None
    waiter.has_left = True  # the garbage collector closed it between two steps of the call
    bulkhead.give_back()
    assert_free(bulkhead)


def test_a_place_handed_to_a_waiter_whose_loop_is_then_closed_is_not_lost() -> None:
    bulkhead = Bulkhead(1, 3, 60)
    assert bulkhead.take_place()
    loop, tasks = abandoned(bulkhead, 1)
    bulkhead.give_back()
    assert bulkhead.in_flight == 1
    loop.close()
    bulkhead.call(lambda: None)
    assert_free(bulkhead)
    del tasks
    gc.collect()  # closes the coroutine, which must not give back what it no longer has
    assert_free(bulkhead)


def test_a_waiter_finds_a_place_lost_after_it_queued_up_when_its_wait_ends() -> None:
    async def main() -> None:
        assert bulkhead.take_place()
        thread = threading.Thread(target=lambda: made.append(abandoned(bulkhead, 1)))
        thread.start()
        thread.join()
        ((loop, tasks),) = made
        waiting = asyncio.ensure_future(bulkhead.call(asyncio.sleep, 0))
        await asyncio.sleep(1)
        bulkhead.give_back()
        loop.close()
        await waiting
        assert virtual_time.clock() == 5
        assert_free(bulkhead)
        assert not tasks[0].done()

    bulkhead = Bulkhead(1, 3, 5)
    made: list[tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]]]] = []
    virtual_time.run(main())


@pytest.mark.parametrize("in_the_lock", [False, True])
def test_the_place_of_a_call_that_becomes_garbage_comes_back(in_the_lock: bool) -> None:
    bulkhead = Bulkhead(1, 3, 60)
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(bulkhead.call(asyncio.sleep, 3600))]
    tasks[0]._log_destroy_pending = False
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert bulkhead.in_flight == 1
    waiting = threading.Thread(target=bulkhead.call, args=(lambda: None,))
    waiting.start()
    until(lambda: bulkhead.waiting == 1)
    del tasks, loop
    with bulkhead._lock if in_the_lock else contextlib.nullcontext():
        gc.collect()
    waiting.join()
    assert_free(bulkhead)
