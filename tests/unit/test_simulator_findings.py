"""The measures and the course, from runs that are written down by hand."""

from __future__ import annotations

from array import array

import pytest
from tests.support.simulations import REFUSED, at_once, event, scenario

from omnibase_infra.enums import EnumCircuitState, EnumScenarioEvent
from omnibase_infra.simulator.findings import course, measures, shown
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.recorder import Outcome, Recording

ANSWERED, FAILED, REJECTED, GAVE_UP = Outcome.ANSWERED, Outcome.FAILED, Outcome.REJECTED, Outcome.GAVE_UP
OPEN, HALF_OPEN, CLOSED = EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN, EnumCircuitState.CLOSED


def run_of(*calls: tuple[float, float, Outcome], **more: object) -> Recording:
    """Calls as (when it came, how long it took, how it ended)."""
    began = [begin for begin, _, _ in calls]
    return Recording(
        began=array("d", began),
        ended=array("d", [begin + took for begin, took, _ in calls]),
        outcomes=bytearray(outcome for _, _, outcome in calls),
        attempts=more.pop("attempts", array("d", began)),
        **more,
    )


def every_tenth(seconds: float, how: Outcome = ANSWERED, since: float = 0.0, took: float = 0.01):
    return [(since + number / 10, took, how) for number in range(round(seconds * 10))]


def outage(at: float, lasts: float, seconds: float = 30.0):
    down = event(EnumScenarioEvent.OUTAGE, at, lasts, errors={REFUSED: 1.0})
    return scenario(down, load=ModelLoad(rate=10.0), seconds=seconds)


CALM = scenario(load=at_once(1, patience=7.0))


def test_calls_are_counted_by_how_they_ended():
    run = run_of(
        (0, 1, ANSWERED),
        (1, 1, ANSWERED),
        (2, 1, FAILED),
        (3, 0, REJECTED),
        (4, 7, GAVE_UP),
        attempts=array("d", [0, 1, 2, 2.5, 4, 5]),
        wasted=2,
        work_lost=3.25,
    )
    usual = run_of(*[(when, 0.5, ANSWERED) for when in range(4)], (4, 0.5, FAILED))
    found = measures(CALM, run, usual)
    assert (found.calls, found.successes, found.rejected, found.gave_up) == (5, 2, 1, 1)
    assert (found.success_rate, found.goodput_kept) == (0.4, 0.5)
    assert (found.attempts, found.amplification, found.wasted) == (6, 1.2, 2)
    assert found.work_lost_seconds == 3.25


def test_quantiles_are_times_that_occurred():
    run = run_of(*[(when, (when + 1) / 100, ANSWERED) for when in range(100)])
    usual = run_of(*[(when, 0.2, ANSWERED) for when in range(100)])
    found = measures(CALM, run, usual)
    assert (found.p50_seconds, found.p99_seconds) == pytest.approx((0.5, 0.99))
    assert (found.added_p50_seconds, found.added_p99_seconds) == pytest.approx((0.3, 0.79))


def test_who_gave_up_counts_with_its_patience_in_the_p99_and_not_in_the_p50():
    run = run_of(*[(when, 0.1, ANSWERED) for when in range(60)], *[(60 + when, 7, GAVE_UP) for when in range(40)])
    found = measures(CALM, run, run)
    assert (found.p50_seconds, found.p99_seconds) == (pytest.approx(0.1), 7.0)


def test_without_a_call_or_an_answer_there_is_no_division_by_zero():
    nothing = measures(CALM, run_of(), run_of())
    assert (nothing.success_rate, nothing.goodput_kept, nothing.amplification) == (0, 0, 0)
    assert nothing.p50_seconds is nothing.p99_seconds is nothing.added_p50_seconds is None
    failed = measures(CALM, run_of((0, 1, FAILED)), run_of((0, 1, ANSWERED)))
    assert failed.p99_seconds is failed.added_p99_seconds is None


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ([], None),
        ([(12.5, OPEN)], 2.5),
        ([(3.0, OPEN), (8.0, CLOSED), (11.0, OPEN), (14.0, OPEN)], 1.0),
        ([(3.0, OPEN)], None),
        ([(11.0, HALF_OPEN)], None),
    ],
)
def test_detection_is_the_first_opening_after_the_first_event_began(changes, seconds):
    run = run_of(circuit=changes)
    assert measures(outage(10, 5), run, run_of()).detect_seconds == seconds
    assert measures(CALM, run, run_of()).detect_seconds is None


