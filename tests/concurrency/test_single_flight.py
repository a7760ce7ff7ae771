"""One call for each key at a time: shared by all who ask, taken down only with the last of them."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.flights import Gate, in_threads
from tests.support.garbage import garbage_of, garbage_of_async
from tests.support.virtual_time import clock, run

from omnibase_infra.infrastructure.resilience import create_stale_cache
from omnibase_infra.infrastructure.resilience.single_flight import Landed, SingleFlight
from omnibase_infra.utils import CorrelationContext, get_correlation_id


class Work:
    """Takes a second; counts how often it began and how often it was under way at a time."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = self.running = self.most = self.cancelled = 0
        self.error = error

    async def __call__(self) -> int:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(1)
            if self.error is not None:
                raise self.error
            return self.begun
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


# Tasks


def test_hundreds_of_tasks_share_one_call():
    async def main() -> None:
        flights, work = SingleFlight[int](), Work()
        landed = await asyncio.gather(*(flights.join_async("key", work) for _ in range(300)))
        assert {each.result() for each in landed} == {1}
        assert clock() == 1
        assert (await flights.join_async("key", work)).result() == 2

    run(main())


def test_other_keys_are_other_calls():
    async def main() -> None:
        flights, work = SingleFlight[int](), Work()
        await asyncio.gather(*(flights.join_async(key, work) for key in range(5)))
        assert (work.begun, clock()) == (5, 1)

    run(main())


def test_a_failure_reaches_all_and_its_traceback_does_not_grow():
    async def main() -> None:
        flights, work = SingleFlight[int](), Work(ConnectionError("gone"))

        async def ask() -> int:
            with pytest.raises(ConnectionError) as caught:
                (await flights.join_async("key", work)).result()
            return len(traceback.extract_tb(caught.value.__traceback__))

        depths = await asyncio.gather(*(ask() for _ in range(50)))
        assert len(set(depths)) == 1
        assert work.begun == 1

    run(main())


@pytest.mark.parametrize("who", ["the first", "another", "all but one"])
def test_a_cancelled_caller_leaves_the_others_their_call(who):
    async def main() -> None:
        flights, work = SingleFlight[int](), Work()
        tasks = [asyncio.create_task(flights.join_async("key", work)) for _ in range(5)]
        await asyncio.sleep(0.5)
        for task in {"the first": tasks[:1], "another": tasks[2:3], "all but one": tasks[:-1]}[who]:
            task.cancel("by its caller")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results.count(Landed(1, None)) == sum(not task.cancelled() for task in tasks)
        assert (work.begun, work.cancelled, clock()) == (1, 0, 1)

    run(main())


