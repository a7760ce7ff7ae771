"""A keyed breaker under many threads and tasks: exact counts for each key, its bound, and no open circuit lost."""

import asyncio
import gc
import sys
import threading
from contextlib import suppress

import pytest
from tests.support.circuits import Clock, make
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError

OPEN = EnumCircuitState.OPEN
THREADS = 16
PATIENCE = 20  # seconds until a test that hangs says so


@pytest.fixture(autouse=True)
def _threads_switch_as_often_as_they_can():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work):
    errors = []
    start = threading.Barrier(THREADS, timeout=PATIENCE)

    def begin(number):
        try:
            start.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def keyed(**settings):
    return make(Clock(), **{"key": lambda key: key, "failure_threshold": 1, **settings})


def fails(_):
    raise ConnectionResetError


def works(_):
    return "ok"


def attempt(breaker, act, key):
    with suppress(ConnectionResetError, InfraUnavailableError):
        breaker.call(act, key)


def test_threads_count_the_failures_of_each_key_exactly():
    breaker = keyed(failure_threshold=10_000)
    in_threads(lambda number: [attempt(breaker, fails, turn % 4) for turn in range(100)])
    assert [shown.numbers["failure_count"] for shown in breaker.troubled()] == [THREADS * 25] * 4


def test_threads_that_crowd_the_table_drop_no_open_circuit_and_keep_its_bound():
    breaker = keyed(max_keys=8)
    for key in ("a", "b", "c"):
        attempt(breaker, fails, key)

    def work(number):
        for turn in range(200):
            attempt(breaker, works, (number, turn))
            attempt(breaker, fails, "abc"[turn % 3])
            assert len(breaker) <= 8

    in_threads(work)
    assert [breaker.for_key(key).state for key in "abc"] == [OPEN] * 3
    assert breaker.snapshot().numbers["open"] == 3


def test_threads_that_open_circuits_in_a_crowd_lose_none():
    breaker = keyed(max_keys=THREADS + 2)

    def work(number):
        for turn in range(100):
            attempt(breaker, works, (number, turn))
            if turn == 50:
                attempt(breaker, fails, number)

    in_threads(work)
    assert [breaker.for_key(number).state for number in range(THREADS)] == [OPEN] * THREADS
    assert len(breaker) <= THREADS + 2


def test_all_threads_that_use_one_key_at_once_have_one_circuit():
    breaker = keyed(failure_threshold=THREADS, max_keys=1)
    inside = threading.Barrier(THREADS, timeout=PATIENCE)

    def fails_with_all_inside(_):
        inside.wait()
        raise ConnectionResetError

    in_threads(lambda _: attempt(breaker, fails_with_all_inside, "a"))
    assert breaker.for_key("a").state is OPEN


def test_no_lock_is_held_while_the_key_or_the_function_runs():
    all_asked = threading.Barrier(THREADS, timeout=PATIENCE)

    def key(number):
        all_asked.wait()
        return number

    breaker = make(key=key)
    all_inside = threading.Barrier(THREADS, timeout=PATIENCE)
    in_threads(lambda number: breaker.call(lambda _: all_inside.wait(), number % 2))


def test_commands_from_threads_end_in_a_whole_that_answers_as_its_state_says():
    breaker = keyed()

    def work(number):
        for turn in range(50):
            (breaker.trip, breaker.reset, breaker.isolate, breaker.disable)[(number + turn) % 4]()
            attempt(breaker, works, turn)

    in_threads(work)
    breaker.reset()
    assert breaker.for_key("a").circuit is breaker._blank["a"]


def test_a_guarded_generator_that_is_dropped_while_the_table_is_in_use_does_not_deadlock():
    held = []

    class DropsACall(str):
        __slots__ = ()

        def __hash__(self):
            held.clear()  # a garbage collection may do this at any time
            return super().__hash__()

    breaker = keyed()

    async def suspended(_):
        await asyncio.sleep(1)

    work = breaker.call(suspended, "a")
    with suppress(RuntimeError):
        work.send(None)
    held.append(work)
    del work
    in_threads(lambda number: attempt(breaker, works, DropsACall(number)))
    assert len(breaker) == THREADS + 1


def test_300_tasks_with_cancellations_leave_nothing_behind():
    async def main():
        clock = asyncio.get_running_loop().time
        breaker = make(clock, key=lambda key, _: key, failure_threshold=3, recovery_timeout=1, max_keys=4)

        @breaker
        async def call(key, number):
            await asyncio.sleep(number % 7 / 10)
            if number % 5 == 0:
                raise ConnectionResetError

        async def one(number):
            await asyncio.sleep(number / 50)
            with suppress(ConnectionResetError, InfraUnavailableError):
                await call(number % 10, number)

        tasks = [asyncio.create_task(one(number)) for number in range(300)]
        await asyncio.sleep(3)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1)
        for key in range(10):
            await call(key, 1)
        del tasks
        return breaker

    breaker = run(main())
    gc.collect()
    assert (len(breaker), breaker.troubled(), len(breaker._forgotten)) == (4, [], 0)
