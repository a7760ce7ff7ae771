"""When users call, and when they leave."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import fmean, pstdev

import pytest
from tests.support.simulations import REFUSED, at_once, event, outcomes, recorded, scenario, taken

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.simulator.arrivals import arrival_times, first_calls
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.recorder import Outcome


def times(load, seconds, seed=1):
    return list(arrival_times(load, seconds, Random(seed)))


def test_an_open_loop_s_calls_come_at_random_at_their_rate():
    came = times(ModelLoad(rate=50.0), 400)
    assert len(came) == pytest.approx(50 * 400, rel=0.02)
    gaps = [following - one for one, following in pairwise(came)]
    assert min(gaps) >= 0
    assert fmean(gaps) == pytest.approx(0.02, rel=0.02)
    assert pstdev(gaps) == pytest.approx(fmean(gaps), rel=0.03)  # as of an exponential distribution


def test_a_ramp_brings_half_as_many_and_ever_more():
    came = times(ModelLoad(rate=100.0, ramp=200.0), 300)
    by_quarter = [sum(begin <= when < begin + 50 for when in came) for begin in range(0, 300, 50)]
    assert by_quarter == pytest.approx([625, 1875, 3125, 4375, 5000, 5000], rel=0.08)
    assert came == sorted(came)


def test_bursts_come_on_top_of_the_rate_and_all_at_once():
    plain, bursts = ModelLoad(rate=5.0), ModelLoad(rate=5.0, burst=4, burst_interval=10.0)
    with_bursts = times(bursts, 35)
    for when in (10.0, 20.0, 30.0):
        assert with_bursts.count(when) == 4
    assert sorted(with_bursts) == with_bursts
    assert [when for when in with_bursts if when not in (10.0, 20.0, 30.0)] == times(plain, 35)


def test_bursts_grow_with_the_ramp():
    came = times(ModelLoad(rate=1e-9, burst=10, burst_interval=10.0, ramp=30.0), 45)
    assert [came.count(when) for when in (10.0, 20.0, 30.0, 40.0)] == [3, 6, 10, 10]


def test_the_clients_of_a_closed_loop_begin_one_after_the_other():
    load = ModelLoad(clients=4, think_time=1.0, ramp=20.0)
    begin = first_calls(load, Random(1))
    assert all(ramp <= when < ramp + 1 for ramp, when in zip((0, 5, 10, 15), begin, strict=True))


def test_a_client_calls_again_when_its_last_call_has_ended_and_it_has_thought():
    run = recorded(scenario(load=ModelLoad(clients=1, think_time=0.4), seconds=10))
    assert len(run.began) in (19, 20)
    gaps = [following - end for end, following in zip(run.ended, list(run.began)[1:], strict=False)]
    assert gaps == pytest.approx([0.4] * len(gaps))


def test_a_closed_loop_slows_down_with_its_dependency():
    load = ModelLoad(clients=20, think_time=0.1)
    fast = recorded(scenario(load=load, seconds=20, capacity=20))
    slow = recorded(scenario(load=load, seconds=20, capacity=2))
    assert len(fast.began) == pytest.approx(20 * 20 / 0.2, rel=0.02)
    assert len(slow.began) == pytest.approx(20 * 2 / 0.1, rel=0.12)


def test_a_caller_who_has_waited_as_long_as_it_may_leaves():
    run = recorded(scenario(load=at_once(3, patience=0.25), seconds=2, capacity=1))
    assert outcomes(run) == [Outcome.ANSWERED, Outcome.ANSWERED, Outcome.GAVE_UP]
    assert taken(run) == pytest.approx([0.1, 0.2, 0.25])


def test_a_client_that_has_left_comes_again():
    load = ModelLoad(clients=1, think_time=0.1, patience=0.5)
    gone = event(EnumScenarioEvent.OUTAGE, 0.0, 2.0, hang=1.0)
    run = recorded(scenario(gone, load=load, seconds=3))
    left = outcomes(run).count(Outcome.GAVE_UP)
    assert left == 4
    assert set(outcomes(run)[left:]) == {Outcome.ANSWERED}


def test_no_call_comes_after_the_end_and_none_is_cut_off_by_it():
    run = recorded(scenario(load=ModelLoad(rate=100.0), seconds=5, samples=(3.0,), capacity=1000))
    assert max(run.began) < 5
    assert set(outcomes(run)) == {Outcome.ANSWERED}
    assert max(run.ended) > 7


def test_a_scenario_in_which_nobody_calls_is_over_at_once():
    run = recorded(scenario(load=ModelLoad(rate=1e-9), seconds=5))
    assert not run.began


@pytest.mark.parametrize("load", [ModelLoad(rate=30.0), ModelLoad(rate=30.0, ramp=10.0, burst=3, burst_interval=2.0)])
def test_all_stacks_meet_the_same_calls(load):
    calm = recorded(scenario(load=load, samples=(0.1, 0.2, 0.3)))
    down = event(EnumScenarioEvent.OUTAGE, 4.0, 2.0, errors={REFUSED: 1.0})
    troubled = recorded(scenario(down, load=load, samples=(0.1, 0.2, 0.3)))
    assert calm.began == troubled.began
    same = [how is Outcome.ANSWERED for how in outcomes(troubled)]
    assert [time for time, kept in zip(taken(calm), same, strict=True) if kept] == [
        time for time, kept in zip(taken(troubled), same, strict=True) if kept
    ]
