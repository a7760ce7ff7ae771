"""Settings for what a user wants: searched over scenarios and seeds, with what each of them costs and brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final

from omnibase_infra import __version__
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.aims import shortfall, worst
from omnibase_infra.simulator.checks import Check
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_search_space import ModelSearchSpace
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.model_tuning import ModelTuning
from omnibase_infra.simulator.model_tuning_point import ModelTuningPoint
from omnibase_infra.simulator.model_tuning_step import ModelTuningStep
from omnibase_infra.simulator.pattern_search import Measure, PatternSearch
from omnibase_infra.simulator.search_space import UNCHANGED, Changes, search_space, with_setting
from omnibase_infra.simulator.tuner_runs import measuring, present_settings, sensible

_ALWAYS: Final = (Check("goodput_kept", ">=", 1.0), Check("p99_seconds", "<=", 0.0), Check("amplification", "<=", 1.0))
"""What every table shows, beside what the aims are about."""


def tune(
    stack: ModelStack,
    scenarios: Sequence[ModelScenario],
    aims: Sequence[Check],
    *,
    seeds: Sequence[int] | None = None,
    budget: int | None = None,
    processes: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> ModelTuning:
    """Search settings for a stack of the presets, by simulation.

    Args:
        stack: What there is now; its settings are not varied.
        scenarios: What happens; all of one transport.
        aims: What is to be reached.
        seeds: Of all chance; by default the search space's number of them, from 0 on.
        budget: As in `tune_by`.
        processes: At most so many at a time; one for each CPU when None. 1 runs everything in this process. The result
            is the same, to the byte, in however many.
        progress: Gets the share of the budget spent.

    Raises:
        ProtocolConfigurationError: When there is no scenario or no aim, the scenarios are of several transports, or the
            presets are wrong.
    """
    transport = _transport(scenarios)
    space = search_space()
    ranges = {key: bounds for key, bounds in space.ranges.items() if key not in stack.settings}
    space = space.model_copy(update={"ranges": ranges})
    present = present_settings(stack, transport, space)
    with measuring(stack, scenarios, processes) as measure:
        return tune_by(
            measure,
            scenarios,
            aims,
            present=present,
            service=stack.service,
            seeds=seeds,
            budget=budget,
            space=space,
            is_possible=sensible(stack, transport),
            progress=progress,
        )


def tune_by(
    measure: Measure,
    scenarios: Sequence[ModelScenario],
    aims: Sequence[Check],
    *,
    present: Mapping[str, float | None],
    service: str | None = None,
    seeds: Sequence[int] | None = None,
    budget: int | None = None,
    space: ModelSearchSpace | None = None,
    is_possible: Callable[[Changes], bool] = lambda _: True,
    progress: Callable[[float], None] = lambda _: None,
) -> ModelTuning:
    """Search settings that reach all aims in every scenario with every seed, and answer the most calls doing so.

    Args:
        measure: Makes the runs.
        scenarios: What happens; all of one transport.
        aims: What is to be reached.
        present: The settings in effect, by dotted key; None for one that is off.
        service: Whose settings these are; None for the transport's own.
        seeds: Of all chance; by default the search space's number of them, from 0 on.
        budget: Choices of settings to measure, besides those that tell what each setting of the result is worth; by
            default the search space's.
        space: What is varied; by default the shipped one.
        is_possible: Whether settings make sense together.
        progress: Gets the share of the budget spent.

    Raises:
        ProtocolConfigurationError: When there is no scenario or no aim, or the scenarios are of several transports.
    """
    transport = _transport(scenarios)
    if not aims:
        raise ProtocolConfigurationError("aims: give at least one, such as 'p99<=300ms'", parameter="aims")
    space = space or search_space()
    seeds = tuple(range(space.seeds)) if seeds is None else tuple(seeds)
    budget = budget or space.budget
    search = PatternSearch(
        present,
        space,
        measure,
        aims=[partial(shortfall, aim) for aim in aims],
        scenarios=len(scenarios),
        seeds=seeds,
        budget=budget,
        is_possible=is_possible,
        progress=lambda tried: progress(min(tried / budget, 1)),
    )
    chosen = search.search()
    while True:
        without = _left_out(search, present, chosen)
        steps = _steps(search, chosen, without)
        if search.best() == chosen:
            break
        chosen = search.best()  # a setting less is as good, or better

    def point(changes: Changes) -> ModelTuningPoint:
        return _point(search, aims, changes)

    return ModelTuning(
        version=__version__,
        transport=transport,
        service=service,
        scenarios=tuple(scenario.name for scenario in scenarios),
        seeds=seeds,
        aims=tuple(str(aim) for aim in aims),
        tried=search.tried,
        preset=point(UNCHANGED),
        chosen=point(chosen),
        steps=tuple(
            ModelTuningStep(before={key: present[key] for key, _ in changed}, after=dict(changed), point=point(changes))
            for changed, changes in steps
        ),
        without={key: point(changes) for key, changes in without.items()},
        front=tuple(map(point, search.front)),
    )


def _transport(scenarios: Sequence[ModelScenario]) -> str:
    transports = sorted({scenario.transport for scenario in scenarios})
    if len(transports) != 1:
        given = ", ".join(transports) or "none is given"
        raise ProtocolConfigurationError(f"scenarios: must be of one transport: {given}", parameter="scenarios")
    return transports[0]


def _left_out(search: PatternSearch, present: Mapping[str, float | None], chosen: Changes) -> dict[str, Changes]:
    """The choice without each of its settings, as far as that makes sense."""
    without = {key: with_setting(present, chosen, key, present[key]) for key, _ in chosen}
    possible = search.add(list(without.values()))
    return {key: changes for key, changes in without.items() if changes in possible}


def _steps(search: PatternSearch, chosen: Changes, without: Mapping[str, Changes]) -> list[tuple[Changes, Changes]]:
    """The way from the preset to the choice: what changes, and all that is changed by then. What weighs most first."""

    def weight(setting: tuple[str, float]) -> tuple[float, ...]:
        return tuple(-level for level in search.rank(without[setting[0]])) if setting[0] in without else (inf,)

    steps: list[tuple[Changes, Changes]] = []
    reached, pending = UNCHANGED, UNCHANGED
    for setting in sorted(chosen, key=weight):
        pending = (*pending, setting)
        there = tuple(sorted((*reached, *pending)))
        if search.add([there]):
            steps.append((pending, there))
            reached, pending = there, UNCHANGED
    return steps


def _point(search: PatternSearch, aims: Sequence[Check], changes: Changes) -> ModelTuningPoint:
    runs = search.runs(changes)
    return ModelTuningPoint(
        settings=dict(changes),
        figures={aim.measure: worst(aim, runs) for aim in (*_ALWAYS, *aims)},
        shortfall=search.figures(changes).shortfall,
        missed=tuple(str(aim) for aim in aims if not all(map(aim.holds, runs))),
    )
