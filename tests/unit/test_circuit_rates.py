"""Contract section 4, beyond the base: the rate window, slow calls, and a recovery time that grows."""

import pytest
from tests.support.circuits import Clock, Flight, attempt, fail, make, refused

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience.rules.sliding_window import SlidingWindow

CLOSED, OPEN, HALF_OPEN, *_ = EnumCircuitState


def with_rate(clock=None, **settings):
    return make(clock, **{"failure_threshold": 1000, "failure_rate": 0.5, "minimum_calls": 4, "window": 10, **settings})


def with_slow(clock, **settings):
    return make(
        clock,
        **{
            "failure_threshold": 1000,
            "slow_call_seconds": 2.0,
            "slow_call_rate": 0.5,
            "minimum_calls": 4,
            "window": 100,
            **settings,
        },
    )


def slowly(breaker, clock, seconds, error=None):
    flight = Flight(breaker)
    clock.advance(seconds)
    if error is None:
        flight.land()
    else:
        flight.crash(error)


def test_the_rate_opens_a_circuit_whose_failures_are_never_consecutive():
    breaker = with_rate(failure_threshold=2)
    for _ in range(2):
        assert breaker.closed
        attempt(breaker)
        fail(breaker)
    assert breaker.state is OPEN


def test_no_rate_is_judged_below_the_minimum_of_calls():
    breaker = with_rate(minimum_calls=10)
    fail(breaker, 9)
    assert breaker.closed
    fail(breaker)
    assert breaker.state is OPEN


def test_the_consecutive_count_works_beside_the_window():
    breaker = with_rate(failure_threshold=3, minimum_calls=100)
    fail(breaker, 3)
    assert breaker.state is OPEN


@pytest.mark.parametrize(("rate", "calls"), [(0.07, 100), (0.14, 50), (0.28, 25), (0.55, 100), (0.57, 100), (1.0, 7)])
def test_a_rate_is_reached_exactly_at_its_share(rate, calls):
    failures = round(rate * calls)
    breaker = with_rate(failure_rate=rate, minimum_calls=calls)
    for _ in range(calls - failures):
        attempt(breaker)
    fail(breaker, failures - 1)
    assert breaker.closed
    fail(breaker)
    assert breaker.state is OPEN

    below = with_rate(failure_rate=rate, minimum_calls=calls)
    for _ in range(calls - failures + 1):
        attempt(below)
    fail(below, failures - 1)
    assert below.closed


def test_failures_leave_the_window_with_time():
    clock = Clock()
    breaker = with_rate(clock)
    fail(breaker, 3)
    clock.advance(10)
    fail(breaker)
    assert breaker.closed
    clock.advance(5)
    fail(breaker, 2)
    assert breaker.closed
    fail(breaker)
    assert breaker.state is OPEN


def test_caller_errors_and_cancellations_are_no_calls_of_the_window():
    breaker = with_rate()
    fail(breaker, 3)
    fail(breaker, 10, ValueError("caller"))
    Flight(breaker).cancel()
    assert breaker.closed
    fail(breaker)
    assert breaker.state is OPEN


def test_a_circuit_that_closed_again_begins_with_an_empty_window():
    clock = Clock()
    breaker = with_rate(clock, recovery_timeout=1)
    fail(breaker, 4)
    clock.advance(1)
    attempt(breaker)
    fail(breaker, 3)
    assert breaker.closed


def test_a_late_failure_of_an_older_generation_does_not_enter_the_new_window():
    breaker = with_rate(minimum_calls=1, failure_rate=1.0)
    late = Flight(breaker)
    breaker.trip()
    breaker.reset()
    late.crash()
    assert breaker.closed


def test_slow_calls_open_at_their_share_even_when_they_succeed():
    clock = Clock()
    breaker = with_slow(clock)
    slowly(breaker, clock, 1.9)
    slowly(breaker, clock, 1.9)
    slowly(breaker, clock, 2.0)
    assert breaker.closed
    slowly(breaker, clock, 2.0)
    assert breaker.state is OPEN


@pytest.mark.parametrize("error", [TimeoutError(), InfraRateLimitedError("429")], ids=["timeout", "throttled"])
def test_a_slow_call_that_fails_is_slow_too(error):
    clock = Clock()
    breaker = with_slow(clock, slow_call_rate=1.0)
    for _ in range(4):
        assert breaker.closed
        slowly(breaker, clock, 3.0, error)
    assert breaker.state is OPEN


