"""The simulated server, and the pool of connections in front of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from math import exp, inf, log
from random import Random
from statistics import NormalDist
from typing import Final

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.simulator.call import Call
from omnibase_infra.simulator.conditions import DEAD, GONE, Condition, ErrorMix, Manner, Refusal
from omnibase_infra.simulator.loop import SimulationLoop
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.recorder import Recording

_Z99: Final = NormalDist().inv_cdf(0.99)
_FULL: Final = "builtin.ConnectionRefusedError"
"""What a server answers whose backlog is full, unless the scenario tells."""


class Stage(IntEnum):
    """How far an attempt has come."""

    WAITS = 0
    """For a connection of the client's pool."""
    CONNECTS = 1
    QUEUED = 2
    SERVED = 3
    HANGS = 4
    OVER = 5


class Attempt:
    """One call to the dependency."""

    __slots__ = ("answer", "began", "call", "chance", "has_left", "is_cut_off", "refusal", "seconds", "stage")

    def __init__(self, call: Call, seconds: float, chance: float, answer: asyncio.Future[Refusal | None]) -> None:
        self.call = call
        self.seconds = seconds
        self.chance = chance
        self.answer = answer
        self.stage = Stage.WAITS
        self.has_left = False
        """Whether nobody waits for it any more, at the server all the same."""
        self.is_cut_off = False
        """Whether its connection ends with it."""
        self.refusal: Refusal | None = None
        self.began = 0.0


def service_times(latency: ModelLatency, chance: Random) -> Callable[[], float]:
    """Draws service times, seconds."""
    if latency.p50 is None or latency.p99 is None:
        samples, random = latency.samples, chance.random
        return lambda: samples[int(random() * len(samples))]
    centre, spread, gauss = log(latency.p50), (log(latency.p99) - log(latency.p50)) / _Z99, chance.gauss
    return lambda: exp(gauss(centre, spread))


