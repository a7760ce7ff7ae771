"""The simulation's event loop: its agenda, its clock, and asyncio on top of both."""

from __future__ import annotations

import asyncio

import pytest

from omnibase_infra.simulator.loop import SimulationLoop
from omnibase_infra.testing import DeadlockError


@pytest.fixture
def loop():
    loop = SimulationLoop()
    yield loop
    loop.close()


def test_the_agenda_is_done_in_order_of_time_and_then_of_entry(loop):
    done = []

    def note(when, what):
        done.append((when, what, loop.time()))

    loop.at(2.0, note, "later")
    loop.at(1.0, note, "first")
    loop.at(1.0, note, "second")
    loop.run_until_complete(asyncio.sleep(3))
    assert done == [(1.0, "first", 1.0), (1.0, "second", 1.0), (2.0, "later", 2.0)]


def test_sleeps_and_timeouts_follow_its_clock(loop):
    async def main():
        began = loop.time()
        await asyncio.sleep(5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await loop.create_future()
        return loop.time() - began

    assert loop.run_until_complete(main()) == 105


def test_at_one_moment_what_was_received_comes_before_the_timers(loop):
    done = []
    loop.call_at(1.0, done.append, "timer")
    loop.at(1.0, lambda _, what: done.append(what), "received")
    loop.run_until_complete(asyncio.sleep(1))
    assert done[:2] == ["received", "timer"]


def test_while_the_process_stands_still_the_agenda_keeps_its_times(loop):
    seen = []

    def pause(when, seconds):
        loop.stand_still(seconds)
        seen.append(("behind", loop.is_behind()))

    def note(when, _):
        seen.append((when, loop.time()))
        if when == 2.0:
            loop.at(2.5, note, None)  # what follows from it belongs before what comes at 3

    loop.at(1.0, pause, 5.0)
    loop.at(2.0, note, None)
    loop.at(3.0, note, None)
    loop.run_until_complete(asyncio.sleep(10))
    assert seen == [("behind", True), (2.0, 6.0), (2.5, 6.0), (3.0, 6.0)]
    assert not loop.is_behind()


def test_what_is_entered_for_a_time_that_is_over_comes_next(loop):
    seen = []

    async def main():
        await asyncio.sleep(5)
        loop.at(1.0, lambda when, _: seen.append((when, loop.time())), None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert seen == [(1.0, 5.0)]


def test_waiting_for_nothing_is_a_deadlock(loop):
    async def main():
        await asyncio.sleep(2)
        await loop.create_future()

    task = loop.create_task(main())
    with pytest.raises(DeadlockError, match=r"at 2 s"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_a_threadsafe_call_is_a_call_soon(loop):
    done = []

    async def main():
        loop.call_soon_threadsafe(done.append, 1)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert done == [1]
