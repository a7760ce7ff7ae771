"""What a stack must reach: ``amplification<=1.2``, ``recover<=5s``, ``p99<=300ms``, ``success_rate>=95%``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import unknown_name
from omnibase_infra.simulator.model_measures import ModelMeasures

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}

_ALIASES: Final = {
    "added_p50": "added_p50_seconds",
    "added_p99": "added_p99_seconds",
    "detect": "detect_seconds",
    "goodput": "goodput_kept",
    "p50": "p50_seconds",
    "p99": "p99_seconds",
    "recover": "recover_seconds",
    "work_lost": "work_lost_seconds",
}
NAMES: Final[Mapping[str, str]] = {**{name: name for name in ModelMeasures.model_fields}, **_ALIASES}
"""What a check may name → the measure's field."""

_SHARES: Final = ("success_rate", "goodput_kept")
_SECONDS: Final = {"": 1.0, "s": 1.0, "ms": 1000.0}
_SHARE: Final = {"": 1.0, "%": 100.0}
_NUMBER: Final = {"": 1.0}

_NEVER: Final = {"detect_seconds": "no circuit opened", "recover_seconds": "never recovered"}
_NO_ANSWER: Final = "no call was answered"

_DIGITS: Final = (3, 6, 17)
"""As few as tell a measure from its bound."""

_FORM: Final = re.compile(
    r"(?P<name>\w+)\s*(?P<operator><=|>=|<|>)\s*(?P<number>-?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>\S*)"
)
_ALLOWED: Final = (
    "a measure, one of <=, >=, <, >, and a number with s, ms, % or no unit: 'amplification<=1.2', 'p99<=300ms'"
)


@dataclass(frozen=True, slots=True)
class Check:
    """A bound on one measure.

    Attributes:
        measure: Name of the measure's field.
        comparison: ``<=``, ``>=``, ``<`` or ``>``.
        bound: In seconds, a share of 1, or a number, as the measure is.
    """

    measure: str
    comparison: str
    bound: float

    def holds(self, measures: ModelMeasures) -> bool:
        """Whether the stack reached it. What never came is later than every bound."""
        value = self._value(measures)
        return _COMPARE[self.comparison](inf if value is None else value, self.bound)

    def shown(self, measures: ModelMeasures) -> str:
        """What was measured, and what was wanted: ``recover: never recovered, wanted <= 5 s``."""
        alias = next((short for short, name in _ALIASES.items() if name == self.measure), self.measure)
        value = self._value(measures)
        found, wanted = _NEVER.get(self.measure, _NO_ANSWER), ""
        for digits in _DIGITS:
            wanted = _in_words(self.measure, self.bound, digits)
            found = found if value is None else _in_words(self.measure, value, digits)
            if found != wanted or value == self.bound:
                break
        return f"{alias}: {found}, wanted {self.comparison} {wanted}"

    def __str__(self) -> str:
        unit = "s" if self.measure.endswith("_seconds") else ""
        return f"{self.measure}{self.comparison}{self.bound!r}{unit}"

    def _value(self, measures: ModelMeasures) -> float | None:
        value: float | None = getattr(measures, self.measure)
        return value


def parse_check(text: str) -> Check:
    """Read a check.

    Args:
        text: A measure's name or its alias, an operator, and a number with a unit: ``s`` or ``ms`` for times, ``%`` for
            shares. Without a unit a time is in seconds and a share is one of 1.

    Raises:
        ProtocolConfigurationError: When it is none; says what is allowed.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        word = re.match(r"\w+", text.strip())
        shown = f"check on {word[0]}" if word and word[0] in NAMES else "check"
        raise ProtocolConfigurationError(f"{shown}: must be {_ALLOWED}", parameter="check")
    name = found["name"]
    if name not in NAMES:
        raise ProtocolConfigurationError(f"check on {unknown_name(name, NAMES)}", parameter="check")
    units = _units(NAMES[name])
    bound = _number(found["number"])
    if bound is None or found["unit"] not in units:
        allowed = " or ".join(unit or "no unit" for unit in sorted(units, reverse=True))
        raise ProtocolConfigurationError(f"check on {name}: must have a number with {allowed}", parameter="check")
    return Check(NAMES[name], found["operator"], bound / units[found["unit"]])


def _units(measure: str) -> Mapping[str, float]:
    if measure.endswith("_seconds"):
        return _SECONDS
    return _SHARE if measure in _SHARES else _NUMBER


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:  # several points
        return None
    return number if isfinite(number) else None


def _in_words(measure: str, value: float, digits: int) -> str:
    if measure.endswith("_seconds"):
        return f"{value:.{digits}g} s" if abs(value) >= 1 else f"{value * 1000:.{digits}g} ms"
    if measure in _SHARES:
        return f"{value * 100:.{digits}g} %"
    return f"{value:,.0f}" if value == int(value) else f"{value:.{digits}g}"
