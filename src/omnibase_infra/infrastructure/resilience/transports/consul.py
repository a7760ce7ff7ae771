"""py-consul: the HTTP status behind its exceptions, on which it stands in the text, if at all.

Source: Consul's HTTP API reference.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import failure_of_answer, is_idempotent
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_STATUS_OF_CLASS: Final = {"ACLDisabled": 401, "ACLPermissionDenied": 403, "BadRequest": 400, "NotFound": 404}
_STATUS_IN_TEXT: Final = re.compile(r"([45][0-9]{2}) ")

_UNAUTHORIZED: Final = 401
_SERVER_ERROR: Final = 500


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of py-consul; `names` are the class names along its MRO."""
    name = names[0]
    text = str(exc.args[0]) if exc.args else ""
    status, headers, method = _answer(exc)
    if "Timeout" in names:
        return Failure(Kind.TIMEOUT, f"consul.{name}", idempotent=_is_repeatable(method))
    if status is None:
        status = next((_STATUS_OF_CLASS[base] for base in names if base in _STATUS_OF_CLASS), None)
    if status is None:
        # Without a traceback the status stands nowhere but at the head of the text.
        found = _STATUS_IN_TEXT.match(text)
        status = None if found is None else int(found[1])
    rule = f"consul.{name}"
    if status is None:
        return Failure(Kind.CALLER, f"{rule}: no status, or misuse of the client")
    failure = failure_of_answer(status, headers, f"{rule}: status {status}")
    # Consul has few statuses for many failures; what follows is told by nothing but its text.
    if status == _UNAUTHORIZED and "ACL support disabled" in text:
        # The cluster has no access control: the call makes no sense there, and no other token mends it.
        failure = replace(failure, kind=Kind.CALLER, decided_by=f"{failure.decided_by}, its text")
    elif status == _SERVER_ERROR and text.endswith("No cluster leader"):
        failure = replace(failure, decided_by=f"{failure.decided_by}, its text", sent=False)
    return replace(failure, idempotent=_is_repeatable(method))


def _answer(exc: BaseException) -> tuple[int | None, object, object]:
    """Status and headers of the answer, and the request's method, as py-consul knew them when it raised."""
    response: object = None
    method: object = None
    for frame in frames_of(exc, "consul"):
        response = frame.f_locals.get("response", response)
        if frame.f_globals["__name__"] == "consul.std":
            method = frame.f_code.co_name
        elif frame.f_globals["__name__"] == "consul.aio":
            method = frame.f_locals.get("method", method)
    status = getattr(response, "code", None)
    return status if isinstance(status, int) else None, getattr(response, "headers", None), method


def _is_repeatable(method: object) -> bool | None:
    """Consul creates sessions and fires events by PUT: of a PUT the method tells nothing."""
    return is_idempotent(method) if isinstance(method, str) and method.upper() != "PUT" else None
