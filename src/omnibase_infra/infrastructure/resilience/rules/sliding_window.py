"""Sums over the last few seconds, in constant space."""

from __future__ import annotations

from collections import deque
from typing import Final

_SLOTS: Final = 10
"""Parts the window is kept in; its edge is exact to a tenth of its length."""


class SlidingWindow:
    """`width` counters, each summed over the last `seconds`."""

    __slots__ = ("_seconds", "_slots", "totals")

    def __init__(self, seconds: float, width: int) -> None:
        self._seconds = seconds
        self._slots: deque[tuple[int, list[int]]] = deque()
        self.totals = [0] * width

    def add(self, now: float, *counts: int) -> list[int]:
        """Forget what has left the window by `now`, add `counts`, and return the totals."""
        tick = int(now * _SLOTS / self._seconds)
        totals, slots = self.totals, self._slots
        while slots and slots[0][0] <= tick - _SLOTS:
            for i, old in enumerate(slots.popleft()[1]):
                totals[i] -= old
        if not slots or slots[-1][0] != tick:
            slots.append((tick, [0] * len(totals)))
        newest = slots[-1][1]
        for i, new in enumerate(counts):
            newest[i] += new
            totals[i] += new
        return totals
