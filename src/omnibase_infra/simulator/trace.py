"""A scenario's numbers from what was measured."""

from __future__ import annotations

import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.trace_csv import read_csv
from omnibase_infra.simulator.trace_errors import UNMAPPED, catalogue_name
from omnibase_infra.simulator.trace_spans import Spans
from omnibase_infra.utils.util_sanitize import sanitize

MOST_SAMPLES: Final = 10_000
"""Enough for a 99.9 % quantile out of ten, and a scenario that still goes to another process in no time."""


class TraceWarning(UserWarning):
    """Something in a trace counts as something else, or not at all."""


class Trace(NamedTuple):
    """What a trace tells of a dependency.

    Attributes:
        samples: Seconds that the calls took which were answered, in ascending order; thinned to 10,000 by quantile.
        error_share: Share of the calls that failed.
        errors: How often, by names of the catalogue of drivers' errors.
        rate: Calls/s between the first and the last; None when the trace has no times of day.
        notes: What counts as something else, or not at all: a sentence each.
    """

    samples: tuple[float, ...]
    error_share: float
    errors: Mapping[str, int]
    rate: float | None
    notes: tuple[str, ...]


def from_trace(
    path: str | PathLike[str], scenario: ModelScenario, *, tell: Callable[[str], None] | None = None
) -> ModelScenario:
    """The scenario, with latencies, everyday errors and rate as they were measured, and without its checks.

    A measured time holds whatever its call waited for at the server: a trace of a quiet day is the better one. The rate
    is taken over by an open loop only.

    Args:
        path: A CSV file with the columns ``duration_seconds`` or ``duration_ms``, and if known ``error`` and
            ``timestamp``; or a JSON export of OpenTelemetry, whole or a document a line.
        scenario: What is to happen with these numbers.
        tell: Gets a sentence for each thing that counts as something else or not at all; else it is a `TraceWarning`.

    Raises:
        ProtocolConfigurationError: When the file is no trace, or no call in it was answered: names the place, and says
            what is allowed.
    """
    trace = read_trace(path, scenario.transport)
    notes = list(trace.notes)
    load = scenario.load
    if trace.rate is not None and load.rate is not None:
        load = load.model_copy(update={"rate": trace.rate})
    elif trace.rate is not None:
        notes.append("the rate is not used: the scenario's load are so many clients")
    for note in notes:
        if tell is None:
            warnings.warn(note, TraceWarning, stacklevel=2)
        else:
            tell(note)
    measured = {
        "latency": ModelLatency(samples=trace.samples),
        "error_share": trace.error_share,
        "errors": {name: float(count) for name, count in trace.errors.items()},
    }
    dependency = scenario.dependency.model_copy(update=measured)
    return scenario.model_copy(update={"load": load, "dependency": dependency, "checks": ()})


def read_trace(path: str | PathLike[str], transport: str) -> Trace:
    """What a trace tells of one transport's calls; `from_trace` says what it may be.

    Raises:
        ProtocolConfigurationError: As there.
    """
    found = _Measured()
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            _read(file, transport, found)
        return found.trace(transport)
    except OSError as error:
        sentence = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        sentence = "is not UTF-8 text"
    except ProtocolConfigurationError as error:
        sentence = error.message
    raise ProtocolConfigurationError(f"{fspath(path)}: {sentence}", parameter="trace")


def _read(file: TextIO, transport: str, found: _Measured) -> None:
    beginning = file.read(1)
    while beginning.isspace():
        beginning = file.read(1)
    file.seek(0)
    if beginning not in ("{", "["):
        read_csv(file, found.take)
        return
    spans = Spans(transport, found.take, found.skip)
    spans.read(file)
    if not spans.count:
        raise ProtocolConfigurationError(
            "has no spans: must be OpenTelemetry's resourceSpans, or CSV with a header", parameter="trace"
        )


class _Measured:
    """What the readers found, as little of it as possible."""

    def __init__(self) -> None:
        self._seconds = array("d")
        self._errors: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._dated = 0
        self._first = self._last = 0.0

    def take(self, seconds: float, error: str | None, when: float | None) -> None:
        if error is None:
            self._seconds.append(seconds)
        else:
            self._errors[error] += 1
        if when is not None:
            self._first = min(self._first, when) if self._dated else when
            self._last = max(self._last, when) if self._dated else when
            self._dated += 1

    def skip(self, reason: str) -> None:
        self._skipped[reason] += 1

    def trace(self, transport: str) -> Trace:
        notes = [f"{_counted(count, 'span')} {reason} left out" for reason, count in sorted(self._skipped.items())]
        if not self._seconds:
            left_out = f" ({', '.join(notes)})" if notes else ""
            raise ProtocolConfigurationError(f"has no answered call to take times from{left_out}", parameter="trace")
        errors: Counter[str] = Counter()
        for error, count in sorted(self._errors.items()):
            name = catalogue_name(error, transport)
            errors[name or UNMAPPED] += count
            if name is None:
                notes.append(f"{_counted(count, 'error')} of the unknown type {_shown(error)}, as {UNMAPPED}")
        calls = len(self._seconds) + errors.total()
        if 0 < self._dated < calls:
            notes.append(f"{_counted(calls - self._dated, 'call')} without a time of day, left out of the rate")
        lasted = self._last - self._first
        rate = (self._dated - 1) / lasted if lasted > 0 else None
        return Trace(_thinned(self._seconds), errors.total() / calls, dict(errors), rate, tuple(notes))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _shown(error: str) -> str:
    """A class or a code; other text may hold anything."""
    return sanitize(error) if error.replace(".", "_").replace("-", "_").isidentifier() or error.isalnum() else "(text)"


def _thinned(seconds: array[float]) -> tuple[float, ...]:
    """In ascending order; of too many, those in the middle of as many equal parts."""
    ordered = sorted(seconds)
    count = len(ordered)
    if count <= MOST_SAMPLES:
        return tuple(ordered)
    return tuple(ordered[(2 * part + 1) * count // (2 * MOST_SAMPLES)] for part in range(MOST_SAMPLES))
