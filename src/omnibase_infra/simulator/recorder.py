"""What a simulation counts while it runs: times, call by call; the sums are taken afterwards."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import IntEnum

from omnibase_infra.enums import EnumCircuitState


class Outcome(IntEnum):
    """How a user's call ended."""

    UNDER_WAY = 0
    ANSWERED = 1
    FAILED = 2
    REJECTED = 3
    """A policy refused it, and the dependency was never asked."""
    GAVE_UP = 4
    """Its user left."""


def _times() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Recording:
    """All that happened in a run. Times are virtual seconds.

    Attributes:
        words: The stack, a line each.
        began: When each call came, in that order.
        ended: When each call ended.
        outcomes: How each call ended: an `Outcome` each.
        attempts: When the dependency was called.
        retries: Those of them that were not the first of their call.
        wasted: Calls to the dependency while it was dead.
        work_lost: Service time of attempts whose caller had gone before the answer, seconds.
        circuit: When the circuit changed, and to what.
        budget: Balance of the retry budget at the end of each step; None without one.
    """

    words: tuple[str, ...] = ()
    began: array[float] = field(default_factory=_times)
    ended: array[float] = field(default_factory=_times)
    outcomes: bytearray = field(default_factory=bytearray)
    attempts: array[float] = field(default_factory=_times)
    retries: array[float] = field(default_factory=_times)
    wasted: int = 0
    work_lost: float = 0.0
    circuit: list[tuple[float, EnumCircuitState]] = field(default_factory=list[tuple[float, EnumCircuitState]])
    budget: list[float] | None = None
