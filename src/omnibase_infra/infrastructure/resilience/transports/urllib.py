"""The standard library's HTTP: urllib.request, whose very 404 is an OSError, and http.client under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.classify import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import (
    failure_of_answer,
    failure_of_tunnel,
    is_idempotent,
)
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_LOST: Final = ("BadStatusLine", "IncompleteRead", "RemoteDisconnected")
_MISUSE: Final = ("ImproperConnectionState", "InvalidURL", "NotConnected")


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of urllib.error or http.client; `names` are the class names along its MRO."""
    name = names[0]
    if "HTTPException" in names:
        return _of_http_client(f"http.client: {name}", names)
    if "URLError" not in names:
        return None
    rule, method = f"urllib: {name}", _method(exc)
    if "HTTPError" in names:
        # Its dictionary: one that was made without an answer raises KeyError for every attribute it has not.
        status, headers = exc.__dict__.get("code"), _pairs(exc.__dict__.get("hdrs"))
        return failure_of_answer(status, headers, rule, method=method)
    if "ContentTooShortError" in names:
        return Failure(Kind.CONNECTION, rule, idempotent=is_idempotent(method))
    reason = exc.__dict__.get("reason")
    if not isinstance(reason, BaseException):
        return Failure(Kind.CALLER, f"{rule}: misuse, or a scheme that nothing serves", sent=False)
    under = failure_of_tunnel(str(reason), "its text") or failure_of(reason)
    return replace(under, decided_by=f"{rule} over {under.decided_by}", idempotent=is_idempotent(method))


def _of_http_client(rule: str, names: tuple[str, ...]) -> Failure:
    if any(name in _LOST for name in names):
        return Failure(Kind.CONNECTION, rule)
    return Failure(Kind.CALLER, rule, sent=not any(name in _MISUSE for name in names))


def _method(exc: BaseException) -> str | None:
    """The request's method, which stands nowhere but in urllib's own frames."""
    request: object = None
    for frame in frames_of(exc, "urllib"):
        request = frame.f_locals.get("req", request)
    ask = getattr(request, "get_method", None)
    method: object = ask() if callable(ask) else None
    return method if isinstance(method, str) else None


def _pairs(headers: object) -> dict[str, str] | None:
    """The headers of an answer as a mapping, which a message of `email` is not."""
    items = getattr(headers, "items", None)
    return {str(k): str(v) for k, v in cast("Iterable[tuple[object, object]]", items())} if callable(items) else None
