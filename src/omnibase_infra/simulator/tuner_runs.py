"""From a choice of settings to simulated runs."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.infrastructure.resilience.pipeline_order import ResilienceWarning
from omnibase_infra.presets import resolve
from omnibase_infra.presets.layers import TABLES
from omnibase_infra.presets.resolver import overlaid
from omnibase_infra.simulator.engine import run_stack
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_search_space import ModelSearchSpace
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.pattern_search import Measure, Trial
from omnibase_infra.simulator.search_space import UNCHANGED, Changes

_NOBODY: Final = "tuned call"
"""Into whose table the settings go when they are for no service in particular."""


def present_settings(stack: ModelStack, transport: str, space: ModelSearchSpace) -> dict[str, float | None]:
    """What the searched settings of a stack are now; None for one that is off.

    Raises:
        ProtocolConfigurationError: When the presets in effect are wrong.
    """
    found: dict[str, float | None] = {}
    with _presets(stack, UNCHANGED) as service:
        for key in space.ranges:
            policy, *path = key.split(".")
            value: object = resolve(transport, policy, TABLES[policy], service=service, profile=stack.profile)
            for name in path:
                value = getattr(value, name, None)
            found[key] = value if isinstance(value, int | float) else None
    return found


def waste(stack: ModelStack, transport: str, changes: Changes = UNCHANGED) -> list[str]:
    """What the settings would waste, a sentence each.

    Raises:
        ProtocolConfigurationError: When they cannot be used together.
    """
    with _presets(stack, changes) as service, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResilienceWarning)
        # The limiter is left out: its numbers go with any others, and its store is the real one.
        FACTORIES[transport](service, profile=stack.profile, rate_limiter=None)
    return [str(warning.message) for warning in caught]


def sensible(stack: ModelStack, transport: str) -> Callable[[Changes], bool]:
    """Tells whether settings can be used together, and waste nothing; unless the stack itself wastes."""
    may_waste = bool(waste(stack, transport))

    def is_sensible(changes: Changes) -> bool:
        try:
            return not waste(stack, transport, changes) or may_waste
        except ProtocolConfigurationError:
            return False

    return is_sensible


@contextmanager
def measuring(stack: ModelStack, scenarios: Sequence[ModelScenario], processes: int | None) -> Generator[Measure]:
    """A function that makes runs, at most so many at a time; one for each CPU when `processes` is None.

    Raises:
        ProtocolConfigurationError: When a setting of the stack is wrong.
    """
    measures = partial(_measures, stack, scenarios)
    workers = processes or available_cpus()
    if workers == 1:
        yield partial(map, measures)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            yield partial(pool.map, measures)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _measures(stack: ModelStack, scenarios: Sequence[ModelScenario], trial: Trial) -> ModelMeasures:
    changed = stack.model_copy(update={"settings": {**stack.settings, **dict(trial.changes)}})
    return run_stack(scenarios[trial.scenario], changed, seed=trial.seed).measures


@contextmanager
def _presets(stack: ModelStack, changes: Changes) -> Generator[str]:
    """The presets as the stack has them with the changes; and whose they are."""
    service = stack.service or _NOBODY
    settings = {key: value for key, value in {**stack.settings, **dict(changes)}.items() if "." in key}
    with overlaid(service, settings, None if stack.file is None else Path(stack.file)):
        yield service
