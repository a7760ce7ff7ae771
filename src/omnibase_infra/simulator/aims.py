"""How far a run is from what the user wants of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from omnibase_infra.simulator.checks import Check
from omnibase_infra.simulator.model_measures import ModelMeasures

_LEAST: Final = 1e-6


def shortfall(aim: Check, measures: ModelMeasures) -> float:
    """0 when the run reaches the aim, else what is missing as a share of that and the bound: 0.5 at twice the bound.

    What never came, as a recovery, misses by 1, the most there is.
    """
    if aim.holds(measures):
        return 0.0
    missing = abs(_value(aim, measures) - aim.bound)
    return 1.0 if missing == inf else max(missing / (missing + (abs(aim.bound) or 1.0)), _LEAST)


def worst(aim: Check, runs: Sequence[ModelMeasures]) -> float | None:
    """What the aim is about in the run that reaches it the least; None for what never came."""
    values = [_value(aim, run) for run in runs]
    found = max(values) if aim.comparison.startswith("<") else min(values)
    return None if found == inf else found


def _value(aim: Check, measures: ModelMeasures) -> float:
    value: float | None = getattr(measures, aim.measure)
    return inf if value is None else value