def test_quick_failures_do_not_open_by_the_slow_rate():
    clock = Clock()
    breaker = with_slow(clock)
    for _ in range(20):
        slowly(breaker, clock, 0.1, TimeoutError())
    assert breaker.closed


def test_a_slow_probe_has_not_shown_recovery():
    clock = Clock()
    breaker = with_slow(clock, recovery_timeout=30)
    breaker.trip()
    clock.advance(30)
    slowly(breaker, clock, 2.0)
    assert (breaker.state, breaker.open_remaining) == (OPEN, 30)
    clock.advance(30)
    slowly(breaker, clock, 1.0)
    assert breaker.closed


def recovery_times(breaker, clock, openings):
    """The open times of a circuit whose probes all fail."""
    times = []
    breaker.trip()
    for _ in range(openings):
        opened = clock.now
        while breaker.opened:
            clock.advance(0.25)
        times.append(clock.now - opened)
        fail(breaker)
    return times


def test_the_recovery_time_is_constant_unless_told_otherwise():
    clock = Clock()
    assert recovery_times(make(clock, recovery_timeout=8), clock, 4) == [8, 8, 8, 8]


def test_the_recovery_time_grows_with_each_failed_probe_up_to_its_cap():
    clock = Clock()
    breaker = make(clock, recovery_timeout=2, recovery_multiplier=3, max_recovery_timeout=25)
    assert recovery_times(breaker, clock, 5) == [2, 6, 18, 25, 25]


def test_a_circuit_that_closed_begins_again_with_the_first_recovery_time():
    clock = Clock()
    breaker = make(clock, recovery_timeout=2, recovery_multiplier=3)
    recovery_times(breaker, clock, 3)
    clock.advance(100)
    attempt(breaker)
    assert breaker.closed
    assert recovery_times(breaker, clock, 2) == [2, 6]


def test_a_refused_callers_hint_grows_with_the_recovery_time_up_to_its_cap():
    clock = Clock()
    breaker = make(clock, recovery_timeout=2, recovery_multiplier=3, max_recovery_timeout=20)
    for hint in (2, 6, 18, 20, 20):
        if breaker.closed:
            breaker.trip()
        assert refused(breaker).retry_after_seconds == hint
        clock.advance(hint)
        probe = Flight(breaker)
        assert refused(breaker).retry_after_seconds == hint
        probe.crash()


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 8), (0.5, 10), (0.999, 12)])
def test_jitter_lengthens_the_recovery_time_by_up_to_its_share(chance, seconds):
    clock = Clock()
    breaker = make(clock, recovery_timeout=8, recovery_jitter=0.5, rng=lambda: chance)
    assert recovery_times(breaker, clock, 3) == [seconds] * 3


def test_jitter_does_not_compound_over_openings_and_never_passes_the_cap():
    clock = Clock()
    breaker = make(
        clock,
        recovery_timeout=4,
        recovery_multiplier=2,
        max_recovery_timeout=20,
        recovery_jitter=0.5,
        rng=lambda: 0.5,
    )
    assert recovery_times(breaker, clock, 4) == [5, 10, 20, 20]


def test_a_sliding_window_forgets_after_its_length_and_keeps_at_least_nine_tenths_of_it():
    window = SlidingWindow(10.0, 2)
    assert window.add(0.9, 1, 5) == [1, 5]
    assert window.add(9.9, 1, 0) == [2, 5]
    assert window.add(10.0, 1, 0) == [2, 0]
    assert window.add(1e9, 0, 0) == [0, 0]


def test_a_sliding_window_takes_constant_space():
    window = SlidingWindow(1.0, 1)
    for second in range(1000):
        window.add(second / 100, 1)
        assert len(window._slots) <= 10
    assert window.totals == [100]


def test_a_sliding_window_keeps_its_sums_when_threads_come_with_times_out_of_order():
    window = SlidingWindow(10.0, 1)
    for now in (5.0, 4.0, 5.0, 3.9, 5.0):
        window.add(now, 1)
    assert window.totals == [5]
    assert window.add(15.0, 0) == [0]
