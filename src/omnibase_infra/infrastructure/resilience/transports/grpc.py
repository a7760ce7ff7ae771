"""gRPC, blocking and asyncio: the status code, and what the server's metadata say.

Sources: "Status codes and their use in gRPC"; gRFC A6 for the server's pushback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.grpc_hints import forbids_retry, pushback, retry_info
from omnibase_infra.infrastructure.resilience.transports.http_hints import retry_after
from omnibase_infra.infrastructure.resilience.transports.http_status import failure_of_status

_KIND_OF_CODE: Final = {
    "ABORTED": Kind.UNAVAILABLE,  # the transaction must run again as a whole
    "DEADLINE_EXCEEDED": Kind.TIMEOUT,
    "PERMISSION_DENIED": Kind.AUTHENTICATION,
    "RESOURCE_EXHAUSTED": Kind.THROTTLED,
    "UNAUTHENTICATED": Kind.AUTHENTICATION,
    "UNAVAILABLE": Kind.UNAVAILABLE,
}

_OF_CLIENT: Final = {
    "FutureCancelledError": Kind.ABANDONED,
    "FutureTimeoutError": Kind.TIMEOUT,
}

_GATEWAY: Final = re.compile(r"Received http2 header with status: ([1-5][0-9]{2})")
_NOT_CONNECTED: Final = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "errors resolving ",
    "DNS resolution failed",
    "Name resolution failure",
    "empty address list",
)
_LOST: Final = (
    "Socket closed",
    "Connection reset",
    "Connection closed",
    "Broken pipe",
    "GOAWAY received",
    "keepalive watchdog timeout",
)
_TLS_FAILED: Final = "Tls handshake failed"
_TLS_BEYOND_RETRY: Final = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "Hostname Verification Check failed")
_TOO_LARGE: Final = "larger than max"
_TOO_MANY_CALLS: Final = "Concurrent RPC limit exceeded!"
_CHANNEL_CLOSED: Final = "Channel closed!"


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of gRPC; `names` are the class names along its MRO."""
    name = names[0]
    if "RpcError" not in names:
        kind = next((_OF_CLIENT[base] for base in names if base in _OF_CLIENT), Kind.CALLER)
        return Failure(kind, f"grpc.{name}: the client's own")
    code: object = getattr(_ask(exc, "code"), "name", None)
    if not isinstance(code, str):
        return None
    details = str(_ask(exc, "details") or "")
    if code == "CANCELLED" and (_ask(exc, "cancelled") is True or details == _CHANNEL_CLOSED):
        return Failure(Kind.ABANDONED, f"grpc.{name}: cancelled by ourselves", code)
    gateway = _GATEWAY.fullmatch(details)
    if gateway is not None:
        # A gateway answered in plain HTTP. Its status is nowhere but in the text: UNAVAILABLE may be a 429.
        return failure_of_status(int(gateway[1]), None, f"grpc.{name}: the HTTP status of a gateway")
    metadata = _metadata(exc)
    unreached = None
    if code == "UNAVAILABLE" and not metadata:
        # One code for a server that is not there and one that says so; only the text of gRPC's core tells them apart.
        unreached = _unreached(details, f"grpc.{name}: UNAVAILABLE, its text")
    return unreached or _of_server(f"grpc.{name}: {code}", code, details, metadata)


def _of_server(rule: str, code: str, details: str, metadata: dict[str, object]) -> Failure:
    kind = _KIND_OF_CODE.get(code, Kind.CALLER)
    if kind is Kind.THROTTLED and _TOO_LARGE in details:
        # The same code as for a quota, and nothing but the text tells; no retry makes the message smaller.
        return Failure(Kind.CALLER, f"{rule}, message too large", code)
    if kind is Kind.AUTHENTICATION:
        return Failure(kind, rule, code, sent=False)
    if kind not in (Kind.UNAVAILABLE, Kind.THROTTLED):
        return Failure(kind, rule, code)
    if forbids_retry(metadata):
        return Failure(kind, f"{rule}, and the server wants no retry", code, retry_forbidden=True)
    hint = pushback(metadata)
    if hint is None:
        hint = retry_info(metadata)
    if hint is None:
        headers = {name: value for name, value in metadata.items() if isinstance(value, str)}
        hint = retry_after(headers, limited=kind is Kind.THROTTLED)
    # A server that says when to come back has turned the call away.
    return Failure(kind, rule, code, hint, sent=hint is None and details != _TOO_MANY_CALLS)


def _unreached(details: str, rule: str) -> Failure | None:
    """The finding when the call found no server, or lost it; None when it was the server who spoke."""
    if details.startswith(_NOT_CONNECTED):
        hopeless = _TLS_FAILED in details and any(reason in details for reason in _TLS_BEYOND_RETRY)
        return Failure(Kind.CALLER if hopeless else Kind.CONNECTION, rule, "UNAVAILABLE", sent=False)
    if any(text in details for text in _LOST):
        return Failure(Kind.CONNECTION, rule, "UNAVAILABLE")
    return None


def _ask(exc: BaseException, name: str) -> object:
    """What a method of the exception answers; the base class of all, which users derive from, has none of them."""
    method = getattr(exc, name, None)
    return method() if callable(method) else None


def _metadata(exc: BaseException) -> dict[str, object]:
    pairs = _ask(exc, "trailing_metadata")
    if not isinstance(pairs, Iterable):
        return {}
    known = [cast("tuple[object, ...]", pair) for pair in cast("Iterable[object]", pairs) if isinstance(pair, tuple)]
    return {str(pair[0]): pair[1] for pair in known if len(pair) == 2}  # noqa: PLR2004 - a name and a value
