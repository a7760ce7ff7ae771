"""A trace as OpenTelemetry exports it: OTLP as JSON, whole or a document a line, as the collector's file exporter does.

Source: OpenTelemetry's trace.proto for the spans, its semantic conventions for their attributes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, TextIO, cast

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.trace_csv import Take
from omnibase_infra.utils.util_builtin_numbers import is_table

_Call = tuple[float, str | None, float]

Skip = Callable[[str], None]
"""Gets the reason why a span is no call to this dependency."""

_OTHERS: Final = {
    **dict.fromkeys((1, "SPAN_KIND_INTERNAL"), "internal"),
    **dict.fromkeys((2, "SPAN_KIND_SERVER"), "of a server"),
    **dict.fromkeys((5, "SPAN_KIND_CONSUMER"), "of a consumer"),
}
"""Kinds of spans that are no calls to a dependency. One that does not tell may be."""

_ERROR: Final = (2, "STATUS_CODE_ERROR")
_TYPES: Final = (
    *("error.type", "exception.type", "db.response.status_code", "http.response.status_code", "http.status_code"),
    *("rpc.response.status_code", "rpc.grpc.status_code"),
)
"""Where an error's type stands, the most telling first."""

_UNTOLD: Final = "_OTHER"
"""What the conventions have for an error of a type that the instrumentation does not know."""

_VALKEY: Final = ("redis", "valkey")


class Spans:
    """Takes what it needs of each span while the document around it is being read, so that none of it piles up."""

    def __init__(self, transport: str, take: Take, skip: Skip) -> None:
        self._transport = transport
        self._take = take
        self._skip = skip
        self._found: list[_Call | str] = []
        self.count = 0

    def read(self, file: TextIO) -> None:
        """Read the calls of a file.

        Raises:
            ProtocolConfigurationError: When it is not JSON, or a span in it not one; names the line.
        """
        for number, line in enumerate(file, 1):
            if line.strip():
                wrong = self._parse(line, number)
                if wrong and number == 1:
                    # A document that does not end with its first line is one as a whole.
                    wrong = self._parse(line + file.read(), number)
                if wrong:
                    raise ProtocolConfigurationError(wrong, parameter="line")

    def _parse(self, text: str, line: int) -> str | None:
        """Read a document; what is wrong with it, if anything: then nothing of it counts."""
        self._found.clear()
        try:
            json.loads(text, object_hook=self._each)
        except json.JSONDecodeError as error:
            return f"line {line + error.lineno - 1}, column {error.colno}: is not valid JSON"
        except RecursionError:
            return f"line {line}: is nested too deeply for a trace"
        for found in self._found:
            if isinstance(found, str):
                self._skip(found)
            else:
                self._take(*found)
        self.count += len(self._found)
        return None

    def _each(self, table: dict[str, object]) -> object:
        """Gets every JSON object, the innermost first."""
        if "startTimeUnixNano" in table and "endTimeUnixNano" in table:
            self._found.append(self._call(table))
            return None
        return table

    def _call(self, span: Mapping[str, object]) -> _Call | str:
        """The call that a span tells of, or why it tells of none."""
        start, end = _nanoseconds(span["startTimeUnixNano"]), _nanoseconds(span["endTimeUnixNano"])
        if start is None or end is None or end < start:
            raise ProtocolConfigurationError(
                f"span {self.count + len(self._found) + 1}: startTimeUnixNano and endTimeUnixNano must be nanoseconds, "
                "the end not earlier",
                parameter="span",
            )
        attributes = _attributes(span)
        kind = span.get("kind")
        other = _OTHERS.get(kind) if isinstance(kind, int | str) else None
        return other or self._of_another(attributes) or ((end - start) / 1e9, _error(span, attributes), start / 1e9)

    def _of_another(self, attributes: Mapping[str, str]) -> str | None:
        """Which transport the conventions' attributes tell of, where it is not the one in question."""
        found: tuple[str, ...]
        system = attributes.get("db.system.name") or attributes.get("db.system")
        if system is not None:
            found = ("valkey",) if system in _VALKEY else ("database",)
        elif "messaging.system" in attributes:
            found = ("kafka",) if attributes["messaging.system"] == "kafka" else ()
        elif "rpc.system" in attributes or "rpc.system.name" in attributes:
            found = ("grpc",)
        elif "http.request.method" in attributes or "http.method" in attributes:
            found = ("network", "vault", "consul", "grpc")
        else:
            return None
        return None if self._transport in found else f"of {found[0] if found else 'another transport'}"


def _error(span: Mapping[str, object], attributes: Mapping[str, str]) -> str | None:
    """What the span failed with, in its own words; None when it did not."""
    status = span.get("status")
    failed = is_table(status) and status.get("code") in _ERROR
    if not failed and "error.type" not in attributes:
        return None
    raised = [_attributes(event) for event in _tables(span.get("events"))]
    for known in (attributes, *reversed(raised)):
        for name in _TYPES:
            if known.get(name, _UNTOLD) != _UNTOLD:
                return known[name]
    return _UNTOLD


def _attributes(table: Mapping[str, object]) -> dict[str, str]:
    """The attributes as text, whatever type they are of."""
    found: dict[str, str] = {}
    for attribute in _tables(table.get("attributes")):
        name, value = attribute.get("key"), attribute.get("value")
        if isinstance(name, str) and is_table(value):
            found[name] = str(next(iter(value.values()), ""))
    return found


def _tables(value: object) -> list[Mapping[str, object]]:
    return [item for item in cast("list[object]", value) if is_table(item)] if isinstance(value, list) else []


def _nanoseconds(value: object) -> int | None:
    """JSON has them as text, for they are too large for a number of JavaScript's."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
