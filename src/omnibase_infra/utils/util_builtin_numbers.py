"""The shipped numbers, read once from ``presets/builtin.toml`` as data.

They lie at the lowest layer so that the models' defaults need no second copy of a number.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import TypeGuard


@cache
def builtin_tables() -> Mapping[str, Mapping[str, object]]:
    """The shipped preset file without its profiles: section -> policy -> numbers."""
    return {section: table for section, table in _shipped().items() if section != "profiles"}


def builtin_profiles() -> Mapping[str, object]:
    """The shipped profiles: name -> section -> policy -> numbers."""
    return _shipped()["profiles"]


@cache
def _shipped() -> Mapping[str, Mapping[str, object]]:
    return tomllib.loads((files("omnibase_infra") / "presets" / "builtin.toml").read_text(encoding="utf-8"))


def is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether a value read from TOML or the environment is a table."""
    return isinstance(value, Mapping)


def shipped_int(*path: str) -> Callable[[], int]:
    """A default factory for the whole number at ``[defaults.<path>]``."""
    return lambda: int(_default(path))


def shipped_float(*path: str) -> Callable[[], float]:
    """A default factory for the number at ``[defaults.<path>]``."""
    return lambda: _default(path)


def shipped_bool(*path: str) -> Callable[[], bool]:
    """A default factory for the choice at ``[defaults.<path>]``."""
    return lambda: bool(_default(path))


def _default(path: tuple[str, ...]) -> float:
    found: object = builtin_tables()["defaults"]
    for key in path:
        found = found.get(key) if is_table(found) else None
    if not isinstance(found, int | float):
        raise LookupError(f"builtin.toml has no number at defaults.{'.'.join(path)}")
    return float(found)
