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

    def add_evenly(self, since: float, now: float, *counts: int) -> list[int]:
        """Add counts of which is known only that they came after `since`, and return the totals.

        They count as spread evenly: after a long stretch most of them are older than the window, and left out.
        """
        gap = now - since
        span = min(gap, self._seconds)
        if gap > span:
            counts = tuple(int(count * span / gap) for count in counts)
        parts = _SLOTS if span * _SLOTS > self._seconds and any(counts) else 1
        for part in range(1, parts + 1):
            shares = (count * part // parts - count * (part - 1) // parts for count in counts)
            self.add(now - span * (parts - part) / parts, *shares)
        return self.totals

    def next_change(self, now: float) -> float:
        """When something may next leave the window, seconds."""
        return (int(now * _SLOTS / self._seconds) + 1) * self._seconds / _SLOTS
