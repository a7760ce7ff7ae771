"""aiohttp's client. What its server side raises is the caller's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import failure_of_answer, is_idempotent
from omnibase_infra.infrastructure.resilience.transports.tls import kind_of_tls
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_BY_NAME: Final = {
    "ConnectionTimeoutError": (Kind.TIMEOUT, False),
    "ServerTimeoutError": (Kind.TIMEOUT, True),
    "ClientConnectorCertificateError": (Kind.CALLER, False),
    "ServerFingerprintMismatch": (Kind.CALLER, False),
    "ClientConnectorError": (Kind.CONNECTION, False),
    "ClientConnectionError": (Kind.CONNECTION, True),
    "ClientPayloadError": (Kind.CONNECTION, True),
    "InvalidURL": (Kind.CALLER, False),
    "NonHttpUrlClientError": (Kind.CALLER, False),
    "RedirectClientError": (Kind.CALLER, True),
    "ClientError": (Kind.CONNECTION, True),
}
"""Class → kind, and whether the request may have taken effect. The first class along the MRO decides."""

_UNREADABLE: Final = ("ContentEncodingError", "DecompressSizeError", "LineTooLong")
"""What the parser complains about and another attempt would bring again."""


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an aiohttp exception; `names` are the class names along its MRO."""
    rule = f"aiohttp: {names[0]}"
    under = _names(exc.__cause__)
    unreadable = any(name in under for name in _UNREADABLE)
    if "ClientResponseError" in names:
        request = getattr(exc, "request_info", None)
        method: object = getattr(request, "method", None)
        method = method if isinstance(method, str) else None
        if "HttpProcessingError" in under:
            # Not an answer at all: aiohttp gives what it cannot parse the status 400.
            kind = Kind.CALLER if unreadable else Kind.CONNECTION
            return Failure(kind, f"{rule} over a parser's error", idempotent=is_idempotent(method))
        status, headers = getattr(exc, "status", None), getattr(exc, "headers", None)
        failure = failure_of_answer(status, headers, rule, method=method)
        # A proxy that refused to connect has not passed the request on.
        return replace(failure, sent=False) if "ClientHttpProxyError" in names else failure
    found = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
    if found is None:
        return None
    kind, sent = found
    if "ClientSSLError" in names:
        kind = kind_of_tls(getattr(exc, "os_error", None)) or kind
    elif unreadable:
        kind = Kind.CALLER
    elif names[0] == "ClientConnectionError" and str(exc).startswith("Connector is closed"):
        # Misuse shares its class with the network's failures; only the text tells them apart.
        kind, sent = Kind.CALLER, False
    return Failure(kind, rule, sent=sent, client_attempts=2 if _sent_again(exc) else 1)


def _sent_again(exc: BaseException) -> bool:
    """Whether aiohttp has sent the request a second time, as it does where the method allows it."""
    for frame in frames_of(exc, "aiohttp"):
        if frame.f_code.co_name == "_request":
            known = frame.f_locals
            may = getattr(known.get("self"), "_retry_connection", False) is True
            idempotent: object = frame.f_globals.get("IDEMPOTENT_METHODS", ())
            allowed = isinstance(idempotent, Collection) and known.get("method") in idempotent
            return may and allowed and known.get("retry_persistent_connection") is False
    return False


def _names(exc: BaseException | None) -> set[str]:
    """Names along the MRO of an exception and of its cause: the parser's errors come wrapped."""
    if exc is None:
        return set()
    classes = (*type(exc).__mro__, *(type(exc.__cause__).__mro__ if exc.__cause__ is not None else ()))
    return {cls.__name__ for cls in classes}