class Dependency:
    """Serves so many attempts at once, queues the next ones, and does what the scenario's events make it do.

    Its side of the time goes on while the calling process stands still.
    """

    def __init__(self, model: ModelDependency, loop: SimulationLoop, recording: Recording, seed: str) -> None:
        self._loop = loop
        self._recording = recording
        self._attempted = recording.attempts.append
        further = Random(f"{seed}/further attempts")
        self._work_of_further = service_times(model.latency, further)
        self._chance_of_further = further.random
        self._picks = Random(f"{seed}/errors")
        self._error_share = model.error_share
        self._errors = ErrorMix(model.errors) if model.errors else None
        self._full = Refusal(model.full_error or _FULL)
        self._full.error()
        self._free = self._warm = inf if model.pool is None else model.pool
        self._connect_seconds = model.connect
        self._waiting: deque[Attempt] = deque()
        self._is_handing_out = False
        self._places = self._capacity = model.capacity
        self._most_queued = model.queue
        self._queue: deque[Attempt] = deque()
        self._served: dict[Attempt, None] = {}
        self._idle: asyncio.Future[None] | None = None
        self._conditions: list[Condition] = []
        self._dead = self._gone = 0

    async def ask(self, call: Call) -> None:
        """One attempt: the function that the stacks guard.

        Raises:
            Exception: As the driver raises it.
        """
        call.attempts += 1
        now = self._loop.time()
        self._attempted(now)
        if self._dead:
            self._recording.wasted += 1
        if call.attempts == 1:
            seconds, chance = call.work, call.chance
        else:
            self._recording.retries.append(now)
            seconds, chance = self._work_of_further(), self._chance_of_further()
        attempt = Attempt(call, seconds, chance, self._loop.create_future())
        if self._free:
            self._free -= 1
            self._connect(attempt)
        else:
            self._waiting.append(attempt)
        try:
            refusal = await attempt.answer
        except BaseException:
            self._leave(attempt)
            raise
        if refusal is not None:
            raise refusal.error()

    async def idle(self) -> None:
        """Wait until the server has worked off everything, for whomever."""
        if self._served:
            self._idle = self._loop.create_future()
            await self._idle

    async def renew_credential(self) -> None:
        """Have the server accept this client again."""
        await asyncio.sleep(self._connect_seconds)
        for condition in self._conditions:
            if condition.event.kind is EnumScenarioEvent.CREDENTIAL_EXPIRY:
                condition.is_over = True

    def begin(self, when: float, condition: Condition) -> None:
        """An event of the scenario begins."""
        event = condition.event
        self._conditions.append(condition)
        self._loop.at(when + event.lasts, self._end, condition)
        self._dead += event.kind in DEAD
        self._gone += event.kind in GONE
        if event.kind in GONE:
            self._break(when, condition)
        elif event.kind is EnumScenarioEvent.DEPLOY_WAVE:
            self._set_places(when)
        elif event.kind is EnumScenarioEvent.CLOCK_PAUSE:
            self._loop.stand_still(event.lasts)

    def _end(self, when: float, condition: Condition) -> None:
        self._conditions.remove(condition)
        self._dead -= condition.event.kind in DEAD
        self._gone -= condition.event.kind in GONE
        self._set_places(when)

    def _set_places(self, when: float) -> None:
        places = float(self._capacity)
        for condition in self._conditions:
            if condition.event.kind is EnumScenarioEvent.DEPLOY_WAVE:
                places *= 1 - condition.event.share
        self._places = max(1, round(places))
        self._serve_next(when)

    def _break(self, when: float, condition: Condition) -> None:
        """The server is gone, with all connections and whatever it had to do."""
        self._warm = 0
        under_way = [*self._served, *self._queue]
        self._served.clear()
        self._queue.clear()
        for attempt in under_way:
            if attempt.has_left:
                if attempt.stage is Stage.SERVED:
                    self._recording.work_lost += when - attempt.began
                attempt.stage = Stage.OVER
            else:
                manner, refusal = condition.failure(self._picks)
                self._fail(attempt, manner, refusal)
        self._rest()

    # The client's side: connections.

    def _connect(self, attempt: Attempt) -> None:
        now = self._loop.time()
        if self._warm:
            self._warm -= 1
        elif self._connect_seconds and not self._gone:
            attempt.stage = Stage.CONNECTS
            self._loop.at(now + self._connect_seconds, self._reach, attempt)
            return
        if self._loop.is_behind():
            attempt.stage = Stage.CONNECTS
            self._loop.at(now, self._reach, attempt)  # after all that the server did while this process stood still
        else:
            self._reach(now, attempt)

    def _give_back(self, *, is_warm: bool) -> None:
        self._free += 1
        if is_warm:
            self._warm += 1
        if self._waiting and not self._is_handing_out:
            self._is_handing_out = True
            while self._free and self._waiting:
                attempt = self._waiting.popleft()
                if attempt.stage is Stage.WAITS and not attempt.answer.done():  # else it is leaving
                    self._free -= 1
                    self._connect(attempt)
            self._is_handing_out = False

    def _leave(self, attempt: Attempt) -> None:
        """The caller has gone. Its connection is closed; what is at the server stays there."""
        stage = attempt.stage
        if stage is Stage.QUEUED or stage is Stage.SERVED:
            attempt.has_left = True
        elif stage is not Stage.OVER:
            attempt.stage = Stage.OVER
        if stage is not Stage.OVER and stage is not Stage.WAITS:
            self._give_back(is_warm=False)

    def _settle(self, attempt: Attempt, refusal: Refusal | None, *, is_warm: bool) -> None:
        attempt.stage = Stage.OVER
        if not attempt.answer.done():  # else the caller is just leaving
            attempt.answer.set_result(refusal)
        self._give_back(is_warm=is_warm)

    def _fail(self, attempt: Attempt, manner: Manner, refusal: Refusal | None) -> None:
        if manner is Manner.HANGS:
            attempt.stage = Stage.HANGS
        else:
            self._settle(attempt, refusal, is_warm=not self._gone)

    # The server's side.

    def _reach(self, when: float, attempt: Attempt) -> None:
        if attempt.stage is Stage.OVER:
            return  # left while it connected
        if self._conditions or self._error_share:
            manner, refusal = self._fate(when, attempt)
            if manner is Manner.AT_ONCE or manner is Manner.HANGS:
                self._fail(attempt, manner, refusal)
                return
            attempt.refusal = refusal
        if len(self._served) < self._places:
            self._serve(when, attempt)
        elif len(self._queue) < self._most_queued:
            attempt.stage = Stage.QUEUED
            self._queue.append(attempt)
        else:
            self._fail(attempt, Manner.AT_ONCE, self._full)

    def _fate(self, when: float, attempt: Attempt) -> tuple[Manner, Refusal | None]:
        """How the attempt is to fail: the first event that has it fail counts, then the usual errors."""
        chance = attempt.chance
        for condition in self._conditions:
            fate, chance = condition.fate(when, attempt.call, chance, self._picks)
            if fate is not None:
                if fate[0] is Manner.CUT_OFF:
                    attempt.seconds *= chance
                    attempt.is_cut_off = True
                return fate
        if self._errors is not None and chance < self._error_share:
            return Manner.AT_END, self._errors.pick(self._picks.random())
        return Manner.AT_END, None

    def _serve(self, when: float, attempt: Attempt) -> None:
        for condition in self._conditions:
            attempt.seconds *= condition.factor(when)
        attempt.stage = Stage.SERVED
        attempt.began = when
        self._served[attempt] = None
        self._loop.at(when + attempt.seconds, self._end_service, attempt)

    def _serve_next(self, when: float) -> None:
        while self._queue and len(self._served) < self._places:
            self._serve(when, self._queue.popleft())

    def _end_service(self, when: float, attempt: Attempt) -> None:
        if attempt.stage is not Stage.SERVED:
            return  # the server went meanwhile
        del self._served[attempt]
        if self._queue:
            self._serve_next(when)  # before the client hears of the answer, which may be later
        if attempt.has_left:
            attempt.stage = Stage.OVER
            self._recording.work_lost += attempt.seconds
        else:
            self._settle(attempt, attempt.refusal, is_warm=not attempt.is_cut_off)
        self._rest()

    def _rest(self) -> None:
        if self._idle is not None and not self._served:
            self._idle.set_result(None)
            self._idle = None
