"""A call of a user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Call:
    """One call of a user, with the chances that were drawn for it: they are the same whatever guards it.

    Attributes:
        number: Its place among all calls.
        began: When it came, seconds.
        work: Usual service time of its first attempt, seconds.
        chance: What befalls its first attempt, in [0, 1).
        partition: Where its key belongs, in [0, 1).
        attempts: Calls to the dependency so far.
        has_left: Whether its user has gone.
        task: What is cancelled then.
    """

    __slots__ = ("attempts", "began", "chance", "has_left", "number", "partition", "task", "work")

    def __init__(self, number: int, began: float, work: float, chance: float, partition: float) -> None:
        self.number = number
        self.began = began
        self.work = work
        self.chance = chance
        self.partition = partition
        self.attempts = 0
        self.has_left = False
        self.task: asyncio.Task[None] | None = None


Asks = Callable[[Call], Coroutine[object, None, None]]
"""Makes a call of a user's, guarded or not."""
