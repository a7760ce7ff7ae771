"""Client-side throttling: reject here what the backend would reject anyway.

``max(0, (requests - K * accepts) / (requests + 1))`` is the probability of rejecting a call, over the requests of a
sliding window and those that the backend accepted (B. Beyer et al., "Site Reliability Engineering", chapter 21,
"Handling Overload", "Client-Side Throttling", O'Reilly 2016). What is rejected here is a request too; so the backend
gets about K times what it accepts, and at a full outage next to nothing. A floor, as in Envoy's admission control
(``rps_threshold``), keeps a lone caller out of it and lets enough calls through to notice the recovery.

A call counts when its outcome is known: else the first calls under way, none of them accepted yet, would throttle
those behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from omnibase_infra.infrastructure.resilience.rules.sliding_window import SlidingWindow


@dataclass(slots=True, eq=False)
class Throttle:
    """Requests and accepts of the last `window` seconds.

    Args:
        multiplier: The formula's K, 1 or more.
        min_per_second: Calls a second that always pass.
        window: Seconds looked back on.
        booked_at: When accepted calls were booked last, seconds.
    """

    multiplier: float
    min_per_second: float
    window: float
    booked_at: float
    counts: SlidingWindow = field(init=False)

    def __post_init__(self) -> None:
        self.counts = SlidingWindow(self.window, width=2)


def rejection_probability(requests: int, accepts: int, multiplier: float, floor: float = 0.0) -> float:
    """The formula; `floor` are the requests of a window that pass whatever becomes of them."""
    wanted = max(multiplier * accepts, floor)
    return max(0.0, (requests - wanted) / (requests + 1))


def book(throttle: Throttle, accepted: int, unaccepted: int, now: float) -> float:
    """Book what has ended and return the probability with which the next call is to be rejected.

    `accepted` calls ended at unknown times since the last booking, and count as spread evenly; `unaccepted` ones,
    failed or rejected here, ended now.
    """
    throttle.counts.add_evenly(throttle.booked_at, now, accepted, accepted)
    throttle.booked_at = now
    requests, accepts = throttle.counts.add(now, unaccepted, 0)
    return rejection_probability(requests, accepts, throttle.multiplier, throttle.min_per_second * throttle.window)


def calm_until(throttle: Throttle, probability: float, now: float) -> float:
    """Until when no call needs to ask, as long as nothing but accepts comes in: those only lower the probability."""
    requests, accepts = throttle.counts.totals
    if requests == accepts:
        return inf
    # While there are failures, accepts that leave the window may raise it.
    return now if probability else throttle.counts.next_change(now)
