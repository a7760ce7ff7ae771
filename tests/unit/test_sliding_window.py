"""The sums over the last seconds, against every count kept by itself."""

from __future__ import annotations

import random

import pytest

from omnibase_infra.infrastructure.resilience.rules.sliding_window import SlidingWindow

SECONDS = 20.0
PART = SECONDS / 10


def test_what_was_added_counts_until_the_tenth_it_came_in_is_a_window_old():
    window = SlidingWindow(SECONDS, width=1)
    assert window.add(PART - 0.01, 3) == [3]
    assert window.add(SECONDS - 0.01, 1) == [4]
    assert window.add(SECONDS, 1) == [2]
    assert window.add(2 * SECONDS - PART - 0.01, 0) == [2]
    assert window.add(2 * SECONDS - PART, 0) == [1]
    assert window.add(2 * SECONDS, 0) == [0]


def test_counters_stand_side_by_side_and_the_totals_are_readable():
    window = SlidingWindow(SECONDS, width=3)
    window.add(0.0, 1, 0, 2)
    window.add(1.0, 1, 1)
    assert window.totals == [2, 1, 2]


def test_it_keeps_ten_parts_however_many_counts_come():
    window = SlidingWindow(SECONDS, width=1)
    for step in range(1000):
        window.add(step * SECONDS / 100, 1)
    assert len(window._slots) == 10
    assert window.totals == [100]


@pytest.mark.parametrize("seconds", [0.5, 10.0, 3600.0])
def test_it_agrees_with_counts_that_are_kept_one_by_one(seconds):
    rng, now = random.Random(seconds), 1000.0
    window = SlidingWindow(seconds, width=2)
    kept: list[tuple[int, int, int]] = []
    for _ in range(500):
        now += rng.expovariate(20 / seconds) * rng.choice((0, 1, 10))
        counts = rng.randrange(3), rng.randrange(3)
        kept.append((int(now * 10 / seconds), *counts))
        youngest = int(now * 10 / seconds)
        living = [entry for entry in kept if entry[0] > youngest - 10]
        assert window.add(now, *counts) == [sum(entry[1] for entry in living), sum(entry[2] for entry in living)]


def test_counts_of_a_stretch_are_spread_evenly_over_it():
    window = SlidingWindow(SECONDS, width=1)
    assert window.add_evenly(100.0, 100.0 + SECONDS - 0.01, 1000) == [1000]
    totals = [window.add(100.0 + SECONDS + part * PART, 0)[0] for part in range(10)]
    assert totals == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]


def test_of_a_stretch_longer_than_the_window_only_the_last_part_counts():
    window = SlidingWindow(SECONDS, width=2)
    assert window.add_evenly(0.0, 4 * SECONDS, 1000, 7)[0] == 250
    assert window.totals == [250, 1]


def test_counts_of_a_moment_are_added_at_once():
    window = SlidingWindow(SECONDS, width=1)
    assert window.add_evenly(5.0, 5.0, 10) == [10]
    assert window.add_evenly(5.0, 5.0 + PART, 10) == [20], "a tenth of the window is a moment"
    assert len(window._slots) == 2
    assert [window.add(SECONDS + at, 0)[0] for at in (PART, 2 * PART, 3 * PART)] == [20, 10, 0]


def test_nothing_to_spread_adds_no_parts():
    window = SlidingWindow(SECONDS, width=2)
    window.add_evenly(0.0, SECONDS, 0, 0)
    assert len(window._slots) == 1


@pytest.mark.parametrize("count", [1, 7, 10, 999])
def test_spreading_loses_and_makes_nothing(count):
    assert SlidingWindow(SECONDS, width=1).add_evenly(3.0, 3.0 + SECONDS * 0.9, count) == [count]


def test_the_next_change_is_the_end_of_the_tenth_that_now_is_in():
    window = SlidingWindow(SECONDS, width=1)
    assert window.next_change(0.0) == PART
    assert window.next_change(PART - 0.001) == PART
    assert window.next_change(PART) == 2 * PART
    window.add(0.0, 5)
    at = window.next_change(SECONDS - 0.001)
    assert at == SECONDS
    assert window.add(at - 0.001, 0) == [5]
    assert window.add(at, 0) == [0]