def test_recovery_is_the_answer_from_which_on_users_are_served_again():
    usual = run_of(*every_tenth(30))
    down = [*every_tenth(10), *every_tenth(9, REJECTED, since=10), *every_tenth(11, since=19, took=0.25)]
    assert measures(outage(10, 5), run_of(*down), usual).recover_seconds == pytest.approx(4.25)


def test_a_lucky_probe_is_no_recovery():
    usual = run_of(*every_tenth(30))
    probed = [*every_tenth(16, REJECTED), (16, 0.1, ANSWERED), *every_tenth(3.9, REJECTED, since=16.1)]
    probed += every_tenth(10, since=20)
    assert measures(outage(10, 5), run_of(*probed), usual).recover_seconds == pytest.approx(5.01)


def test_nineteen_answers_out_of_twenty_are_a_recovery_and_fewer_are_not():
    usual = run_of(*every_tenth(30))
    fails_one_in_thirty = [
        (when, took, FAILED if number % 30 == 15 else how) for number, (when, took, how) in enumerate(every_tenth(30))
    ]
    fails_two_in_thirty = [
        (when, took, FAILED if number % 15 == 5 else how) for number, (when, took, how) in enumerate(every_tenth(30))
    ]
    assert measures(outage(10, 5), run_of(*fails_one_in_thirty), usual).recover_seconds == pytest.approx(0.01)
    assert measures(outage(10, 5), run_of(*fails_two_in_thirty), usual).recover_seconds is None


def test_a_recovery_has_to_show_before_the_scenario_ends():
    usual = run_of(*every_tenth(30))
    late = [*every_tenth(27.5, FAILED), *every_tenth(2.5, since=27.5)]
    assert measures(outage(10, 5), run_of(*late), usual).recover_seconds is None


def test_what_fails_on_a_usual_day_too_does_not_delay_the_recovery():
    often = [
        (when, took, FAILED if number % 5 == 4 else how) for number, (when, took, how) in enumerate(every_tenth(30))
    ]
    assert measures(outage(10, 5), run_of(*often), run_of(*often)).recover_seconds == pytest.approx(0.01)


def test_the_course_counts_each_thing_when_it_happened():
    run = run_of(
        (0.5, 0.7, ANSWERED),
        (0.6, 0.1, ANSWERED),
        (1.5, 0.2, FAILED),
        (1.6, 0.0, REJECTED),
        (1.7, 1.0, GAVE_UP),
        attempts=array("d", [0.5, 0.6, 1.5, 1.6, 2.4]),
        retries=array("d", [1.6]),
        budget=[1.0, 2.0, 1.23456789],
        circuit=[(1.5, OPEN)],
    )
    found = course(scenario(load=at_once(1), seconds=2.5), run)
    assert found.step == 1.0
    assert found.offered == (2, 3, 0)
    assert found.served == (1, 1, 0)
    assert found.failed == (0, 1, 1)
    assert found.rejected == (0, 1, 0)
    assert found.attempts == (2, 2, 1)
    assert found.retried == (0, 1, 0)
    assert found.p50 == pytest.approx((0.1, 0.7, None))
    assert found.budget == (1.0, 2.0, 1.23457)
    assert found.circuit == ((1.5, OPEN),)


def test_what_ends_after_the_end_counts_in_the_last_step():
    found = course(scenario(load=at_once(1), seconds=2), run_of((1.5, 4.0, ANSWERED), attempts=array("d", [1.5, 3.0])))
    assert found.served == (0, 1)
    assert found.attempts == (0, 2)
    assert found.p99 == (None, 4.0)


def test_figures_have_six_digits():
    assert shown(1234567.891) == 1234570.0
    assert shown(0.00012345678) == 0.000123457
    assert shown(None) is None
