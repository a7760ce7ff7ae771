"""Whatever the scenario: nothing is lost, and queues behave as the theory of queues has it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulations import NAIVE, REFUSED, event, outcomes, preset, recorded, scenario

from omnibase_infra.enums import EnumScenarioEvent as Event
from omnibase_infra.simulator import findings
from omnibase_infra.simulator.engine import NAKED
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.recorder import Outcome, Recording

ERRORS = {REFUSED: 1.0}
SECONDS = 15.0
LOADS = st.one_of(
    st.builds(
        ModelLoad,
        rate=st.floats(1, 30),
        ramp=st.floats(0, 10),
        burst=st.integers(0, 10),
        burst_interval=st.floats(1, 10),
        patience=st.floats(0.1, 10),
    ),
    st.builds(ModelLoad, clients=st.integers(1, 20), think_time=st.floats(0.05, 2), patience=st.floats(0.1, 10)),
)
NUMBERS = {
    Event.OUTAGE: st.fixed_dictionaries({"hang": st.floats(0, 1), "errors": st.just(ERRORS)}),
    Event.FAIL_OVER: st.fixed_dictionaries({"hang": st.floats(0, 1), "errors": st.just(ERRORS)}),
    Event.BROWN_OUT: st.fixed_dictionaries(
        {"factor": st.floats(1, 50), "share": st.floats(0.1, 1), "errors": st.just(ERRORS)}
    ),
    Event.SLOW_START: st.fixed_dictionaries({"factor": st.floats(1.5, 50)}),
    Event.BAD_HOST: st.fixed_dictionaries({"share": st.floats(0.1, 0.9), "errors": st.just(ERRORS)}),
    Event.THROTTLING: st.fixed_dictionaries({"rate": st.floats(0.5, 30), "errors": st.just(ERRORS)}),
    Event.LEADER_CHANGE: st.fixed_dictionaries({"share": st.floats(0.1, 1), "errors": st.just(ERRORS)}),
    Event.SEALED: st.just({"errors": ERRORS}),
    Event.CREDENTIAL_EXPIRY: st.just({"errors": ERRORS}),
    Event.DEPLOY_WAVE: st.fixed_dictionaries({"share": st.floats(0.1, 0.9), "errors": st.just(ERRORS)}),
    Event.CLOCK_PAUSE: st.just({}),
}
EVENTS = st.lists(
    st.sampled_from(list(NUMBERS)).flatmap(
        lambda kind: st.builds(
            lambda at, lasts, numbers: event(kind, at, lasts, **numbers),
            st.floats(0, 14),
            st.floats(0.1, 10),
            NUMBERS[kind],
        )
    ),
    max_size=3,
)
SERVERS = st.fixed_dictionaries(
    {
        "capacity": st.integers(1, 20),
        "queue": st.integers(0, 20),
        "pool": st.one_of(st.none(), st.integers(1, 20)),
        "connect": st.floats(0, 0.5),
        "samples": st.lists(st.floats(0.001, 0.5), min_size=1, max_size=5),
    }
)


@settings(max_examples=25, deadline=None)
@given(load=LOADS, events=EVENTS, server=SERVERS, stack=st.sampled_from([NAKED, NAIVE, preset()]), seed=st.integers())
def test_every_call_ends_in_one_way_and_the_measures_count_each_once(load, events, server, stack, seed):
    world = scenario(*events, load=load, seconds=SECONDS, **server)
    run = recorded(world, stack, seed)
    hows = outcomes(run)
    assert Outcome.UNDER_WAY not in hows
    assert list(run.began) == sorted(run.began)
    assert all(begin <= end for begin, end in zip(run.began, run.ended, strict=True))
    assert all(when < SECONDS for when in run.began)
    asked = len(hows) - hows.count(Outcome.REJECTED)
    assert len(run.attempts) - len(run.retries) <= asked
    assert hows.count(Outcome.ANSWERED) <= len(run.attempts) - len(run.retries)
    assert run.wasted <= len(run.attempts)
    assert run.work_lost >= 0
    measures, course = findings.measures(world, run, run), findings.course(world, run)
    assert measures.calls == len(hows) == sum(course.offered)
    assert sum(course.served) + sum(course.failed) + sum(course.rejected) == measures.calls


@settings(max_examples=15, deadline=None)
@given(rate=st.floats(1, 50), samples=st.lists(st.floats(0.001, 0.1), min_size=1, max_size=4), seed=st.integers())
def test_without_events_and_with_room_for_all_everybody_is_answered_in_the_time_of_the_service(rate, samples, seed):
    run = recorded(scenario(load=ModelLoad(rate=rate), seconds=SECONDS, samples=samples), NAKED, seed)
    assert set(outcomes(run)) <= {Outcome.ANSWERED}
    for begin, end in zip(run.began, run.ended, strict=True):
        assert min(abs(end - begin - sample) for sample in samples) < 1e-9
    assert len(run.attempts) == len(run.began)
    assert run.work_lost == 0


def mean_wait(run: Recording, service: float) -> float:
    return sum(end - begin for begin, end in zip(run.began, run.ended, strict=True)) / len(run.began) - service


@pytest.mark.parametrize("load_factor", [0.3, 0.7])
def test_one_place_waits_as_pollaczek_and_khinchine_have_it(load_factor):
    """For Poisson arrivals at one server the mean wait is rate * E[S²] / 2(1 - load), however S is distributed."""
    samples = (0.5, 1.0, 3.0)
    mean, square = sum(samples) / 3, sum(sample**2 for sample in samples) / 3
    rate = load_factor / mean
    world = scenario(
        load=ModelLoad(rate=rate, patience=1e6), seconds=10_000 / rate, samples=samples, capacity=1, queue=100_000
    )
    expected = rate * square / (2 * (1 - load_factor))
    assert mean_wait(recorded(world), mean) == pytest.approx(expected, rel=0.1)


def test_several_places_with_a_full_queue_refuse_as_erlang_has_it():
    """Without a queue the share that is refused is Erlang's B formula, whatever the distribution of service times."""
    places, load = 5, 4.0
    blocked = 1.0
    for number in range(1, places + 1):
        blocked = load * blocked / (number + load * blocked)
    world = scenario(load=ModelLoad(rate=load), seconds=2_500, samples=(0.5, 1.5), capacity=places, queue=0)
    run = recorded(world)
    assert outcomes(run).count(Outcome.FAILED) / len(run.began) == pytest.approx(blocked, rel=0.07)


def test_little_s_law_holds_for_the_course():
    """Those inside on average are the rate at which they come, times how long they stay."""
    world = scenario(
        load=ModelLoad(rate=5.0, patience=1e6), seconds=1_000, samples=(0.1, 0.3), capacity=2, queue=10_000
    )
    run = recorded(world)
    course = findings.course(world, run)
    stay = sum(end - begin for begin, end in zip(run.began, run.ended, strict=True)) / len(run.began)
    inside, total = 0, 0
    for offered, served in zip(course.offered, course.served, strict=True):
        inside += offered - served
        total += inside
    assert total / len(course.offered) == pytest.approx(len(run.began) / 1_000 * stay, rel=0.05)
