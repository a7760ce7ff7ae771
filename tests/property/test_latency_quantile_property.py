"""The moving quantile against its definition: the nearest rank among the last latencies, sorted."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from omnibase_infra.infrastructure.resilience.rules.latency_quantile import LatencyQuantile, record

LATENCIES = st.lists(st.floats(0, 100) | st.sampled_from([0.0, 1.0, 2.0]), max_size=60)


@given(
    quantile=st.floats(0, 1, exclude_min=True),
    samples=st.integers(1, 20),
    minimum=st.integers(1, 20),
    latencies=LATENCIES,
)
def test_it_is_the_nearest_rank_of_the_last_samples_once_there_are_enough(quantile, samples, minimum, latencies):
    kept = LatencyQuantile(quantile, samples, minimum)
    for count, seconds in enumerate(latencies, start=1):
        answer = record(kept, seconds)
        last = sorted(latencies[max(0, count - samples) : count])
        if len(last) < minimum:
            assert answer is None
        else:
            assert answer == last[ceil(quantile * len(last)) - 1]
            assert sum(one <= answer for one in last) >= quantile * len(last)


@given(latencies=LATENCIES)
def test_the_whole_share_is_the_longest_kept(latencies):
    kept = LatencyQuantile(1.0, 10, 1)
    for count, seconds in enumerate(latencies, start=1):
        assert record(kept, seconds) == max(latencies[max(0, count - 10) : count])
