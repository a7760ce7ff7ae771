"""A quantile of the last latencies, exact, at the cost of one insertion into a sorted list.

The quantile is the nearest rank: the smallest latency that a share `quantile` of the kept ones does not exceed
(definition 1 in R. J. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50,
1996).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from math import ceil


@dataclass(slots=True, eq=False)
class LatencyQuantile:
    """The last `samples` latencies, by age and by length.

    Args:
        quantile: Share of the latencies that lie at or below the answer, above 0 and at most 1.
        samples: Latencies kept, 1 or more.
        minimum: Latencies below which there is no answer.
    """

    quantile: float
    samples: int
    minimum: int
    recent: deque[float] = field(default_factory=deque)
    ordered: list[float] = field(default_factory=list)


def record(kept: LatencyQuantile, seconds: float) -> float | None:
    """Keep one latency, forget the oldest beyond `samples`; return the quantile, None while they are too few."""
    recent, ordered = kept.recent, kept.ordered
    if len(recent) == kept.samples:
        del ordered[bisect_left(ordered, recent.popleft())]
    recent.append(seconds)
    insort(ordered, seconds)
    count = len(ordered)
    return ordered[ceil(kept.quantile * count) - 1] if count >= kept.minimum else None
