"""Each kind of event does to the dependency what its docstring says."""

from __future__ import annotations

from math import inf

import pytest
from tests.support.simulations import (
    REFUSED,
    SERVICE,
    at_once,
    event,
    outcomes,
    preset,
    recorded,
    scenario,
    taken,
)

from omnibase_infra.enums import EnumScenarioEvent as Event
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.recorder import Outcome

ANSWERED, FAILED, GAVE_UP = Outcome.ANSWERED, Outcome.FAILED, Outcome.GAVE_UP
ERRORS = {REFUSED: 1.0}
GONE = [Event.OUTAGE, Event.FAIL_OVER]
ANYTHING = {
    Event.OUTAGE: {"errors": ERRORS},
    Event.BROWN_OUT: {"factor": 2.0},
    Event.SLOW_START: {"factor": 2.0},
    Event.BAD_HOST: {"share": 0.5, "errors": ERRORS},
    Event.FAIL_OVER: {"errors": ERRORS},
    Event.THROTTLING: {"rate": 1.0, "errors": ERRORS},
    Event.LEADER_CHANGE: {"errors": ERRORS},
    Event.SEALED: {"errors": ERRORS},
    Event.CREDENTIAL_EXPIRY: {"errors": ERRORS},
    Event.DEPLOY_WAVE: {"share": 0.5, "errors": ERRORS},
    Event.CLOCK_PAUSE: {},
}


@pytest.mark.parametrize("kind", GONE)
def test_while_the_server_is_gone_every_attempt_fails_at_once_and_is_wasted(kind):
    run = recorded(scenario(event(kind, 2.5, 2, errors=ERRORS), load=at_once(1), seconds=7))
    assert outcomes(run) == [ANSWERED, ANSWERED, FAILED, FAILED, ANSWERED, ANSWERED]
    assert taken(run) == [SERVICE, SERVICE, 0, 0, SERVICE, SERVICE]
    assert run.wasted == 2


@pytest.mark.parametrize("kind", GONE)
def test_what_is_under_way_when_the_server_goes_fails_with_it(kind):
    run = recorded(scenario(event(kind, 1.05, 2, errors=ERRORS), load=at_once(3), seconds=2, capacity=2))
    assert outcomes(run) == [FAILED] * 3
    assert taken(run) == [0.05] * 3
    assert run.wasted == 0


@pytest.mark.parametrize("kind", GONE)
def test_an_attempt_that_hangs_gets_no_answer_at_all(kind):
    load = at_once(2, patience=5)
    run = recorded(scenario(event(kind, 1.05, 1.5, hang=1.0), load=load, seconds=3))
    assert outcomes(run) == [GAVE_UP] * 4
    assert taken(run) == [5.0] * 4


def test_the_share_that_hangs_is_a_share():
    load = at_once(1000, patience=5)
    run = recorded(scenario(event(Event.OUTAGE, 0.5, 5, hang=0.3, errors=ERRORS), load=load, seconds=2))
    assert 250 < outcomes(run).count(GAVE_UP) < 350


@pytest.mark.parametrize("kind", GONE)
def test_when_the_server_is_back_every_connection_has_to_be_made_anew(kind):
    lost = event(kind, 1.5, 1, errors=ERRORS)
    run = recorded(scenario(lost, load=at_once(1), seconds=5, pool=2, connect=0.2))
    assert taken(run) == [SERVICE, 0, 0.3, SERVICE]  # the one that was just made is used again


def test_in_a_brown_out_everything_takes_longer():
    run = recorded(scenario(event(Event.BROWN_OUT, 1.5, 1, factor=5.0), load=at_once(1), seconds=4))
    assert taken(run) == [SERVICE, 5 * SERVICE, SERVICE]
    assert outcomes(run) == [ANSWERED] * 3


def test_in_a_brown_out_a_share_fails_when_it_has_been_served():
    fails = event(Event.BROWN_OUT, 0.5, 1, factor=2.0, share=0.3, errors=ERRORS)
    run = recorded(scenario(fails, load=at_once(1000), seconds=2, capacity=1000))
    assert set(taken(run)) == {2 * SERVICE}
    assert 250 < outcomes(run).count(FAILED) < 350


