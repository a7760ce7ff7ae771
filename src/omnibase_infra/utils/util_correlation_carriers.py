"""The correlation id in and out of what carries a call: HTTP headers, Kafka headers, gRPC metadata.

What comes in was written by anyone. A value that is malformed, oversized, nil, or given twice with two meanings is
ignored, and no reading ever fails: where nothing usable is left, a new id begins. What goes out never changes the
object that was given.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar, cast, overload
from uuid import UUID, uuid4

from omnibase_infra.utils.util_correlation import as_uuid, correlation_id_var

Headers: TypeAlias = (
    Mapping[str, str | bytes | None]
    | Mapping[str, str]
    | Mapping[str, bytes]
    | Mapping[bytes, bytes]
    | Iterable[tuple[str | bytes, str | bytes | None]]
)
"""What clients, servers and brokers hand out: a mapping, or pairs of which a name may have several."""

V = TypeVar("V")

HTTP_HEADER: Final = "X-Correlation-ID"
KAFKA_HEADER: Final = "correlation_id"
GRPC_KEY: Final = "x-correlation-id"
TRACEPARENT: Final = "traceparent"

_LONGEST: Final = 512
_PAIR: Final = 2
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)
_FIRST_VERSION: Final = "00"
_NO_VERSION: Final = "ff"


def extract_http(headers: Headers | None) -> UUID:
    """Read the correlation id of an HTTP request or response.

    Args:
        headers: As httpx, aiohttp, requests, Starlette or ASGI give them; names in any case, text or bytes.

    Returns:
        The UUID of ``X-Correlation-ID``, else the trace-id of a W3C ``traceparent``, else a new uuid4.
    """
    return _extract(headers, GRPC_KEY)


def extract_kafka(headers: Headers | None) -> UUID:
    """Read the correlation id of a Kafka message.

    Args:
        headers: As aiokafka and confluent-kafka give them; None for a message without any.

    Returns:
        The UUID of ``correlation_id``, else that of ``x-correlation-id``, else the trace-id of a W3C ``traceparent``,
        else a new uuid4.
    """
    return _extract(headers, KAFKA_HEADER, GRPC_KEY)


def extract_grpc(metadata: Headers | None) -> UUID:
    """Read the correlation id of a gRPC call.

    Args:
        metadata: As ``context.invocation_metadata()`` gives it; None for a call without any.

    Returns:
        The UUID of ``x-correlation-id``, else the trace-id of a W3C ``traceparent``, else a new uuid4.
    """
    return _extract(metadata, GRPC_KEY)


@overload
def inject_http(
    headers: Mapping[str, str] | None = None,
    correlation_id: UUID | str | None = None,
    *,
    sampled: bool | None = None,
) -> dict[str, str]: ...
@overload
def inject_http(
    headers: Iterable[tuple[str, str]],
    correlation_id: UUID | str | None = None,
    *,
    sampled: bool | None = None,
) -> list[tuple[str, str]]: ...
def inject_http(
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    correlation_id: UUID | str | None = None,
    *,
    sampled: bool | None = None,
) -> dict[str, str] | list[tuple[str, str]]:
    """Return the headers with ``X-Correlation-ID``, in place of any that was there.

    Args:
        headers: A mapping, or pairs where a name has several values.
        correlation_id: The current one when None; without a current one nothing is added.
        sampled: Add a W3C ``traceparent`` too, whose trace-id is the correlation id, with this sampled flag. The
            default adds none: the flag decides what every tracer behind the call records, and a tracer on this side
            knows better. One that is there already stays.

    Returns:
        A new dict for a mapping, a new list for pairs.

    Raises:
        ValueError: `correlation_id` is no UUID, or is nil and a ``traceparent`` is wanted.
    """
    written = _written(HTTP_HEADER, correlation_id, sampled=sampled)
    if headers is None or isinstance(headers, Mapping):
        given = cast("Mapping[str, str]", headers or {})
        return dict(_merged(given.items(), written))
    return _merged(headers, written)


def inject_kafka(
    headers: Iterable[tuple[str, bytes]] | None = None,
    correlation_id: UUID | str | None = None,
    *,
    sampled: bool | None = None,
) -> list[tuple[str, bytes]]:
    """Return the headers of a Kafka message with ``correlation_id``, in place of any that was there.

    Args:
        headers: Names with bytes.
        correlation_id: As for `inject_http`, like the rest.
        sampled: …

    Raises:
        ValueError: As `inject_http` does.
    """
    written = _written(KAFKA_HEADER, correlation_id, sampled=sampled)
    return _merged(headers or (), [(name, value.encode()) for name, value in written])


def inject_grpc(
    metadata: Iterable[tuple[str, str | bytes]] | None = None,
    correlation_id: UUID | str | None = None,
    *,
    sampled: bool | None = None,
) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata of a gRPC call with ``x-correlation-id``, in place of any that was there.

    Args:
        metadata: Lower-case keys with text, or with bytes where the key ends in ``-bin``.
        correlation_id: As for `inject_http`, like the rest.
        sampled: …

    Raises:
        ValueError: As `inject_http` does.
    """
    return tuple(_merged(metadata or (), _written(GRPC_KEY, correlation_id, sampled=sampled)))


