"""Simulations by formula, of which the best settings are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.support.simulations import at_once, scenario

from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_search_range import ModelSearchRange
from omnibase_infra.simulator.model_search_space import ModelSearchSpace
from omnibase_infra.simulator.pattern_search import Trial

Formula = Callable[[Mapping[str, float], int, int], Mapping[str, float | None]]
"""Settings, number of the scenario and seed → measures."""

ATTEMPTS, WAIT, RECOVERY = "retry.max_attempts", "retry.min_wait", "circuit_breaker.recovery_timeout"
PRESENT = {ATTEMPTS: 3, WAIT: 1.0, RECOVERY: 60.0}
SPACE = ModelSearchSpace(
    ranges={
        ATTEMPTS: ModelSearchRange(low=1, high=10, why="a test"),
        WAIT: ModelSearchRange(low=0.01, high=100, why="a test"),
        RECOVERY: ModelSearchRange(low=0.1, high=1000, why="a test"),
    },
    factors=(4.0, 2.0, 1.4),
    resolution=0.02,
    goodput_resolution=0.002,
    budget=150,
    seeds=1,
)
SCENARIO = scenario(load=at_once(1))


def scenarios(number: int) -> list[ModelScenario]:
    return [SCENARIO.model_copy(update={"name": f"s{place}"}) for place in range(number)]


def measures(**given: float | None) -> ModelMeasures:
    usual: dict[str, float | None] = dict.fromkeys(ModelMeasures.model_fields, 0)
    usual |= {"p99_seconds": 1.0, "amplification": 1.0, "goodput_kept": 1.0, "success_rate": 1.0}
    return ModelMeasures.model_validate(usual | given)


class Formulas:
    """Stands in for the simulator, and keeps every run it is asked for."""

    def __init__(self, formula: Formula, present: Mapping[str, float | None] = PRESENT) -> None:
        self._formula = formula
        self._present = present
        self.trials: list[Trial] = []

    def __call__(self, trials: Sequence[Trial]) -> Iterator[ModelMeasures]:
        for trial in trials:
            self.trials.append(trial)
            settings = {**self._present, **dict(trial.changes)}
            yield measures(**self._formula(settings, trial.scenario, trial.seed))

    @property
    def choices(self) -> set[tuple[tuple[str, float], ...]]:
        return {trial.changes for trial in self.trials}
