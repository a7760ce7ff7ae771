"""Many calls under one timer, against `asyncio.timeout` itself; cancellations from outside; several loops; garbage."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import weakref
from collections.abc import Awaitable, Callable

import pytest
from tests.support import virtual_time

from omnibase_infra.errors import InfraTimeoutError
from omnibase_infra.infrastructure.resilience import Timeout
from omnibase_infra.infrastructure.resilience.deadline import Deadline, _left_behind

Call = Callable[[], Awaitable[object]]
Bound = Callable[[Call, float], Awaitable[object]]


async def ours(call: Call, seconds: float) -> object:
    async def bounded() -> object:
        return await call()

    return await Timeout(seconds).call(bounded)


async def theirs(call: Call, seconds: float) -> object:
    async with asyncio.timeout(seconds):
        return await call()


def nested(bound: Bound, call: Call, seconds: float) -> Call:
    async def bounded() -> object:
        return await bound(call, seconds)

    return bounded


def random_call(rng: random.Random, bound: Bound) -> Call:
    """Sleeps under one to three nested bounds; some swallow their cancellations, some fail."""
    sleeps = [rng.uniform(0, 3) for _ in range(rng.randint(1, 3))]
    stubborn, failing = rng.random() < 0.2, rng.random() < 0.2

    async def work() -> str:
        for seconds in sleeps:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                if not stubborn:
                    raise
        if failing:
            raise ConnectionResetError
        return "done"

    call: Call = work
    for _ in range(rng.randint(1, 3)):
        call = nested(bound, call, rng.choice([1, 1.25, 2, 2.5]))
    return call


async def outcome_of(call: Call, begins: float) -> tuple[str, float, int]:
    """What became of a call, when, and the cancellations that its task still has to answer."""
    await asyncio.sleep(begins)
    try:
        outcome = str(await call())
    except TimeoutError:
        outcome = "timed out"
    except ConnectionResetError:
        outcome = "failed"
    except asyncio.CancelledError:
        outcome = "cancelled"
    task = asyncio.current_task()
    assert task is not None
    return outcome, virtual_time.clock(), task.cancelling()


def scenario(seed: int, bound: Bound) -> list[tuple[str, float, int] | str]:
    """200 random calls, nearly half of which are cancelled from outside, some twice."""
    rng = random.Random(seed)

    async def main() -> list[tuple[str, float, int] | BaseException]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(outcome_of(random_call(rng, bound), rng.uniform(0, 2))) for _ in range(200)]
        for task in rng.sample(tasks, 90):
            for _ in range(rng.randint(1, 2)):
                loop.call_at(rng.uniform(0, 4), task.cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return [
        "cancelled early" if isinstance(outcome, BaseException) else outcome for outcome in virtual_time.run(main())
    ]


@pytest.mark.parametrize("seed", range(40))
def test_every_call_ends_as_it_would_under_asyncio_timeout(seed: int) -> None:
    expected = scenario(seed, theirs)
    assert {outcome[0] for outcome in expected} >= {"done", "timed out", "cancelled", "failed"}
    assert scenario(seed, ours) == expected


def test_calls_under_one_bound_share_one_timer_and_leave_nothing_behind() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timeouts = [Timeout(5) for _ in range(3)]
        timer = Deadline(5).timer()
        assert all(timeout.deadline.timer() is timer for timeout in timeouts)
        assert Deadline(6).timer() is not timer
        tasks = [loop.create_task(timeouts[n % 3].call(asyncio.sleep, n % 8)) for n in range(400)]
        await asyncio.sleep(0)
        assert len(timer) == 400
        assert len([handle for handle in loop._scheduled if handle._callback == timer._cancel_overdue]) == 1
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert len([answer for answer in answers if isinstance(answer, InfraTimeoutError)]) == 150
        assert len(timer) == 0
        await asyncio.sleep(10)
        assert not loop._scheduled
        await timeouts[0].call(asyncio.sleep, 0)
        assert len(loop._scheduled) == 1

    virtual_time.run(main())


def test_a_cancellation_from_outside_at_the_very_moment_wins() -> None:
    async def main() -> None:
        async def fetch() -> None:
            await Timeout(2).call(asyncio.sleep, 3600)

        for first in (True, False):
            task = asyncio.ensure_future(fetch())
            if first:
                asyncio.get_running_loop().call_later(2, task.cancel)
            await asyncio.sleep(0)
            if not first:
                asyncio.get_running_loop().call_later(2, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    virtual_time.run(main())


@pytest.mark.parametrize("abandon", [False, True])
def test_a_cancelled_call_is_cancelled_and_waited_for(abandon: bool) -> None:
    async def main() -> None:
        cleaned: list[float] = []

        async def fetch() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(1)
                cleaned.append(virtual_time.clock())

        task = asyncio.ensure_future(Timeout(60, abandon=abandon).call(fetch))
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned == [3]
        assert virtual_time.clock() == 3

    virtual_time.run(main())


def test_a_cancelled_caller_waits_for_stubborn_work_until_the_deadline_at_the_longest() -> None:
    async def main() -> None:
        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    cancelled.append(virtual_time.clock())
                    if len(cancelled) == 3:
                        return

        cancelled: list[float] = []
        task = asyncio.ensure_future(Timeout(5, abandon=True).call(stubborn))
        for _ in range(2):
            await asyncio.sleep(2)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled == [2, 4]
        assert virtual_time.clock() == pytest.approx(5.1)
        assert len(asyncio.all_tasks()) == 2  # itself, and what was left behind

    virtual_time.run(main())


def test_what_is_left_behind_lives_until_it_ends_and_is_not_reported() -> None:
    async def main() -> None:
        reports: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        ended: list[str] = []

        async def stubborn() -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(10)
            ended.append("ended")
            raise ConnectionResetError

        with pytest.raises(InfraTimeoutError):
            await Timeout(1, abandon=True).call(stubborn)
        gc.collect()
        await asyncio.sleep(20)
        assert ended == ["ended"]
        assert not [task for task in _left_behind if task.get_loop() is asyncio.get_running_loop()]
        gc.collect()
        assert len(asyncio.all_tasks()) == 1
        assert reports == []

    virtual_time.run(main())


def test_what_was_left_behind_on_a_closed_loop_is_forgotten() -> None:
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    async def leave() -> weakref.ref[object]:
        with pytest.raises(InfraTimeoutError):
            await Timeout(1, abandon=True).call(stubborn)
        (left,) = asyncio.all_tasks() - {asyncio.current_task()}
        left._log_destroy_pending = False
        return weakref.ref(left)

    loop = virtual_time.VirtualTimeLoop()
    left = loop.run_until_complete(leave())
    loop.close()
    del loop
    assert left() is not None
    virtual_time.run(leave())
    gc.collect()
    assert left() is None


@pytest.mark.parametrize("abandon", [False, True])
def test_a_call_that_is_closed_takes_its_work_down(abandon: bool) -> None:
    async def main() -> None:
        ended = []

        async def fetch() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(True)

        async def outer() -> None:
            call = Timeout(60, abandon=abandon).call(fetch)
            call.send(None)
            await asyncio.sleep(1)
            call.close()

        await outer()
        await asyncio.sleep(1)
        assert ended == [True]
        assert len(Deadline(60).timer()) == 0

    virtual_time.run(main())


def test_one_timeout_serves_event_loops_in_many_threads() -> None:
    timeout = Timeout(5)
    failures: list[BaseException] = []

    async def main() -> None:
        outcomes = await asyncio.gather(
            *(timeout.call(asyncio.sleep, 3600 if n % 2 else 1, n) for n in range(100)), return_exceptions=True
        )
        assert [n for n in outcomes if not isinstance(n, InfraTimeoutError)] == list(range(0, 100, 2))
        assert virtual_time.clock() == 5

    def loops() -> None:
        try:
            for _ in range(10):
                virtual_time.run_beside_others(main())
        except BaseException as broken:
            failures.append(broken)

    threads = [threading.Thread(target=loops) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("closed_under_it", [False, True])
def test_an_event_loop_is_not_kept_alive(closed_under_it: bool) -> None:
    timeout = Timeout(60)

    def use() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = virtual_time.VirtualTimeLoop()
        if closed_under_it:
            task = loop.create_task(timeout.call(asyncio.sleep, 3600))
            task._log_destroy_pending = False
            loop.call_soon(loop.stop)
            loop.run_forever()
        else:
            loop.run_until_complete(timeout.call(asyncio.sleep, 1))
        loop.close()
        return weakref.ref(loop)

    known = use()
    gc.collect()
    assert known() is None


def test_a_call_outside_a_task_is_refused() -> None:
    call = Timeout(1).call(asyncio.sleep, 0)
    loop = asyncio.new_event_loop()
    try:
        failed: list[BaseException] = []

        def step() -> None:
            try:
                call.send(None)
            except RuntimeError as error:
                failed.append(error)
            loop.stop()

        loop.call_soon(step)
        loop.run_forever()
    finally:
        loop.close()
    assert str(failed[0]) == "a timeout works within a task: await the call in one"


@pytest.mark.parametrize("abandon", [False, True])
@pytest.mark.parametrize("seconds", [1, 10])
def test_an_exception_is_free_once_the_caller_lets_go_of_it(seconds: float, abandon: bool) -> None:
    class OwnError(Exception):
        pass

    async def fetch() -> None:
        failure = OwnError()
        known.append(weakref.ref(failure))
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError as cancelled:
            known.append(weakref.ref(cancelled))
            raise
        try:
            raise failure
        finally:
            del failure

    async def one() -> None:
        try:
            await Timeout(seconds, abandon=abandon).call(fetch)
        except (OwnError, InfraTimeoutError):
            pass

    async def main() -> None:
        await asyncio.ensure_future(one())
        for _ in range(3):
            await asyncio.sleep(0)
        assert [ref() for ref in known] == [None] * len(known)

    known: list[weakref.ref[BaseException]] = []
    gc.collect()
    gc.disable()
    try:
        virtual_time.run(main())
    finally:
        gc.enable()


def test_the_task_of_a_failing_call_is_free_too() -> None:
    async def fail() -> None:
        raise ConnectionResetError

    async def main() -> None:
        task = asyncio.ensure_future(Timeout(5).call(fail))
        await asyncio.wait((task,))
        known = weakref.ref(task)
        task.exception()
        del task
        await asyncio.sleep(0)
        assert known() is None

    gc.collect()
    gc.disable()
    try:
        virtual_time.run(main())
    finally:
        gc.enable()
