"""httpx, and httpcore under it, whose classes bear the same names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import (
    failure_of_answer,
    failure_of_status,
    is_idempotent,
    method_of,
)
from omnibase_infra.infrastructure.resilience.transports.tls import kind_of_tls
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_BY_NAME: Final = {
    "ConnectTimeout": (Kind.TIMEOUT, False),
    "PoolTimeout": (Kind.TIMEOUT, False),
    "TimeoutException": (Kind.TIMEOUT, True),
    "ConnectError": (Kind.CONNECTION, False),
    "ConnectionNotAvailable": (Kind.CONNECTION, False),
    "NetworkError": (Kind.CONNECTION, True),
    "ProxyError": (Kind.CONNECTION, False),
    "UnsupportedProtocol": (Kind.CALLER, False),
    "InvalidURL": (Kind.CALLER, False),
    "LocalProtocolError": (Kind.CALLER, True),
    "ProtocolError": (Kind.CONNECTION, True),
    "DecodingError": (Kind.CALLER, True),
    "TooManyRedirects": (Kind.CALLER, True),
    "RequestError": (Kind.CONNECTION, True),
}
"""Class → kind, and whether the request may have taken effect. The first class along the MRO decides."""

_STATUS_OF_A_PROXY: Final = re.compile(r"([1-5][0-9]{2}) ")


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure:
    """Classify an exception of httpx or httpcore; `names` are the class names along its MRO."""
    name, method = names[0], method_of(exc)
    rule = f"httpx: {name}"
    if "HTTPStatusError" in names:
        response = getattr(exc, "response", None)
        status, headers = getattr(response, "status_code", None), getattr(response, "headers", None)
        return failure_of_answer(status, headers, rule, method=method)
    if "ProxyError" in names:
        # The proxy's status is nowhere but in the text. The request itself never left.
        found = _STATUS_OF_A_PROXY.match(str(exc))
        if found is not None:
            return replace(failure_of_status(int(found[1]), None, f"{rule}: its text", method=method), sent=False)
    kind, sent = next((_BY_NAME[known] for known in names if known in _BY_NAME), (Kind.CALLER, True))
    if "ConnectError" in names:
        kind = kind_of_tls(exc) or kind
    return Failure(kind, rule, sent=sent, idempotent=is_idempotent(method), client_attempts=_attempts(exc))


def _attempts(exc: BaseException) -> int:
    """How often the transport has tried to connect: its loop counts down."""
    for frame in frames_of(exc.__cause__ or exc, "httpcore"):
        left, given = frame.f_locals.get("retries_left"), getattr(frame.f_locals.get("self"), "_retries", None)
        if isinstance(left, int) and isinstance(given, int):
            return 1 + given - left
    return 1
