"""A scenario that makes no sense is refused as it is read, with the parameter, what was given and what is allowed."""

from __future__ import annotations

import pytest
from tests.support.simulations import REFUSED, at_once, event, scenario

from omnibase_infra.enums import EnumScenarioEvent as Event
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad

ERRORS = {REFUSED: 1.0}
NUMBERS = {"share": 0.5, "factor": 2.0, "hang": 0.5, "rate": 5.0, "retry_after": 1.0, "errors": ERRORS}
USED = {
    Event.OUTAGE: {"hang", "errors"},
    Event.BROWN_OUT: {"factor", "share", "hang", "errors"},
    Event.SLOW_START: {"factor"},
    Event.BAD_HOST: {"share", "hang", "errors"},
    Event.FAIL_OVER: {"hang", "errors"},
    Event.THROTTLING: {"rate", "retry_after", "errors"},
    Event.LEADER_CHANGE: {"share", "hang", "errors"},
    Event.SEALED: {"errors"},
    Event.CREDENTIAL_EXPIRY: {"errors"},
    Event.DEPLOY_WAVE: {"share", "errors"},
    Event.CLOCK_PAUSE: set(),
}


@pytest.mark.parametrize("kind", list(Event))
def test_an_event_takes_the_numbers_that_its_kind_uses_and_refuses_the_others(kind):
    fitting = {name: number for name, number in NUMBERS.items() if name in USED[kind]}
    assert event(kind, 1, 1, **fitting)
    for name in NUMBERS.keys() - USED[kind]:
        with pytest.raises(ProtocolConfigurationError, match=rf"{name}: is not used by {kind}, which takes at, lasts"):
            event(kind, 1, 1, **fitting, **{name: NUMBERS[name]})


@pytest.mark.parametrize(
    ("kind", "given", "missing"),
    [
        (Event.OUTAGE, {}, "errors"),
        (Event.OUTAGE, {"hang": 0.9}, "errors"),
        (Event.FAIL_OVER, {}, "errors"),
        (Event.SEALED, {}, "errors"),
        (Event.CREDENTIAL_EXPIRY, {}, "errors"),
        (Event.LEADER_CHANGE, {"share": 0.5}, "errors"),
        (Event.BAD_HOST, {"share": 0.5}, "errors"),
        (Event.BAD_HOST, {"errors": ERRORS}, "share"),
        (Event.DEPLOY_WAVE, {"errors": ERRORS}, "share"),
        (Event.THROTTLING, {"errors": ERRORS}, "rate"),
        (Event.THROTTLING, {"rate": 1.0}, "errors"),
        (Event.SLOW_START, {}, "factor"),
        (Event.BROWN_OUT, {"share": 0.5}, "errors"),
        (Event.BROWN_OUT, {"hang": 0.5, "factor": 2.0}, "errors"),
        (Event.BAD_HOST, {"errors": ERRORS, "share": 1.0}, "share"),
        (Event.BROWN_OUT, {}, "factor"),
    ],
)
def test_what_an_event_needs_is_required(kind, given, missing):
    with pytest.raises(ProtocolConfigurationError, match=rf"{missing}: is required by {kind}"):
        event(kind, 1, 1, **given)


def test_where_everything_hangs_no_error_is_needed():
    assert event(Event.OUTAGE, 1, 1, hang=1.0)
    assert event(Event.BAD_HOST, 1, 1, share=0.5, hang=1.0)


@pytest.mark.parametrize("kind", list(Event))
def test_an_event_that_was_written_down_with_all_its_defaults_can_be_read_again(kind):
    written = event(kind, 1, 1, **{name: number for name, number in NUMBERS.items() if name in USED[kind]})
    assert type(written).model_validate_json(written.model_dump_json()) == written


@pytest.mark.parametrize("errors", [{}, {REFUSED: 0.0}, {REFUSED: -1.0}])
def test_errors_that_cannot_happen_are_refused(errors):
    with pytest.raises(ProtocolConfigurationError, match="errors"):
        event(Event.OUTAGE, 1, 1, errors=errors)


def test_a_scenario_s_events_begin_before_its_end():
    late = event(Event.OUTAGE, 10, 1, errors=ERRORS)
    with pytest.raises(ProtocolConfigurationError, match=r"events.0.at = 10.*: must be below seconds = 10"):
        scenario(late, load=at_once(1), seconds=10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"error_share": 0.1}, "errors: is required with error_share"),
        ({"errors": ERRORS}, "error_share: is required with errors"),
        ({"errors": {REFUSED: 0.0}, "error_share": 0.1}, "must be above 0"),
    ],
)
def test_usual_errors_need_both_their_share_and_their_names(given, message):
    with pytest.raises(ProtocolConfigurationError, match=message):
        ModelDependency(latency=ModelLatency(p50=0.1, p99=0.2), capacity=1, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clients": 5}, "think_time = 0.0: must be above 0 with clients"),
        ({"rate": 5.0, "think_time": 1.0}, "think_time: is for clients"),
        ({"clients": 5, "think_time": 1.0, "burst": 3}, "burst: is for a rate"),
        ({}, "rate: must be given"),
        ({"rate": 1.0, "clients": 1}, "rate: must be given"),
    ],
)
def test_a_load_is_an_open_or_a_closed_loop(given, message):
    with pytest.raises(ProtocolConfigurationError, match=message):
        ModelLoad(**given)