def _extract(carrier: object, *names: str) -> UUID:
    """The id under the first of the names that says one clearly, else that of a traceparent, else a new one."""
    said: dict[str, set[UUID | None]] = {}
    for name, value in _pairs(carrier):
        known = name.lower()
        if known in names:
            said.setdefault(known, set()).add(_id(value))
        elif known == TRACEPARENT:
            said.setdefault(known, set()).add(_trace_id(value))
    for name in (*names, TRACEPARENT):
        meant = said.get(name, set())
        if len(meant) == 1 and (found := meant.pop()) is not None:
            return found
    return uuid4()


def _pairs(carrier: object) -> Iterator[tuple[str, str]]:
    if carrier is None:
        return
    entries = cast("Mapping[object, object]", carrier).items() if isinstance(carrier, Mapping) else carrier
    for entry in cast("Iterable[object]", entries):
        if isinstance(entry, tuple | list) and len(cast("Sequence[object]", entry)) == _PAIR:
            name, value = cast("Sequence[object]", entry)
            yield _text(name), _text(value)


def _text(value: object) -> str:
    """The text, without the white space that HTTP allows around it; what is none, or too long, is as good as empty."""
    if not isinstance(value, str | bytes) or len(value) > _LONGEST:
        return ""
    return (value if isinstance(value, str) else value.decode("latin-1")).strip(" \t")


def _id(text: str) -> UUID | None:
    if _UUID.fullmatch(text) is None:
        return None
    found = UUID(text)
    return found if found.int else None


def _trace_id(text: str) -> UUID | None:
    """The trace-id of a traceparent (W3C Trace Context, section 3.2); later versions may only add to the first."""
    parts = _TRACEPARENT.fullmatch(text)
    if parts is None:
        return None
    version, trace_id, parent_id, more = parts.groups()
    if version == _NO_VERSION or (version == _FIRST_VERSION and more) or not int(parent_id, 16):
        return None
    return _id(trace_id)


def _written(name: str, correlation_id: UUID | str | None, *, sampled: bool | None) -> list[tuple[str, str]]:
    current = correlation_id_var.get() if correlation_id is None else as_uuid(correlation_id)
    if current is None:
        return []
    written = [(name, str(current))]
    if sampled is not None:
        if not current.int:
            raise ValueError("correlation_id is the nil UUID, which no traceparent can hold")
        parent_id = 0
        while not parent_id:  # all zeros are no parent-id
            parent_id = secrets.randbits(64)
        written.append((TRACEPARENT, f"{_FIRST_VERSION}-{current.hex}-{parent_id:016x}-{'01' if sampled else '00'}"))
    return written


def _merged(given: Iterable[tuple[str, V]], written: Iterable[tuple[str, V]]) -> list[tuple[str, V]]:
    """What was given, with what is written in place of its namesakes; a traceparent that was given stays."""
    merged = list(given)
    for name, value in written:
        same = {known for known, _ in merged if known.lower() == name.lower()}
        if not same or name != TRACEPARENT:
            merged = [*(pair for pair in merged if pair[0] not in same), (name, value)]
    return merged
