"""The token bucket as one number: the time at which it is full again.

This is the generic cell rate algorithm (GCRA, ITU-T I.371): a take of `n` tokens moves that time on by ``n / rate``
and is allowed while it stays within ``capacity / rate``, the bucket's depth in seconds, of now. Nothing refills, so
nothing drifts, fractions of a token and of a second are kept, and a full bucket needs no memory at all.

Times count from when the bucket was made. A take is booked to half the spacing of floats at that age: 7e-12 s after a
day, 2e-9 s after a year. Whether there is room is decided on differences, so that age never refuses a full bucket.
"""

from __future__ import annotations

from typing import Final

TOLERANCE: Final = 1e-9


def reach(depth: float) -> float:
    """The depth with room for rounding: who slept exactly as told is not refused for the last bit of a float.

    The room is a nanosecond and a billionth of the depth. It does not add up: the full cost is always booked.
    """
    return depth + TOLERANCE * (1.0 + depth)


def take(full_at: float, now: float, cost: float, within: float) -> float | None:
    """Book `cost` seconds of refill on a bucket; return its new time, None when that is not `within` reach of now."""
    start = full_at if full_at > now else now
    return start + cost if start - now <= within - cost else None


def delay(full_at: float, now: float, cost: float, depth: float) -> float:
    """Seconds until `cost` can be taken; 0 when it can be now."""
    return max(0.0, (full_at if full_at > now else now) - now + cost - depth)


def level(full_at: float, now: float, rate: float, capacity: float) -> float:
    """Tokens in the bucket, from 0 to `capacity`."""
    return min(capacity, max(0.0, capacity - (full_at - now) * rate))
