"""The result of a search in words."""

from __future__ import annotations

from typing import Final

from omnibase_infra.simulator.checks import parse_check
from omnibase_infra.simulator.figures import FIGURES
from omnibase_infra.simulator.model_tuning_point import ModelTuningPoint

_BY_FIELD: Final = {figure.field: figure for figure in FIGURES}


def label(field: str) -> str:
    """A measure's name in tables."""
    return _BY_FIELD[field].label


def reading(field: str, point: ModelTuningPoint) -> str:
    """A figure with its unit."""
    value = point.figures[field]
    return _BY_FIELD[field].nothing if value is None else _BY_FIELD[field].show(value)


def moved(before: ModelTuningPoint, after: ModelTuningPoint) -> dict[str, list[str]]:
    """Which figures read differently after a step: ``{"brings": ["p99 5.10 s → 290 ms"], "costs": []}``."""
    found: dict[str, list[str]] = {"brings": [], "costs": []}
    for field, figure in _BY_FIELD.items():
        if field not in after.figures or (old := reading(field, before)) == (new := reading(field, after)):
            continue
        was, now = before.figures[field], after.figures[field]
        rises = was is not None and (now is None or now > was)
        found["brings" if rises == (figure.better == "more") else "costs"].append(f"{figure.label} {old} → {new}")
    return found


def missed(point: ModelTuningPoint) -> str:
    """What is not reached, with what there is: ``p99 is 410 ms, not <= 300 ms``."""
    said: list[str] = []
    for aim in map(parse_check, point.missed):
        figure = _BY_FIELD[aim.measure]
        said.append(f"{figure.label} is {reading(aim.measure, point)}, not {aim.comparison} {figure.show(aim.bound)}")
    return "; ".join(said)
