"""The shipped presets reach what the shipped scenarios ask of them."""

from __future__ import annotations

import pytest

from omnibase_infra.enums import EnumStackKind
from omnibase_infra.simulator.checks import parse_check
from omnibase_infra.simulator.engine import run_stack
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.scenario_files import load_scenario, shipped_scenarios


def measured(scenario: ModelScenario, kind: EnumStackKind) -> ModelMeasures:
    return run_stack(scenario, ModelStack(name=kind, kind=kind)).measures


@pytest.mark.parametrize("scenario", shipped_scenarios(), ids=lambda scenario: f"{scenario.transport}-{scenario.name}")
def test_the_preset_passes_every_check_of_the_scenario(scenario: ModelScenario) -> None:
    measures = measured(scenario, EnumStackKind.PRESET)
    checks = [parse_check(text) for text in scenario.checks]
    assert [check.shown(measures) for check in checks if not check.holds(measures)] == []


def test_in_half_a_minute_s_outage_the_preset_wastes_at_most_a_twentieth_of_what_the_naive_stack_does() -> None:
    scenario = load_scenario("outage", "kafka")
    (outage,) = scenario.events
    assert (scenario.load.rate, outage.lasts) == (100.0, 30.0)
    preset, naive = (measured(scenario, kind) for kind in (EnumStackKind.PRESET, EnumStackKind.NAIVE))
    assert preset.wasted <= 0.05 * naive.wasted


def test_where_everything_fails_the_preset_asks_about_once_where_the_naive_stack_asks_three_times() -> None:
    scenario = load_scenario("unreachable", "network")
    preset, naive = (measured(scenario, kind) for kind in (EnumStackKind.PRESET, EnumStackKind.NAIVE))
    assert preset.successes == naive.successes == 0
    # Calls that a circuit rejects at once ask nobody: they would make either stack look better than it is.
    assert naive.attempts / (naive.calls - naive.rejected) == pytest.approx(3, abs=0.1)
    assert preset.attempts / (preset.calls - preset.rejected) <= 1.2
