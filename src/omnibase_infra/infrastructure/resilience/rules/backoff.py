"""Whether to try again, and after how long."""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind

RETRIED: Final = frozenset({
    EnumFailureKind.CONNECTION,
    EnumFailureKind.TIMEOUT,
    EnumFailureKind.UNAVAILABLE,
    EnumFailureKind.THROTTLED,
})  # fmt: skip
"""Kinds that another attempt may mend."""

_DOUBLINGS: Final = 64
"""Beyond this the wait has long reached any cap; a larger power would only overflow."""


def ceiling(attempt: int, min_wait: float, max_wait: float) -> float:
    """The longest wait after the given attempt (1 for the first): ``min_wait`` doubled per attempt, capped, seconds.

    A `min_wait` of 0 grows from a hundredth of `max_wait`, so that "no least wait" does not mean "no wait ever".
    """
    first = min_wait or max_wait / 100
    return min(max_wait, first * 2.0 ** min(attempt, _DOUBLINGS))


def wait(attempt: int, min_wait: float, max_wait: float, chance: float) -> float:
    """Seconds to wait after the given attempt, always within [min_wait, max_wait].

    Spread evenly between `min_wait` and the exponential ceiling ("full jitter" above a floor; M. Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015). `chance` is the randomness, in [0, 1).
    """
    return min_wait + (ceiling(attempt, min_wait, max_wait) - min_wait) * chance


def repeatable(*, sent: bool, said: bool | None, told: bool | None, unsafe: bool) -> bool:
    """Whether another attempt can do no harm that nobody agreed to.

    Args:
        sent: Whether the failed attempt may have taken effect.
        said: What the user says of the call: idempotent, not, or nothing.
        told: What the request itself tells, by its method.
        unsafe: What the preset allows where neither says anything.
    """
    if not sent:
        return True
    if said is not None:
        return said
    return unsafe if told is None else told
