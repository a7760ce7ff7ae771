"""The event loop of a simulation: virtual time, and an agenda beside asyncio's timers.

Nothing but timers can happen in it, so it asks no selector. What the simulated world does (calls that arrive, answers
that come) stands in the agenda: an entry is a tuple and no handle, since there are some for every call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from omnibase_infra.testing import DeadlockError

if TYPE_CHECKING:
    from contextvars import Context

S = TypeVar("S")
Ts = TypeVarTuple("Ts")


class SimulationLoop(asyncio.BaseEventLoop):
    """A loop for one thread, whose clock starts at 0 and jumps to whatever comes next.

    At one moment the agenda comes before asyncio's timers, as on a selector loop what was received comes before them.
    """

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own heap, the next timer first

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._agenda: list[tuple[float, int, Callable[..., None], object]] = []
        self._entered = 0
        self._selector = self  # the one method of a selector that the base class calls is `select`

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def at(self, when: float, happens: Callable[[float, S], None], subject: S) -> None:
        """Have `happens(when, subject)` called at that time; of equal times, in the order in which they were entered.

        A time that is over comes next. There is no cancelling: the subject has to tell that it is obsolete.
        """
        self._entered += 1
        heappush(self._agenda, (when, self._entered, happens, subject))

    def stand_still(self, seconds: float) -> None:
        """Have the process notice nothing for that long: what happens meanwhile is told to it afterwards."""
        self._now += seconds

    def is_behind(self) -> bool:
        """Whether the agenda holds what happened before now."""
        return bool(self._agenda) and self._agenda[0][0] < self._now

    def select(self, timeout: float | None) -> tuple[()]:
        """Let time pass if nothing is to be done, and do what the agenda has for now.

        Raises:
            DeadlockError: When nothing will ever happen again.
        """
        agenda = self._agenda
        if timeout != 0:
            timers = self._scheduled
            if agenda:
                following = agenda[0][0]
                if timers and timers[0].when() < following:
                    following = timers[0].when()
            elif timers:
                following = timers[0].when()
            else:
                raise DeadlockError(f"deadlock: nothing is left that could happen (at {self._now:g} s)")
            self._now = max(self._now, following)
        while agenda and agenda[0][0] <= self._now:
            when, _, happens, subject = heappop(agenda)
            happens(when, subject)
        return ()

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: tuple[()]) -> None:
        """Nothing is ever received."""

    def _write_to_self(self) -> None:
        """Nobody sleeps, so nobody is to be woken."""