def test_a_slow_start_grows_faster_until_it_is_over():
    run = recorded(scenario(event(Event.SLOW_START, 0, 4, factor=5.0), load=at_once(1), seconds=7))
    assert taken(run) == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.1, 0.1])


def test_a_bad_host_fails_every_so_manieth_attempt():
    run = recorded(scenario(event(Event.BAD_HOST, 0.5, 9, share=0.25, errors=ERRORS), load=at_once(1), seconds=9))
    assert outcomes(run) == [ANSWERED, ANSWERED, ANSWERED, FAILED] * 2
    assert run.wasted == 0


def test_a_throttled_server_takes_its_rate_and_refuses_the_rest():
    throttled = event(Event.THROTTLING, 0.5, 10, rate=3.0, errors=ERRORS)
    run = recorded(scenario(throttled, load=at_once(5, every=0.5), seconds=2.2))
    taken_at = [begin for begin, how in zip(run.began, outcomes(run), strict=True) if how is ANSWERED]
    # Its bucket holds three, and fills up by one and a half until the next five come.
    assert [taken_at.count(when) for when in (0.5, 1.0, 1.5, 2.0)] == [3, 1, 2, 1]


def test_a_throttled_server_saves_up_for_a_second_and_no_longer():
    throttled = event(Event.THROTTLING, 0.5, 30, rate=3.0, errors=ERRORS)
    run = recorded(scenario(throttled, load=at_once(9, every=10), seconds=21))
    assert outcomes(run) == ([ANSWERED] * 3 + [FAILED] * 6) * 2


def test_a_throttled_server_s_hint_reaches_the_retry():
    during = event(Event.THROTTLING, 2.5, 1, rate=1.0, retry_after=4.0, errors={"httpx.429": 1.0})
    run = recorded(scenario(during, load=at_once(2, every=3), transport="network", seconds=4), preset())
    assert list(run.attempts) == [3.0, 3.0, 7.0]


def test_attempts_at_a_partition_without_a_leader_fail_whatever_their_number():
    change = event(Event.LEADER_CHANGE, 0.5, 30, share=0.4, errors=ERRORS)
    stack = preset({"retry.budget": None, "circuit_breaker": None, "bulkhead": None, "rate_limit.capacity": 1000})
    run = recorded(scenario(change, load=at_once(200), seconds=2, capacity=200), stack)
    failed = outcomes(run).count(FAILED)
    assert 60 < failed < 100
    assert len(run.attempts) == (200 - failed) + 3 * failed


def test_a_sealed_server_refuses_everybody_and_keeps_its_connections():
    sealed = event(Event.SEALED, 1.05, 2, errors=ERRORS)
    run = recorded(scenario(sealed, load=at_once(1), seconds=5, pool=1, connect=0.2))
    assert outcomes(run) == [ANSWERED, FAILED, FAILED, ANSWERED]
    assert taken(run) == [SERVICE, 0, 0, SERVICE]
    assert run.wasted == 2


EXPIRED = event(Event.CREDENTIAL_EXPIRY, 1.5, 2, errors={"hvac.Forbidden": 1.0})


def test_an_expired_credential_is_refused_until_the_event_ends():
    run = recorded(scenario(EXPIRED, load=at_once(1), seconds=5, transport="vault"), preset())
    assert outcomes(run) == [ANSWERED, FAILED, FAILED, ANSWERED]
    assert run.wasted == 0


def test_an_expired_credential_is_accepted_again_once_it_is_refreshed():
    stack = preset({"credential_refresh": True})
    run = recorded(scenario(EXPIRED, load=at_once(1), seconds=5, transport="vault", connect=0.2, pool=1), stack)
    assert outcomes(run) == [ANSWERED] * 4
    assert taken(run) == pytest.approx([SERVICE, 0.2 + SERVICE, SERVICE, SERVICE])
    assert len(run.attempts) == 5


