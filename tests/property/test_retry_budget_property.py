"""The retry budget against the sentence that defines it: retries <= floor * window + ratio * calls."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.retries import Clock, Script

from omnibase_infra.errors import InfraConnectionError
from omnibase_infra.infrastructure.resilience import RetryBudget, create_database_retry_policy
from omnibase_infra.infrastructure.resilience.rules.budget import Budget, balance, spend
from omnibase_infra.models.resilience import ModelRetryBudgetConfig

RATIO = st.floats(0, 1)
FLOOR = st.floats(0, 20)
WINDOW = st.sampled_from([0.5, 1.0, 10.0, 60.0])
# (seconds since the step before, calls made in between, retries asked for)
STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 200), st.integers(0, 200)), max_size=30)


@pytest.fixture(autouse=True, scope="module")
def _unlogged():
    logger = logging.getLogger("omnibase_infra.resilience")
    logger.disabled = True
    yield
    logger.disabled = False


@given(ratio=RATIO, floor=FLOOR, window=WINDOW, steps=STEPS)
def test_retries_of_a_window_never_exceed_the_floor_and_the_share_of_all_calls(ratio, floor, window, steps):
    state = Budget(ratio, floor, window, asked_at=0.0)
    now, calls, granted = 0.0, 0, []
    for gap, new_calls, wanted in steps:
        now += gap
        calls += new_calls
        balance(state, new_calls, now)
        granted.extend(now for _ in range(wanted) if spend(state, 0, now))
        recent = sum(then > now - 0.9 * window for then in granted)  # the window's edge is exact to a tenth
        assert recent <= floor * window + ratio * calls + 1e-6


@given(ratio=RATIO, floor=FLOOR, window=WINDOW, rate=st.integers(1, 50), windows=st.integers(1, 4))
def test_under_steady_traffic_the_retries_of_a_window_stay_within_its_own_calls(ratio, floor, window, rate, windows):
    state = Budget(ratio, floor, window, asked_at=0.0)
    granted: list[int] = []
    tenth = rate * window / 10
    booked = 0
    for tick in range(1, windows * 10 + 1):
        new_calls = int(tick * tenth) - booked
        booked += new_calls
        now = tick * window / 10
        granted.append(0)
        while spend(state, new_calls, now):
            granted[-1] += 1
            new_calls = 0
        assert sum(granted[-9:]) <= floor * window + ratio * (rate * window + tenth + 2)


@given(
    ratio=RATIO,
    floor=FLOOR,
    window=WINDOW,
    quiet=st.floats(0, 1e6),
    new_calls=st.integers(0, 10**7),
)
def test_a_stretch_without_questions_earns_the_share_of_its_average_window(ratio, floor, window, quiet, new_calls):
    state = Budget(ratio, floor, window, asked_at=0.0)
    of_a_window = new_calls * min(1.0, window / quiet) if quiet else new_calls
    left = balance(state, new_calls, quiet)
    # Booked in tenths, of which the window's edge may cut off one, and whole calls.
    assert (
        floor * window + ratio * (0.9 * of_a_window - 2) - 1e-6 <= left <= floor * window + ratio * of_a_window + 1e-6
    )


@given(ratio=RATIO, floor=FLOOR, window=WINDOW, asked=st.lists(st.floats(0, 5), max_size=30))
def test_asking_for_the_balance_changes_nothing(ratio, floor, window, asked):
    state = Budget(ratio, floor, window, asked_at=0.0)
    now = 0.0
    for gap in asked:
        now += gap
        assert balance(state, 0, now) == pytest.approx(floor * window)


@given(
    attempts=st.integers(1, 8),
    least=st.floats(0.1, 5),
    calls=st.integers(1, 40),
    thinking=st.floats(0, 2),
)
def test_a_lone_caller_always_gets_all_its_attempts_from_the_default_budget(attempts, least, calls, thinking):
    clock, script = Clock(), Script(ConnectionError)
    guarded = create_database_retry_policy(attempts, least, least, clock=clock, sleep=clock.sleep, rng=lambda: 0.0)(
        script
    )
    for _ in range(calls):
        with pytest.raises(InfraConnectionError) as caught:
            guarded()
        assert caught.value.retry_count == attempts
        clock.now += thinking


@given(calls=st.integers(0, 300), ratio=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_a_full_outage_at_one_moment_is_met_with_exactly_the_budget(calls: int, ratio: float):
    clock, script = Clock(), Script(ConnectionError)
    budget = RetryBudget(ModelRetryBudgetConfig(ratio=ratio, min_per_second=1, window=10), clock=clock)
    guarded = create_database_retry_policy(2, clock=clock, sleep=lambda seconds: None, retry_budget=budget)(script)
    for _ in range(calls):
        with pytest.raises(InfraConnectionError):
            guarded()
    retries = script.calls - calls
    assert min(calls, 10) <= retries <= min(calls, 10 + ratio * calls)
    assert calls <= 10 or retries >= min(calls, int(10 + ratio * calls) - 1)
