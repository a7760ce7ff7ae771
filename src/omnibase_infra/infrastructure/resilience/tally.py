"""A count that any number of threads raise without a lock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final


class Tally:
    """Counts calls; a tick is a single C call, hence atomic. Whoever reads the count holds a lock of their own."""

    __slots__ = ("_seen", "_ticks", "tick")

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self._seen = 0
        self.tick: Final[Callable[[], int]] = self._ticks.__next__

    def new(self) -> int:
        """Ticks since this was asked last."""
        tick = next(self._ticks)  # a counter can only be read by counting; that tick is left out again
        new = tick - self._seen
        self._seen = tick + 1
        return new
