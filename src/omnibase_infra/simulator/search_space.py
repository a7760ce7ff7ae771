"""Which settings the tuner varies, and where it goes from one choice of them to the next."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from math import ceil, floor, log10
from typing import Final, get_args

from omnibase_infra.presets.layers import TABLES
from omnibase_infra.simulator.model_search_range import ModelSearchRange
from omnibase_infra.simulator.model_search_space import ModelSearchSpace
from omnibase_infra.utils.util_builtin_numbers import is_table

Changes = tuple[tuple[str, float], ...]
"""A choice of settings: what differs from the preset, by dotted key and in their order."""

UNCHANGED: Final[Changes] = ()
_DIGITS: Final = 2


@cache
def search_space() -> ModelSearchSpace:
    """The shipped search space."""
    text = (files("omnibase_infra") / "simulator" / "search_space.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    search = tables["search"]
    return ModelSearchSpace(
        **search | {"factors": tuple(search["factors"])},
        ranges=dict(_ranges(tables["settings"])),
    )


def neighbours(
    present: Mapping[str, float | None], changes: Changes, factor: float, space: ModelSearchSpace
) -> list[Changes]:
    """All choices of settings that differ from one by a step of one setting."""
    found: dict[Changes, None] = {}
    for key, bounds in space.ranges.items():
        value = dict(changes).get(key, present.get(key))
        for to in _steps(key, value, factor, bounds):
            there = with_setting(present, changes, key, to)
            if there != changes:
                found[there] = None
    return list(found)


def with_setting(present: Mapping[str, float | None], changes: Changes, key: str, value: float | None) -> Changes:
    """One setting changed; what the preset has anyway is no change."""
    changed = {**dict(changes), key: value}
    return tuple(sorted((name, to) for name, to in changed.items() if to is not None and to != present.get(name)))


def is_whole(key: str) -> bool:
    """Whether a setting is a whole number."""
    table, _, name = key.rpartition(".")
    annotation = TABLES[table].model_fields[name].annotation
    return int in (get_args(annotation) or (annotation,))


def _steps(key: str, value: float | None, factor: float, bounds: ModelSearchRange) -> Iterator[float]:
    if value is None:
        if bounds.start is not None:
            yield bounds.start
        return
    high = max(bounds.high, value)
    if is_whole(key):
        # Rounded towards where it is, so that no number between two steps is out of reach.
        to = [min(ceil(value / factor), value - 1), max(floor(value * factor), value + 1)]
        yield from (int(min(max(number, bounds.low), high)) for number in to)
    else:
        to = [value / factor, value * factor]
        yield from (_rounded(min(max(number, bounds.low), high)) for number in to)


def _rounded(value: float) -> float:
    return round(value, _DIGITS - 1 - floor(log10(value)))


def _ranges(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, ModelSearchRange]]:
    for name, inner in table.items():
        if is_table(inner) and "low" in inner:
            yield f"{prefix}{name}", ModelSearchRange.model_validate(inner)
        elif is_table(inner):
            yield from _ranges(inner, f"{prefix}{name}.")