def test_the_last_caller_takes_the_call_down_and_waits_for_its_end():
    async def main() -> None:
        flights = SingleFlight[None]()
        ended: list[float] = []

        async def slow_to_end() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(2)
                ended.append(clock())

        tasks = [asyncio.create_task(flights.join_async("key", slow_to_end)) for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel("by its caller")
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert (ended, clock()) == ([3], 3)
        assert others() == set()

    run(main())


def test_who_comes_while_the_call_is_taken_down_begins_a_new_one():
    async def main() -> None:
        flights = SingleFlight[str]()

        async def slow_to_end() -> str:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(2)
            return ""

        async def quick() -> str:
            await asyncio.sleep(4)
            return "new"

        first = asyncio.create_task(flights.join_async("key", slow_to_end))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        assert not first.done()
        both = asyncio.gather(flights.join_async("key", quick), flights.join_async("key", quick))
        await asyncio.sleep(3)  # the first one has ended meanwhile
        third = await flights.join_async("key", quick)
        assert [each.result() for each in (*await both, third)] == ["new"] * 3
        assert clock() == 6

    run(main())


def test_a_call_that_is_cancelled_from_within_cancels_those_who_wait():
    async def main() -> None:
        async def cancelled() -> None:
            await asyncio.sleep(1)
            raise asyncio.CancelledError

        flights = SingleFlight[None]()
        ended = await asyncio.gather(*(flights.join_async(1, cancelled) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 3

    run(main())


def test_the_call_has_the_context_of_who_began_it():
    async def main() -> None:
        flights = SingleFlight[object]()

        async def look() -> object:
            await asyncio.sleep(1)
            return get_correlation_id()

        async def ask() -> tuple[object, object]:
            with CorrelationContext() as own:
                return own, (await flights.join_async("key", look)).result()

        answers = await asyncio.gather(ask(), ask())
        assert [seen for _, seen in answers] == [answers[0][0]] * 2

    run(main())


def test_a_call_that_asks_for_its_own_outcome_is_refused_in_place_of_a_deadlock():
    flights = SingleFlight[object]()

    async def again() -> object:
        return (await flights.join_async("key", again)).result()

    async def main() -> None:
        landed = await flights.join_async("key", again)
        assert isinstance(landed.error, RuntimeError)

    run(main())

    def again_in_a_thread() -> object:
        return flights.join("key", again_in_a_thread).result()

    assert isinstance(flights.join("key", again_in_a_thread).error, RuntimeError)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_cancelled_one_call_runs_at_a_time_and_nothing_is_left(seed):
    rng = random.Random(seed)

    async def main() -> None:
        flights, work = SingleFlight[int](), Work(ConnectionError() if seed % 3 == 0 else None)
        answered = 0

        async def ask() -> None:
            nonlocal answered
            await asyncio.sleep(rng.random() * 5)
            await flights.join_async("key", work)
            answered += 1

        tasks = [asyncio.create_task(ask()) for _ in range(100)]
        doomed = [task for task in tasks if rng.random() < 0.6]
        for task in doomed:
            asyncio.get_running_loop().call_later(rng.random() * 6, task.cancel)
        await asyncio.wait(tasks)
        assert work.most == 1
        assert work.running == 0
        assert answered == sum(not task.cancelled() for task in tasks)
        assert others() == set()
        assert not flights._flights_here()

    run(main())


# Event loops


def test_each_event_loop_has_its_own_call_and_a_closed_one_is_let_go():
    flights, work = SingleFlight[int](), Work()
    abandoned = asyncio.new_event_loop()
    gone = weakref.ref(abandoned)

    async def begin() -> asyncio.Task[Landed[int]]:
        task = asyncio.create_task(flights.join_async("key", work))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    task = abandoned.run_until_complete(begin())
    waiting = list(asyncio.all_tasks(abandoned))
    for each in (task, *waiting):
        each._log_destroy_pending = False
    del each, waiting
    abandoned.close()
    del abandoned

    async def main() -> int:
        return (await flights.join_async("key", work)).result()

    assert run(main()) == 2
    del task
    gc.collect()
    assert gone() is None


def test_loops_in_several_threads_never_share_a_future():
    cache = create_stale_cache(ttl=0, max_stale=0)
    together = threading.Barrier(4)
    ran_on: list[asyncio.AbstractEventLoop] = []

    @cache
    async def fetch() -> str:
        ran_on.append(asyncio.get_running_loop())
        await asyncio.sleep(0.01)
        return "row"

    async def main() -> list[str]:
        together.wait()
        return await asyncio.gather(*(fetch() for _ in range(20)))

    with ThreadPoolExecutor(4) as pool:
        results = [each.result() for each in [pool.submit(asyncio.run, main()) for _ in range(4)]]
    assert results == [["row"] * 20] * 4
    assert len(ran_on) == len(set(ran_on)) == 4


def test_an_answer_fetched_on_one_loop_serves_the_others():
    cache = create_stale_cache(ttl=60, clock=lambda: 0.0)
    calls = 0

    @cache
    async def fetch() -> int:
        nonlocal calls
        calls += 1
        return calls

    assert [asyncio.run(fetch()) for _ in range(3)] == [1, 1, 1]


# Threads


def test_twenty_threads_share_one_call():
    flights = SingleFlight[int]()
    gate = Gate(flights, 19)
    assert in_threads(20, lambda: flights.join("key", gate).result()) == [1] * 20
    assert gate.calls == 1
    assert not flights._in_threads


def test_a_failure_reaches_every_thread():
    flights = SingleFlight[int]()
    gate = Gate(flights, 9)
    error = ConnectionError()

    def work() -> int:
        gate()
        raise error

    assert set(in_threads(10, lambda: flights.join("key", work).result())) == {error}
    assert gate.calls == 1


def test_when_the_working_thread_is_interrupted_another_one_works():
    flights = SingleFlight[int]()
    gate = Gate(flights, 4)

    def work() -> int:
        if gate.calls:
            return 7
        gate()
        raise KeyboardInterrupt

    def one() -> int | None:
        try:
            return flights.join("key", work).result()
        except KeyboardInterrupt:
            return None

    assert sorted(in_threads(5, one), key=str) == [7, 7, 7, 7, None]
    assert not flights._in_threads


def test_threads_of_a_stale_cache_share_a_failing_call_and_all_get_the_stale_answer():
    now = 0.0
    cache = create_stale_cache(ttl=10, max_stale=20, clock=lambda: now)
    answer = cache.call(lambda: "warm-up")
    gate = Gate(cache._flights, 7)
    fails = False

    @cache
    def fetch() -> str:
        if fails:
            gate()
            raise ConnectionError
        return "row"

    assert (fetch(), answer) == ("row", "warm-up")
    now, fails = 15.0, True
    assert in_threads(8, fetch) == ["row"] * 8
    assert gate.calls == 1


def test_tasks_of_a_stale_cache_share_a_failing_call_and_all_get_the_stale_answer():
    async def main() -> None:
        calls = 0

        @create_stale_cache(ttl=10, max_stale=20, clock=clock)
        async def fetch() -> int:
            nonlocal calls
            calls += 1
            await asyncio.sleep(1)
            if calls > 1:
                raise TimeoutError
            return calls

        assert await fetch() == 1
        await asyncio.sleep(15)
        assert await asyncio.gather(*(fetch() for _ in range(200))) == [1] * 200
        assert (calls, clock()) == (2, 17)

    run(main())


def test_a_cancelled_caller_of_a_stale_cache_leaves_the_others_their_answer():
    async def main() -> None:
        @create_stale_cache(clock=clock)
        async def fetch() -> str:
            await asyncio.sleep(1)
            return "row"

        tasks = [asyncio.create_task(fetch()) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[1:]) == ["row", "row"]
        assert tasks[0].cancelled()

    run(main())


def test_a_failure_leaves_nothing_to_the_garbage_collector():
    flights = SingleFlight[None]()

    def refuse() -> None:
        raise ConnectionRefusedError

    def fail() -> None:
        landed = flights.join("key", refuse)
        try:
            with pytest.raises(ConnectionRefusedError):
                landed.result()
        finally:
            del landed

    async def fail_async() -> None:
        landed = await flights.join_async("key", refuse)
        try:
            with pytest.raises(ConnectionRefusedError):
                landed.result()
        finally:
            del landed

    assert garbage_of(fail) == 0
    assert asyncio.run(garbage_of_async(fail_async)) == 0
