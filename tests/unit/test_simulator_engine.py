"""A whole simulation: side by side, in one process or many, the same to the byte."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.simulations import NAIVE, REFUSED, at_once, event, preset, scenario

import omnibase_infra
from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.engine import NAKED, run_stack, simulate
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_stack import ModelStack

STACKS = [NAKED, NAIVE, preset(), ModelStack(name="eager", kind=preset().kind, settings={"retry.min_wait": 0.2})]
TROUBLE = scenario(
    event(EnumScenarioEvent.BROWN_OUT, 4, 5, factor=20.0, share=0.3, errors={REFUSED: 2.0, "builtin.TimeoutError": 1}),
    event(EnumScenarioEvent.OUTAGE, 10, 3, hang=0.3, errors={REFUSED: 1.0}),
    event(EnumScenarioEvent.SLOW_START, 13, 3, factor=3.0),
    load=ModelLoad(rate=30.0, burst=10, burst_interval=3.5, ramp=2.0, patience=4.0),
    seconds=20,
    samples=(0.01, 0.02, 0.05, 0.2),
    capacity=6,
    queue=20,
    pool=10,
    connect=0.02,
    error_share=0.01,
    errors={REFUSED: 1.0},
)


def test_one_run_is_what_a_simulation_shows_of_it():
    simulation = simulate(TROUBLE, STACKS, seed=3, processes=1)
    assert [variant.name for variant in simulation.variants] == ["naked", "naive", "preset", "eager"]
    assert (simulation.version, simulation.seed) == (omnibase_infra.__version__, 3)
    assert simulation.scenario == TROUBLE
    for stack, variant in zip(STACKS, simulation.variants, strict=True):
        assert run_stack(TROUBLE, stack, seed=3) == variant


def test_several_processes_find_what_one_finds_and_tell_how_far_they_are():
    told = []
    alone = simulate(TROUBLE, STACKS, seed=5, processes=1)
    together = simulate(TROUBLE, STACKS, seed=5, processes=2, progress=told.append)
    assert alone.model_dump_json() == together.model_dump_json()
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones():
    first = simulate(TROUBLE, STACKS, seed=7, processes=1).model_dump_json()
    random.seed(1)
    assert simulate(TROUBLE, STACKS, seed=7, processes=1).model_dump_json() == first
    assert simulate(TROUBLE, STACKS, seed=8, processes=1).model_dump_json() != first


def test_another_process_with_other_hashes_gives_the_same_bytes():
    program = (
        "from tests.unit.test_simulator_engine import *\n"
        "print(simulate(TROUBLE, STACKS, seed=9, processes=1).model_dump_json())"
    )
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(here)}
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=here, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == simulate(TROUBLE, STACKS, seed=9, processes=1).model_dump_json()


def test_a_simulation_survives_its_json():
    simulation = simulate(TROUBLE, [NAKED], processes=1)
    assert ModelSimulation.model_validate_json(simulation.model_dump_json()) == simulation


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.name)
def test_the_course_s_sums_are_the_measures(stack):
    variant = run_stack(TROUBLE, stack)
    measures, course = variant.measures, variant.course
    assert sum(course.offered) == measures.calls
    assert sum(course.served) == measures.successes
    assert sum(course.rejected) == measures.rejected
    assert sum(course.failed) == measures.calls - measures.successes - measures.rejected
    assert sum(course.attempts) == measures.attempts
    series = [course.offered, course.served, course.failed, course.retried, course.rejected, course.attempts]
    assert {len(numbers) for numbers in (*series, course.p50, course.p99)} == {20}
    assert course.budget is None or len(course.budget) == 20


def test_a_naked_call_on_a_day_without_events_is_what_all_are_compared_with():
    calm = TROUBLE.model_copy(update={"events": ()})
    measures = run_stack(calm, NAKED).measures
    assert (measures.goodput_kept, measures.added_p50_seconds, measures.added_p99_seconds) == (1, 0, 0)
    assert measures.detect_seconds is measures.recover_seconds is None


def test_progress_is_told_until_it_is_complete():
    told = []
    simulate(TROUBLE, STACKS[:2], processes=1, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    assert len(told) == pytest.approx(300, abs=10)


def test_the_progress_of_one_run_is_told_every_percent():
    told = []
    run_stack(TROUBLE, NAKED, progress=told.append)
    assert told == pytest.approx([percent / 100 for percent in range(1, 101)])


def test_an_error_in_one_of_the_processes_is_the_simulation_s():
    with pytest.raises(ProtocolConfigurationError, match="max_attempts = 0"):
        simulate(TROUBLE, [NAKED, preset({"retry.max_attempts": 0})], processes=2)


@pytest.mark.parametrize("processes", [0, -1, True])
def test_a_number_of_processes_that_is_none_is_refused(processes):
    with pytest.raises(ProtocolConfigurationError, match="processes"):
        simulate(TROUBLE, [NAKED], processes=processes)


def test_no_stack_is_refused():
    with pytest.raises(ProtocolConfigurationError, match="stacks"):
        simulate(TROUBLE, [])


def test_within_a_running_loop_it_says_that_it_cannot_run():
    async def main() -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            run_stack(scenario(load=at_once(1)), NAKED)

    asyncio.run(main())


def test_a_hundred_per_cent_failure_costs_the_naive_stack_three_times_and_the_preset_hardly_anything():
    down = event(EnumScenarioEvent.OUTAGE, 0, 600, errors={REFUSED: 1.0})
    dead = scenario(down, load=ModelLoad(rate=20.0), seconds=60)
    # The naive stack's circuit opens late and often; without it every call is made three times.
    retried = preset({"circuit_breaker": None, "retry.budget": None, "rate_limit": None, "bulkhead": None})
    assert run_stack(dead, retried).measures.amplification == 3
    assert run_stack(dead, preset()).measures.amplification < 0.1
    assert run_stack(dead, preset()).measures.wasted < run_stack(dead, NAIVE).measures.wasted * 0.05
