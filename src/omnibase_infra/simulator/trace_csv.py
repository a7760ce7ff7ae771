"""A trace as CSV: one call a line, under a header."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import inf
from typing import Final

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import unknown_name

Take = Callable[[float, str | None, float | None], None]
"""Gets the seconds, the error if any, and the time of day in seconds if it is known, of each call."""

_DURATIONS: Final = {"duration_seconds": 1, "duration_ms": 1000}
"""Columns, with how many of their units make a second."""
_COLUMNS: Final = (*_DURATIONS, "error", "timestamp")
_MILLISECONDS_FROM: Final = 1e11
"""As seconds it would be the year 5138."""


def read_csv(lines: Iterable[str], take: Take) -> None:
    """Read the calls of a file.

    Raises:
        ProtocolConfigurationError: When a column or a cell is wrong; names the line, and what is allowed.
    """
    rows = csv.DictReader(lines, skipinitialspace=True)
    try:
        _read(rows, take)
    except csv.Error as error:
        sentence = f"line {rows.line_num}: is not CSV: {error}"
    else:
        return
    raise ProtocolConfigurationError(sentence, parameter="line")


def _read(rows: csv.DictReader[str], take: Take) -> None:
    header = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = header
    unit = [name for name in _DURATIONS if name in header]
    if len(unit) != 1:
        reason = "has both" if unit else "; ".join(_guess(name) for name in header[:1]) or "is empty"
        raise ProtocolConfigurationError(
            f"header: must have one of {' and '.join(_DURATIONS)}, with error and timestamp if known: {reason}",
            parameter="header",
        )
    column, in_a_second = unit[0], _DURATIONS[unit[0]]
    for row in rows:
        if row.get(None) is not None:
            raise _refused(rows.line_num, "a cell", f"one of {len(header)}, as many as the header has")
        duration = _number(row[column])
        if duration is None:
            raise _refused(rows.line_num, column, "a number, 0 or more")
        text = row.get("timestamp")
        when = _moment(text) if text else None
        if text and when is None:
            raise _refused(rows.line_num, "timestamp", "seconds or milliseconds since 1970, or as ISO 8601 has it")
        take(duration / in_a_second, (row.get("error") or "").strip() or None, when)


def _guess(name: str) -> str:
    return unknown_name(name, _COLUMNS) if name.isidentifier() else "its first line is no header"


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < inf else None


def _moment(text: str) -> float | None:
    number = _number(text)
    if number is not None:
        return number if number < _MILLISECONDS_FROM else number / 1000
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _refused(line: int, what: str, allowed: str) -> ProtocolConfigurationError:
    return ProtocolConfigurationError(f"line {line}: {what}: must be {allowed}", parameter="line")
