"""The retry budget: retries stay within a share of the calls, above a floor that a lone caller never notices.

Over a sliding window, as in Finagle's and linkerd's budgets: ``retries <= min_per_second * window + ratio * calls``.
In a full outage the load on the dependency is then at most ``1 + ratio`` times the calls, plus the floor, whatever the
number of attempts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omnibase_infra.infrastructure.resilience.rules.sliding_window import SlidingWindow


@dataclass(slots=True, eq=False)
class Budget:
    """Calls and retries of the last `window` seconds.

    Args:
        ratio: Retries allowed per call, from 0 to 1.
        min_per_second: Retries per second that are always allowed.
        window: Seconds looked back on.
        asked_at: When calls were booked last, seconds.
    """

    ratio: float
    min_per_second: float
    window: float
    asked_at: float
    counts: SlidingWindow = field(init=False)

    def __post_init__(self) -> None:
        self.counts = SlidingWindow(self.window, width=2)


def balance(budget: Budget, new_calls: int, now: float) -> float:
    """Book `new_calls` made since the last question, and return the retries that are left in the window.

    Nobody notes the time of a call that succeeds, so these count as spread evenly since the last question: after a long
    healthy stretch most of them are older than the window, and earn nothing.
    """
    calls, retries = budget.counts.add_evenly(budget.asked_at, now, new_calls, 0)
    budget.asked_at = now
    return budget.min_per_second * budget.window + budget.ratio * calls - retries


def spend(budget: Budget, new_calls: int, now: float) -> bool:
    """Book `new_calls` and ask for one retry; False when the budget is spent."""
    if balance(budget, new_calls, now) < 1.0:
        return False
    budget.counts.add(now, 0, 1)
    return True
