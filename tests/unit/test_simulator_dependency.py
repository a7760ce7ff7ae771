"""The simulated server: places, queue, the client's pool, and work for callers who have gone."""

from __future__ import annotations

import statistics
from random import Random

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
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.dependency import service_times
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.recorder import Outcome

ANSWERED, FAILED, GAVE_UP = Outcome.ANSWERED, Outcome.FAILED, Outcome.GAVE_UP


def test_so_many_are_served_at_once_and_the_next_ones_wait_in_order():
    run = recorded(scenario(load=at_once(5), seconds=2, capacity=2))
    assert taken(run) == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3])


def test_a_full_queue_refuses_at_once_with_its_own_error():
    run = recorded(scenario(load=at_once(5), seconds=2, capacity=2, queue=1))
    assert outcomes(run) == [ANSWERED] * 3 + [FAILED] * 2
    assert taken(run)[3:] == [0, 0]
    # What it fails with decides what the retry does: this one no attempt can mend.
    last = scenario(load=at_once(2), seconds=2, capacity=1, queue=0, full_error="asyncpg.InvalidPasswordError")
    assert len(recorded(last, preset()).attempts) == 2
    again = scenario(load=at_once(2), seconds=2, capacity=1, queue=0)
    assert len(recorded(again, preset()).attempts) == 3


def test_an_attempt_waits_until_a_connection_is_free():
    run = recorded(scenario(load=at_once(4), seconds=2, pool=1))
    assert taken(run) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_every_connection_is_open_at_first():
    run = recorded(scenario(load=at_once(3), seconds=2, pool=3, connect=0.5))
    assert taken(run) == [SERVICE] * 3


def test_an_attempt_that_is_abandoned_goes_on_holding_its_place_and_is_work_lost():
    load = at_once(3, patience=0.15)
    run = recorded(scenario(load=load, seconds=2, capacity=1))
    assert outcomes(run) == [ANSWERED, GAVE_UP, GAVE_UP]
    # The third was still queued when its caller left, and is served all the same.
    assert run.work_lost == pytest.approx(2 * SERVICE)


def test_overload_feeds_on_itself():
    every = [0.2, 0.2]
    load = ModelLoad(rate=10.0, patience=0.5)
    keeps_up = recorded(scenario(load=load, seconds=60, capacity=10, samples=every))
    falls_behind = recorded(scenario(load=load, seconds=60, capacity=1, samples=every))
    assert outcomes(keeps_up).count(ANSWERED) == len(keeps_up.began)
    # It could answer half of them, and works all the time, but for callers who have gone.
    assert outcomes(falls_behind).count(ANSWERED) < len(falls_behind.began) / 20
    assert falls_behind.work_lost > 50


def test_a_connection_that_is_closed_on_a_caller_has_to_be_made_anew():
    load = at_once(1, patience=0.05)
    run = recorded(scenario(load=load, seconds=4, samples=(0.06,), pool=1, connect=0.06))
    assert outcomes(run) == [GAVE_UP] * 3
    assert run.work_lost == pytest.approx(0.06)  # the others left while they connected
    longer = at_once(1, patience=0.5)
    lost = event(Event.OUTAGE, 0.5, 0.1, errors={REFUSED: 1.0})
    run = recorded(scenario(lost, load=longer, seconds=3, samples=(0.06,), pool=1, connect=0.2))
    assert taken(run) == pytest.approx([0.26, 0.06])


def test_who_leaves_while_waiting_for_a_connection_never_reaches_the_server():
    load = at_once(2, patience=0.05)
    run = recorded(scenario(load=load, seconds=1.5, pool=1))
    assert outcomes(run) == [GAVE_UP, GAVE_UP]
    assert run.work_lost == pytest.approx(SERVICE)


def test_a_pool_whose_server_goes_hands_out_its_connections_to_all_who_wait():
    gone = event(Event.OUTAGE, 1.05, 5, errors={REFUSED: 1.0})
    run = recorded(scenario(gone, load=at_once(3000), seconds=2, pool=1))
    assert outcomes(run) == [FAILED] * 3000
    assert set(taken(run)) == {0.05}


def test_a_usual_day_has_its_share_of_errors_after_the_usual_time():
    load = at_once(1000)
    run = recorded(scenario(load=load, seconds=2, capacity=1000, error_share=0.1, errors={REFUSED: 1.0}))
    assert 70 < outcomes(run).count(FAILED) < 130
    assert set(taken(run)) == {SERVICE}


def test_errors_come_by_their_weights():
    load, errors = at_once(1000), {REFUSED: 3.0, "asyncpg.InvalidPasswordError": 1.0}
    stack = preset({"retry.max_attempts": 2, "retry.budget": None, "circuit_breaker": None, "bulkhead": None})
    stack = preset({**stack.settings, "rate_limit.capacity": 5000.0, "rate_limit.rate": 5000.0})
    down = event(Event.SEALED, 0.5, 100, errors=errors)
    run = recorded(scenario(down, load=load, seconds=2, capacity=1000), stack)
    assert 700 < len(run.retries) < 800  # a wrong password is not tried again


def test_an_unknown_error_is_refused_before_anything_runs():
    down = event(Event.SEALED, 5, 1, errors={"asyncpg.NoSuchError": 1.0})
    with pytest.raises(ProtocolConfigurationError, match="NoSuchError"):
        recorded(scenario(down, load=at_once(1)))
    with pytest.raises(ProtocolConfigurationError, match="NoSuchError"):
        recorded(scenario(load=at_once(1), full_error="asyncpg.NoSuchError"))


def test_service_times_have_the_given_quantiles():
    draw = service_times(ModelLatency(p50=0.02, p99=0.3), Random(1))
    drawn = sorted(draw() for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(0.02, rel=0.03)
    assert drawn[19_800] == pytest.approx(0.3, rel=0.1)


def test_service_times_are_drawn_from_the_samples():
    draw = service_times(ModelLatency(samples=(0.1, 0.2, 0.3)), Random(1))
    drawn = [draw() for _ in range(3000)]
    assert set(drawn) == {0.1, 0.2, 0.3}
    assert statistics.fmean(drawn) == pytest.approx(0.2, abs=0.01)


def test_work_that_is_lost_counts_to_its_end_even_after_the_scenario_s():
    run = recorded(scenario(load=at_once(1, patience=0.05), seconds=1.01))
    assert outcomes(run) == [GAVE_UP]
    assert run.work_lost == pytest.approx(SERVICE)
