"""A bulkhead against a list of places and a list of waiters: any calls, ends, cancellations and waits, in any order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import virtual_time

from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import Bulkhead

MAX_WAIT = 3

STEPS = st.lists(
    st.one_of(
        st.just(("arrive", 0)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=60,
)


@dataclass
class Model:
    """What is known of the calls: by their number, in the order of their arrival."""

    places: int
    longest_queue: int
    now: float = 0.0
    running: list[int] = field(default_factory=list)
    waiting: dict[int, float] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)

    def arrive(self, number: int) -> None:
        if len(self.running) < self.places:
            self.running.append(number)
        elif len(self.waiting) < self.longest_queue:
            self.waiting[number] = self.now + MAX_WAIT
        else:
            self.outcomes[number] = "rejected"

    def leave(self, number: int, outcome: str) -> None:
        self.outcomes[number] = outcome
        self.waiting.pop(number, None)
        if number in self.running:
            self.running.remove(number)
            if self.waiting:
                first = next(iter(self.waiting))
                del self.waiting[first]
                self.running.append(first)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for number in [number for number, until in self.waiting.items() if until < self.now]:
            del self.waiting[number]
            self.outcomes[number] = "rejected"


class Calls:
    """The same calls, made through a real bulkhead."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.work = bulkhead(self._work)
        self.tasks: list[asyncio.Task[None]] = []
        self.ends: list[asyncio.Event] = []
        self.running: list[int] = []
        self.outcomes: dict[int, str] = {}

    def arrive(self) -> int:
        number = len(self.tasks)
        self.ends.append(asyncio.Event())
        self.tasks.append(asyncio.ensure_future(self._call(number)))
        return number

    async def _work(self, number: int) -> None:
        self.running.append(number)
        try:
            await self.ends[number].wait()
        finally:
            self.running.remove(number)

    async def _call(self, number: int) -> None:
        try:
            await self.work(number)
            self.outcomes[number] = "done"
        except InfraUnavailableError:
            self.outcomes[number] = "rejected"
        except asyncio.CancelledError:
            self.outcomes[number] = "cancelled"


async def make(step: str, argument: int, calls: Calls, model: Model) -> None:
    if step == "arrive":
        model.arrive(calls.arrive())
    elif step == "wait":
        # Never at the very moment at which a wait ends: the order of two timers means nothing.
        await asyncio.sleep(argument + 0.01)
        model.wait(argument + 0.01)
    elif step == "end" and model.running:
        number = model.running[argument % len(model.running)]
        calls.ends[number].set()
        model.leave(number, "done")
    elif step == "cancel" and (present := [*model.running, *model.waiting]):
        number = present[argument % len(present)]
        calls.tasks[number].cancel()
        model.leave(number, "cancelled")
    for _ in range(8):
        await asyncio.sleep(0)


@settings(max_examples=300)
@given(places=st.integers(1, 3), queue=st.integers(0, 4), steps=STEPS)
def test_a_bulkhead_does_what_two_lists_do(places: int, queue: int, steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        bulkhead = Bulkhead(places, queue, MAX_WAIT)
        model, calls = Model(places, queue), Calls(bulkhead)
        for step, argument in steps:
            await make(step, argument, calls, model)
            assert calls.running == model.running
            assert (bulkhead.in_flight, bulkhead.waiting) == (len(model.running), len(model.waiting))
            assert calls.outcomes == model.outcomes
        for task in calls.tasks:
            task.cancel()
        await asyncio.gather(*calls.tasks)
        assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)
        assert not bulkhead._called

    virtual_time.run(main())
