"""The users of a scenario: who calls, and when they leave."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from random import Random

from omnibase_infra.simulator.arrivals import arrival_times, first_calls
from omnibase_infra.simulator.call import Asks, Call
from omnibase_infra.simulator.dependency import service_times
from omnibase_infra.simulator.loop import SimulationLoop
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.recorder import Outcome, Recording


class Users:
    """Everybody who calls in the course of a scenario.

    What chance has for a call is drawn as it comes, whatever becomes of it: every stack meets the same calls.
    """

    def __init__(
        self, scenario: ModelScenario, ask: Asks, recording: Recording, loop: SimulationLoop, *, seed: str
    ) -> None:
        self._load = scenario.load
        self._seconds = scenario.seconds
        self._ask = ask
        self._recording = recording
        self._loop = loop
        self._arrivals = Random(f"{seed}/arrivals")
        self._chance = Random(f"{seed}/chances").random
        self._work = service_times(scenario.dependency.latency, Random(f"{seed}/service"))
        self._patient: deque[Call] = deque()
        self._to_come = 0
        self._under_way = 0
        self._over: asyncio.Future[None] = loop.create_future()

    async def all_served(self) -> None:
        """From the first call to the end of the last."""
        if self._load.rate is None:
            for when in first_calls(self._load, self._arrivals):
                self._come_again(when)
        else:
            self._await_next(arrival_times(self._load, self._seconds, self._arrivals))
        self._look_whether_over()
        await self._over

    def _await_next(self, times: Iterator[float]) -> None:
        when = next(times, None)
        self._to_come = when is not None
        if when is not None:
            self._loop.at(when, self._arrive, times)

    def _arrive(self, when: float, times: Iterator[float]) -> None:
        self._begin(when)
        self._await_next(times)

    def _come_again(self, when: float) -> None:
        """Have a client of a closed loop make its next call."""
        if when < self._seconds:
            self._to_come += 1
            self._loop.at(when, self._come, None)

    def _come(self, when: float, _: None) -> None:
        self._to_come -= 1
        self._begin(when)

    def _begin(self, when: float) -> None:
        recording, patient = self._recording, self._patient
        call = Call(len(recording.began), when, self._work(), self._chance(), self._chance())
        recording.began.append(when)
        recording.ended.append(when)
        recording.outcomes.append(Outcome.UNDER_WAY)
        self._under_way += 1
        call.task = asyncio.Task(self._make(call), loop=self._loop, name="call")
        if not patient:
            self._loop.at(when + self._load.patience, self._lose_patience, None)
        patient.append(call)

    def _lose_patience(self, when: float, _: None) -> None:
        """The callers who came first leave first, so that one entry of the agenda serves all of them."""
        patient = self._patient
        while patient:
            call = patient[0]
            if call.task is not None:
                if call.began + self._load.patience > when:
                    self._loop.at(call.began + self._load.patience, self._lose_patience, None)
                    return
                call.has_left = True
                self._end(call, when, Outcome.GAVE_UP)
                call.task.cancel()
            patient.popleft()

    async def _make(self, call: Call) -> None:
        try:
            await self._ask(call)
            outcome = Outcome.ANSWERED
        except asyncio.CancelledError:
            outcome = Outcome.GAVE_UP
        except Exception:
            outcome = Outcome.FAILED if call.attempts else Outcome.REJECTED
        if not call.has_left:
            self._end(call, self._loop.time(), outcome)
        call.task = None

    def _end(self, call: Call, when: float, outcome: Outcome) -> None:
        recording = self._recording
        recording.ended[call.number] = when
        recording.outcomes[call.number] = outcome
        self._under_way -= 1
        if self._load.rate is None:
            self._come_again(when + self._load.think_time)
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if not self._under_way and not self._to_come and not self._over.done():
            self._over.set_result(None)
