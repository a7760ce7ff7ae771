"""The loop on which time passes only when nothing else can happen."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import (
    TokenBucketLimiter,
    create_database_resilience,
    create_database_retry_policy,
)
from omnibase_infra.testing import DeadlockError, RunawayError, VirtualTimeLoop, clock, recorded_events, run


def test_time_passes_only_by_timers_and_lands_exactly_on_them():
    async def main() -> list[float]:
        moments = [clock()]
        await asyncio.sleep(0.1)
        moments.append(clock())
        due = clock() + 0.2
        await asyncio.sleep(0.2)
        assert clock() == due
        async with asyncio.timeout_at(86400 * 365):
            await asyncio.sleep(86400 * 30)
        moments.append(clock())
        return moments

    assert run(main()) == [0.0, 0.1, 0.1 + 0.2 + 86400 * 30]


def test_timers_run_out_in_the_order_of_their_times():
    async def main() -> list[int]:
        order: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (3, 1, 2):
            loop.call_later(number, order.append, number)
        await asyncio.sleep(8)
        return order

    assert run(main()) == [1, 2, 3]


async def outage() -> str:
    """Everything that a stack in trouble tells, as text."""

    @create_database_resilience()
    async def query(number: int) -> int:
        await asyncio.sleep(random.expovariate(10))
        if 20 < clock() < 200:
            raise ConnectionResetError
        return number

    async def client(number: int) -> None:
        while clock() < 400:
            try:
                await query(number)
            except Exception as error:
                lines.append(f"{number} {clock()!r} {error}")
            await asyncio.sleep(random.uniform(1, 5))

    lines: list[str] = []
    with recorded_events() as events:
        await asyncio.gather(*(client(number) for number in range(20)))
    return "\n".join([*lines, *(event.model_dump_json() for event in events)])


def test_one_seed_gives_the_same_bytes_and_another_gives_others():
    told = run(outage(), seed=7)
    assert told.count("circuit_state") >= 3
    assert run(outage(), seed=7) == told
    assert run(outage(), seed=8) != told


def test_another_process_with_other_hashes_gives_the_same_bytes():
    code = "from tests.unit.test_testing_virtual_time import outage; from omnibase_infra.testing import run\n"
    code += "print(run(outage(), seed=7))"
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert b"circuit_state" in told[0]


def test_chance_goes_on_after_a_run_as_if_there_had_been_none():
    async def main() -> float:
        return random.random()

    state = random.getstate()
    assert run(main()) == run(main())
    assert random.getstate() == state
    random.setstate(state)
    unseeded = run(main(), seed=None)
    assert random.getstate() != state
    random.setstate(state)
    assert random.random() == unseeded


def test_a_deadlock_names_the_tasks_and_the_lines_they_wait_at():
    async def take(lock: asyncio.Lock) -> None:
        async with lock:
            pass  # never

    async def items(queue: asyncio.Queue[int]) -> AsyncGenerator[int]:
        while True:
            yield await queue.get()

    async def read() -> None:
        async for _ in items(asyncio.Queue()):
            pass

    async def main() -> None:
        await asyncio.sleep(2.5)
        lock = asyncio.Lock()
        await lock.acquire()
        async with asyncio.TaskGroup() as group:
            group.create_task(take(lock), name="second")
            group.create_task(read(), name="third")

    with pytest.raises(DeadlockError) as caught:
        run(main())
    first, *tasks = str(caught.value).splitlines()
    assert first == "deadlock: every task waits and no timer is set (at 2.5 s)"
    assert [line.partition(",")[0].rpartition(".")[2] for line in tasks] == ["main", "take", "read"]
    assert tasks[1].startswith("  second: ")
    for task, line in zip(tasks, ("async with asyncio.TaskGroup()", "async with lock:", "async for _ in"), strict=True):
        where, _, number = task.rpartition(":")
        assert where.endswith("waiting at test_testing_virtual_time.py")
        assert line in Path(__file__).read_text().splitlines()[int(number) - 1]


def test_a_deadlock_of_many_tasks_names_some():
    async def main() -> None:
        await asyncio.gather(*(asyncio.Event().wait() for _ in range(50)))

    with pytest.raises(DeadlockError, match=r"Event.wait, waiting at locks.py:\d+\n.*(.*\n)*.*and 41 more tasks"):
        run(main())


def test_after_a_deadlock_the_tasks_are_cancelled():
    ended: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            ended.append("main")

    with pytest.raises(DeadlockError):
        run(main())
    assert ended == ["main"]


async def spin() -> None:
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def tick() -> None:
    while True:  # noqa: ASYNC110
        await asyncio.sleep(1)


def test_a_loop_that_turns_without_time_passing_is_stopped_and_named():
    with pytest.raises(RunawayError, match=r"100001 turns without any time passing.*\n.*: spin, waiting at"):
        run(spin())


def test_a_loop_that_never_ends_is_stopped_and_named():
    with pytest.raises(RunawayError, match=r"turns, and still not at an end \(at 5\d\d s\)\n.*: tick, waiting at"):
        run(tick(), max_turns=1000)


def test_the_bound_of_turns_can_be_taken_off():
    async def main() -> None:
        async with asyncio.timeout(2000):
            await tick()

    with pytest.raises(RunawayError):
        run(main(), max_turns=1000)
    with pytest.raises(TimeoutError):
        run(main(), max_turns=None)


def test_a_run_within_a_run_is_refused():
    async def main() -> None:
        with pytest.raises(RuntimeError, match="one at a time"):
            run(spin())
        with pytest.raises(RuntimeError, match="one at a time"):
            await asyncio.to_thread(run, spin())

    run(main())


def test_what_is_no_coroutine_is_refused():
    with pytest.raises((TypeError, ValueError), match="coroutine"):
        run(spin)  # type: ignore[arg-type]


def test_the_clock_stands_still_for_a_thread():
    async def main() -> tuple[float, float, str]:
        ticks: list[float] = []

        async def count() -> None:
            while True:
                await asyncio.sleep(0.001)
                ticks.append(clock())

        counting = asyncio.create_task(count())
        async with asyncio.timeout(0.01):
            read = await asyncio.to_thread(lambda: (time.sleep(0.1), "read")[1])
        counting.cancel()
        return clock(), len(ticks), read

    assert run(main()) == (0.0, 0, "read")


def test_a_thread_that_hangs_is_a_deadlock():
    released = threading.Event()

    async def main() -> None:
        await asyncio.to_thread(released.wait)

    with pytest.raises(DeadlockError, match=r"no thread has come back for 0.05 s of real time.*\n.*to_thread|main"):
        run(main(), patience=0.05)
    released.set()


def test_a_thread_that_nobody_awaits_any_more_is_waited_for_at_the_end():
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        time.sleep(0.05)
        ended.set()

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        release.set()

    run(main())
    assert ended.is_set()


def retried(calls: list[float]) -> None:
    @create_database_retry_policy(3, 10, 10)
    def query() -> None:
        calls.append(1)
        raise ConnectionResetError

    with pytest.raises(InfraConnectionError):
        query()


def test_the_waits_of_a_plain_function_pass_in_virtual_time():
    async def main() -> None:
        calls: list[float] = []
        retried(calls)
        assert (len(calls), clock()) == (3, 20)
        limiter = TokenBucketLimiter(1, 1)
        assert limiter.wait()
        assert limiter.wait()
        assert clock() == pytest.approx(21)

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 20


def test_the_waits_of_a_plain_function_in_a_thread_pass_beside_the_tasks():
    async def main() -> None:
        calls: list[float] = []
        ticks: list[float] = []

        async def count() -> None:
            while True:
                await asyncio.sleep(4)
                ticks.append(clock())

        counting = asyncio.create_task(count())
        await asyncio.gather(*(asyncio.to_thread(retried, calls) for _ in range(3)))
        counting.cancel()
        assert (len(calls), clock()) == (9, 20)
        assert ticks[:4] == [4, 8, 12, 16]

    run(main())


def test_a_thread_of_ones_own_is_waited_for_when_asked_to():
    async def main() -> str:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[str] = loop.create_future()
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(answered.set_result, "yes")).start()
        return await answered

    assert run(main(), waits_for_threads=True) == "yes"


def test_a_thread_that_sleeps_by_the_clock_is_woken_when_the_run_ends():
    woken: list[str] = []

    def sleep(loop: VirtualTimeLoop) -> None:
        loop.sleep(1000)
        woken.append("woken")

    async def main() -> threading.Thread:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        thread = threading.Thread(target=sleep, args=(loop,))
        thread.start()
        while not loop._asleep:
            await asyncio.to_thread(time.sleep, 0.001)
        return thread

    run(main()).join(5)
    assert woken == ["woken"]


def test_a_timeout_of_the_policies_ends_what_hangs():
    async def main() -> float:
        @create_database_resilience(retry=None)
        async def hang() -> None:
            await asyncio.sleep(3600)

        with pytest.raises(InfraTimeoutError):
            await hang()
        return clock()

    assert run(main()) == 5
