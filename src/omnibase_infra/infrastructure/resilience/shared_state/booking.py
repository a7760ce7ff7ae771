"""What is asked of a bucket that several callers share, and its answer. All times are seconds."""

from __future__ import annotations

from typing import NamedTuple

Place = str | float
"""Where a booking stands: stamp and time owed of the bucket after it on a server, when it is full in memory."""


class Request(NamedTuple):
    """A take.

    Attributes:
        cost: Time that the bucket needs to refill the tokens; 0 only looks.
        depth: Time that it needs to fill up when empty.
        patience: Longest wait for which a place is booked; 0 takes what is there or nothing.
        unit: Time that it needs to refill one token.
        extra: Tokens to take beside those of the cost, as many as are there.
    """

    cost: float
    depth: float
    patience: float = 0.0
    unit: float = 0.0
    extra: int = 0


class Booking(NamedTuple):
    """The answer.

    Attributes:
        granted: Whether the tokens are booked.
        wait: Until they are there, or, when not granted, until a take may succeed.
        full_in: Until the bucket is full.
        extra: Tokens taken beside those of the cost.
        place: For giving them back; None where that cannot be.
    """

    granted: bool
    wait: float = 0.0
    full_in: float = 0.0
    extra: int = 0
    place: Place | None = None
