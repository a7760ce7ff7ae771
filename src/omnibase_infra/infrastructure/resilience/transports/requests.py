"""requests, and urllib3 under it, which says what requests does not."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import (
    failure_of_answer,
    failure_of_status,
    failure_of_tunnel,
    is_idempotent,
    method_of,
)
from omnibase_infra.infrastructure.resilience.transports.tls import kind_of_tls
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_REQUESTS: Final = {
    "ConnectTimeout": (Kind.TIMEOUT, False),
    "Timeout": (Kind.TIMEOUT, True),
    "ConnectionError": (Kind.CONNECTION, True),
    "ChunkedEncodingError": (Kind.CONNECTION, True),
    "RetryError": (Kind.UNAVAILABLE, True),
    "ContentDecodingError": (Kind.CALLER, True),
    "TooManyRedirects": (Kind.CALLER, True),
    "InvalidJSONError": (Kind.CALLER, True),
    "StreamConsumedError": (Kind.CALLER, True),
    "UnrewindableBodyError": (Kind.CALLER, True),
    "URLRequired": (Kind.CALLER, False),
    "MissingSchema": (Kind.CALLER, False),
    "InvalidSchema": (Kind.CALLER, False),
    "InvalidURL": (Kind.CALLER, False),
    "InvalidHeader": (Kind.CALLER, False),
}
_URLLIB3: Final = {
    "NewConnectionError": (Kind.CONNECTION, False),  # a ConnectTimeoutError by inheritance only
    "ConnectTimeoutError": (Kind.TIMEOUT, False),
    "TimeoutError": (Kind.TIMEOUT, True),
    "EmptyPoolError": (Kind.TIMEOUT, False),
    "ClosedPoolError": (Kind.CONNECTION, False),  # evicted by another thread: the next attempt has a new pool
    "ResponseNotChunked": (Kind.CALLER, True),
    "ProtocolError": (Kind.CONNECTION, True),
    "IncompleteRead": (Kind.CONNECTION, True),
    "InvalidChunkLength": (Kind.CONNECTION, True),
    "ProxyError": (Kind.CONNECTION, False),
    "SSLError": (Kind.CONNECTION, True),
    "MaxRetryError": (Kind.CONNECTION, True),
}
"""Class → kind, and whether the request may have taken effect. The first class along the MRO decides."""

_PUT_OF_SERVICES: Final = {"consul": None, "hvac": False}
"""Clients of services where a PUT need not be idempotent: Vault takes it as a POST, Consul creates sessions by it."""

_STATUS_OF_RETRIES: Final = re.compile(r"too many ([1-5][0-9]{2}) error responses")


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of requests or urllib3; `names` are the class names along its MRO."""
    if "RequestException" not in names:
        rule = f"urllib3: {names[0]}"
        found = _classify_urllib3(exc, rule) or Failure(Kind.CALLER, f"{rule}: misuse of the client")
        return replace(found, client_attempts=_attempts(exc))
    method, rule = method_of(exc), f"requests: {names[0]}"
    if "HTTPError" in names:
        response = getattr(exc, "response", None)
        status, headers = getattr(response, "status_code", None), getattr(response, "headers", None)
        return failure_of_answer(status, headers, rule, method=method)
    failure = None
    under = exc.args[0] if exc.args else None
    if isinstance(under, Exception) and ("ConnectionError" in names or "RetryError" in names):
        # The names lie: a read time-out in mid-body is a ConnectionError, too.
        failure = _classify_urllib3(under, f"{rule} over {type(under).__name__}")
        if failure is not None:
            failure = replace(failure, client_attempts=_attempts(under))
    if failure is None:
        known = next((_REQUESTS[name] for name in names if name in _REQUESTS), None)
        if known is None:
            return None
        failure = Failure(known[0], rule, sent=known[1])
    return replace(failure, idempotent=_is_repeatable(exc, method))


def _attempts(exc: BaseException) -> int:
    """How often urllib3 has tried: each retry is in the history of the last one, redirects are there as well."""
    history: object = ()
    for frame in frames_of(exc, "urllib3"):
        if frame.f_code.co_name == "urlopen":
            history = getattr(frame.f_locals.get("retries"), "history", history)
    tries = cast("tuple[object, ...]", history) if isinstance(history, tuple) else ()
    return 1 + sum(not getattr(earlier, "redirect_location", None) for earlier in tries)


def _is_repeatable(exc: BaseException, method: str | None) -> bool | None:
    if method is not None and method.upper() == "PUT":
        for package, repeatable in _PUT_OF_SERVICES.items():
            if any(frames_of(exc, package)):
                return repeatable
    return is_idempotent(method)


def _classify_urllib3(exc: BaseException, rule: str) -> Failure | None:
    names = [cls.__name__ for cls in type(exc).__mro__]
    reason = getattr(exc, "reason", None)
    if "MaxRetryError" in names and isinstance(reason, Exception):
        return _classify_urllib3(reason, f"{rule} over {type(reason).__name__}")
    if "ResponseError" in names:
        return _after_retries(str(exc), rule)
    if "ProxyError" in names:
        tunnel = failure_of_tunnel(str(exc), f"{rule}: its text")
        if tunnel is not None:
            return tunnel
    found = next((_URLLIB3[name] for name in names if name in _URLLIB3), None)
    if found is None:
        return None
    kind, sent = found
    if "SSLError" in names:
        kind = kind_of_tls(exc) or kind
    return Failure(kind, rule, sent=sent)


def _after_retries(text: str, rule: str) -> Failure:
    """The finding after urllib3's own retries: the answers are gone, their status is nowhere but in the text."""
    status = _STATUS_OF_RETRIES.search(text)
    if status is not None:
        return failure_of_status(int(status[1]), None, f"{rule}: its text")
    return Failure(Kind.CALLER if "redirects" in text else Kind.UNAVAILABLE, f"{rule}: its text")
