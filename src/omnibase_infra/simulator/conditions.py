"""What befalls an attempt, as long as this or that event of the scenario lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from random import Random
from typing import Final

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.simulator.call import Call
from omnibase_infra.simulator.driver_errors import driver_error
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent

DEAD: Final = frozenset({EnumScenarioEvent.OUTAGE, EnumScenarioEvent.FAIL_OVER, EnumScenarioEvent.SEALED})
"""While these last, every call to the dependency is wasted."""

GONE: Final = frozenset({EnumScenarioEvent.OUTAGE, EnumScenarioEvent.FAIL_OVER})
"""With these the server goes, and with it every connection and everything that is under way."""

_ROUNDING: Final = 1e-9
"""Three thirds are to make a whole."""


class Manner(IntEnum):
    """How an attempt fails."""

    AT_ONCE = 0
    AT_END = 1
    """The server works on it as long as on any other."""
    CUT_OFF = 2
    """In the middle of the service."""
    HANGS = 3
    """There is no answer at all."""


@dataclass(slots=True, frozen=True)
class Refusal:
    """What an attempt fails with."""

    name: str
    retry_after: float | None = None

    def error(self) -> Exception:
        """A new exception, as the driver raises it."""
        return driver_error(self.name, retry_after=self.retry_after)


class ErrorMix:
    """Names from the catalogue of drivers' errors, by their weights."""

    __slots__ = ("_bounds", "_refusals")

    def __init__(self, weights: Mapping[str, float], retry_after: float | None = None) -> None:
        total = sum(weights.values())
        self._refusals = [Refusal(name, retry_after) for name in weights]
        self._bounds = [bound / total for bound in accumulate(weights.values())]
        for refusal in self._refusals:
            refusal.error()  # an unknown name is refused now, not in the middle of a run

    def pick(self, chance: float) -> Refusal:
        """The one that the chance, in [0, 1), falls on."""
        for refusal, bound in zip(self._refusals, self._bounds, strict=True):
            if chance < bound:
                return refusal
        return self._refusals[-1]


Fate = tuple[Manner, Refusal | None]


class Condition:
    """One event of a scenario while it lasts."""

    __slots__ = ("_count", "_counted_at", "_errors", "_turn", "event", "is_over")

    def __init__(self, event: ModelScenarioEvent) -> None:
        self.event = event
        self.is_over = False
        """Whether it has ended early: the credential was refreshed."""
        self._errors = ErrorMix(event.errors, event.retry_after) if event.errors else None
        self._count = max(1.0, event.rate or 0.0)  # what a throttled server still takes at once: a second's worth
        self._counted_at = event.at
        self._turn = 0.0  # how far the turn has come round to the bad host

    def factor(self, when: float) -> float:
        """Times the usual service time."""
        event = self.event
        if event.kind is EnumScenarioEvent.SLOW_START:
            return event.factor + (1 - event.factor) * min(1.0, (when - event.at) / event.lasts)
        return event.factor

    def fate(self, when: float, call: Call, chance: float, picks: Random) -> tuple[Fate | None, float]:
        """How it has an attempt fail, if at all; and the chance that is left for other events."""
        event = self.event
        kind, share = event.kind, event.share
        fails, manner = True, Manner.AT_ONCE
        match kind:
            case EnumScenarioEvent.BAD_HOST:
                # Round robin: by chance a retry would meet the same host again, and evenly it would not.
                self._turn += share
                fails = self._turn >= 1 - _ROUNDING
                self._turn -= fails
            case EnumScenarioEvent.THROTTLING:
                fails = not self._takes(when)
            case EnumScenarioEvent.LEADER_CHANGE:
                fails = call.partition < share
            case EnumScenarioEvent.CREDENTIAL_EXPIRY:
                fails = not self.is_over
            case EnumScenarioEvent.BROWN_OUT | EnumScenarioEvent.DEPLOY_WAVE:
                fails = chance < share and bool(self._errors or event.hang)
                chance = chance / share if fails else (chance - share) / (1 - share) if share < 1 else chance
                manner = Manner.AT_END if kind is EnumScenarioEvent.BROWN_OUT else Manner.CUT_OFF
            case EnumScenarioEvent.SLOW_START | EnumScenarioEvent.CLOCK_PAUSE:
                fails = False
            case _:
                pass
        if not fails:
            return None, chance
        return self.failure(picks, manner), chance

    def failure(self, picks: Random, manner: Manner = Manner.AT_ONCE) -> Fate:
        """A failure of this event's: no answer at all, or one of its errors."""
        if (self.event.hang and picks.random() < self.event.hang) or self._errors is None:
            return Manner.HANGS, None
        return manner, self._errors.pick(picks.random())

    def _takes(self, when: float) -> bool:
        """Whether a throttled server takes one more: a bucket that holds a second's worth."""
        rate = self.event.rate or 0.0
        self._count = min(max(1.0, rate), self._count + (when - self._counted_at) * rate)
        self._counted_at = when
        if self._count < 1:
            return False
        self._count -= 1
        return True
