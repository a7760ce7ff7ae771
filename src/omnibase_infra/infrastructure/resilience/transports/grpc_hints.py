"""What a gRPC server says about when to come back.

Sources: gRFC A6 for the pushback; google/rpc/status.proto and google/rpc/error_details.proto for RetryInfo, and the
encoding of Protocol Buffers, of which these few lines read enough to need no generated classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

PUSHBACK: Final = "grpc-retry-pushback-ms"
DETAILS: Final = "grpc-status-details-bin"

_RETRY_INFO: Final = b"/google.rpc.RetryInfo"
_LONGEST_NUMBER: Final = 10
_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def forbids_retry(metadata: Mapping[str, object]) -> bool:
    """Whether the server wants no other attempt: its pushback is negative, or unreadable."""
    return PUSHBACK in metadata and pushback(metadata) is None


def pushback(metadata: Mapping[str, object]) -> float | None:
    """Seconds by which the server pushes the next attempt back; None when it does not, or forbids it."""
    text = metadata.get(PUSHBACK)
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > _LONGEST_NUMBER:
        return None
    return int(text) / 1000


def retry_info(metadata: Mapping[str, object]) -> float | None:
    """The delay, seconds, of a google.rpc.RetryInfo among the status details; None when there is none."""
    status = metadata.get(DETAILS)
    if not isinstance(status, bytes):
        return None
    try:
        for detail in _messages(status, 3):
            if next(_messages(detail, 1), b"").endswith(_RETRY_INFO):
                for delay in _messages(next(_messages(detail, 2), b""), 1):
                    numbers = {number: value for number, value in _fields(delay) if isinstance(value, int)}
                    return max(_signed(numbers.get(1, 0)) + _signed(numbers.get(2, 0)) / 1e9, 0.0)
    except (ValueError, IndexError):  # not Protocol Buffers, or cut off
        return None
    return None


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, value in _fields(data) if number == wanted and isinstance(value, bytes))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field's number and value, as far as this file needs them."""
    position = 0
    while position < len(data):
        key, position = _number(data, position)
        wire_type = key & 7
        if wire_type == _NUMBER:
            value, position = _number(data, position)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            length, position = _number(data, position)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError("unknown wire type")
        if position + length > len(data):
            raise ValueError("cut off")
        yield key >> 3, data[position : position + length]
        position += length


def _number(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number, its lowest digit first, and the position after it."""
    value = 0
    for digit in range(_LONGEST_NUMBER):
        byte = data[position + digit]
        value |= (byte & 0x7F) << (7 * digit)
        if byte < 0x80:  # noqa: PLR2004 - the eighth bit says that another digit follows
            return value, position + digit + 1
    raise ValueError("a number without an end")


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