def test_a_deploy_wave_takes_a_share_of_the_capacity_and_cuts_off_a_share_of_the_attempts():
    wave = event(Event.DEPLOY_WAVE, 0.5, 60, share=0.5, errors=ERRORS)
    run = recorded(scenario(wave, load=at_once(400), seconds=2, capacity=4))
    hows = outcomes(run)
    assert 160 < hows.count(FAILED) < 240
    # Those that are cut off take half as long as the others on average; two places are left.
    assert taken(run)[-1] == pytest.approx(400 * 0.75 * SERVICE / 2, rel=0.1)


def test_after_a_deploy_wave_the_capacity_is_back():
    wave = event(Event.DEPLOY_WAVE, 0.5, 0.2, share=0.5, errors=ERRORS)
    run = recorded(scenario(wave, load=at_once(4), seconds=2, capacity=4))
    assert taken(run) == [SERVICE] * 4


def test_while_the_process_stands_still_the_server_goes_on():
    pause = event(Event.CLOCK_PAUSE, 1.05, 3)
    run = recorded(scenario(pause, load=at_once(3), seconds=2, capacity=1))
    # Served one after the other at 1.1, 1.2 and 1.3, but nobody was there to take the answers.
    assert taken(run) == pytest.approx([3.05] * 3)
    assert run.work_lost == 0


def test_users_who_call_while_the_process_stands_still_wait_for_it():
    pause = event(Event.CLOCK_PAUSE, 0.5, 3)
    run = recorded(scenario(pause, load=at_once(1), seconds=4))
    assert list(run.began) == [1.0, 2.0, 3.0]
    assert taken(run) == pytest.approx([2.6, 1.6, 0.6])
    assert list(run.attempts) == [3.5] * 3


def test_users_who_lose_patience_while_the_process_stands_still_have_left():
    pause = event(Event.CLOCK_PAUSE, 0.5, 3)
    run = recorded(scenario(pause, load=at_once(1, patience=1), seconds=4))
    assert outcomes(run) == [GAVE_UP, GAVE_UP, ANSWERED]


def test_what_a_pause_delays_reaches_the_server_after_what_it_did_meanwhile():
    pause = event(Event.CLOCK_PAUSE, 1.05, 1.0)
    run = recorded(scenario(pause, load=at_once(3, every=1.0), seconds=1.5, capacity=1, pool=2))
    # Two connections: the third attempt gets one only when the process is back, and then has the server to itself.
    assert taken(run) == pytest.approx([1.05, 1.05, 1.15])


@pytest.mark.parametrize("kind", list(Event))
def test_no_event_outlasts_its_time(kind):
    during = event(kind, 1.5, 1, **ANYTHING[kind])
    run = recorded(scenario(during, load=ModelLoad(rate=50.0), seconds=8))
    later = [how for begin, how in zip(run.began, outcomes(run), strict=True) if begin > 2.5]
    times = [time for begin, time in zip(run.began, taken(run), strict=True) if begin > 3.5]
    assert set(later) == {ANSWERED}
    assert set(times) == {SERVICE}


@pytest.mark.parametrize("kind", list(Event))
def test_before_an_event_nothing_is_felt_of_it(kind):
    during = event(kind, 4.5, 1, **ANYTHING[kind])
    run = recorded(scenario(during, load=ModelLoad(rate=50.0), seconds=8))
    before = [(how, time) for how, time, end in zip(outcomes(run), taken(run), run.ended, strict=True) if end < 4.5]
    assert len(before) > 100
    assert set(before) == {(ANSWERED, SERVICE)}
    assert max(run.ended) < inf


def test_what_a_deploy_wave_cuts_off_loses_its_connection():
    wave = event(Event.DEPLOY_WAVE, 0.5, 1.0, share=0.999999, errors=ERRORS)
    run = recorded(scenario(wave, load=at_once(1), seconds=4, pool=1, connect=0.2))
    assert outcomes(run) == [FAILED, ANSWERED, ANSWERED]
    assert taken(run)[1:] == pytest.approx([0.2 + SERVICE, SERVICE])
