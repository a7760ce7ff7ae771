"""hvac, the client of Vault and OpenBao: the HTTP status behind its exceptions, most of which drop it.

Sources: Vault's HTTP API, "HTTP status codes"; "/sys/health" for 472 and 473; "Eventual consistency" for 412.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import failure_of_answer
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_STATUS_OF_CLASS: Final = {
    "InvalidRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "InvalidPath": 404,
    "PreconditionFailed": 412,
    "RateLimitExceeded": 429,
    "InternalServerError": 500,
    "VaultNotInitialized": 501,
    "BadGateway": 502,
    "VaultDown": 503,
}

_TURNED_AWAY: Final = {
    412: "an index that this node has not reached yet",
    472: "a standby for disaster recovery",
    473: "a performance standby",
    501: "not initialised",
}
"""Vault's own statuses: this node cannot serve the request now, and did nothing about it."""

_INVALID_REQUEST: Final = 400
_UNAVAILABLE: Final = 503
_REPEATABLE: Final = ("get", "head", "list", "delete")


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of hvac; `names` are the class names along its MRO."""
    rule = f"hvac.{names[0]}"
    status, headers = _answer(exc)
    if status is None:
        status = next((_STATUS_OF_CLASS[base] for base in names if base in _STATUS_OF_CLASS), None)
    if status is None:
        return Failure(Kind.CALLER, f"{rule}: no status, or misuse of the client")
    failure = failure_of_answer(status, headers, f"{rule}: status {status}")
    if status in _TURNED_AWAY:
        failure = replace(
            failure, kind=Kind.UNAVAILABLE, decided_by=f"{failure.decided_by}, {_TURNED_AWAY[status]}", sent=False
        )
    elif status == _INVALID_REQUEST and _is_login(getattr(exc, "url", None)):
        # Vault answers wrong passwords and secret ids as it does malformed requests.
        failure = replace(failure, kind=Kind.AUTHENTICATION, decided_by=f"{failure.decided_by} to a login", sent=False)
    elif status == _UNAVAILABLE and _is_sealed(getattr(exc, "errors", None)):
        failure = replace(failure, decided_by=f"{failure.decided_by}, sealed", sent=False)
    return replace(failure, idempotent=_is_repeatable(getattr(exc, "method", None)))


def _answer(exc: BaseException) -> tuple[int | None, object]:
    """Status and headers of the answer: what `keep_vault_answers` put on the exception, else what hvac had in hand."""
    kept: object = getattr(exc, "status_code", None)
    if isinstance(kept, int):
        return kept, getattr(exc, "headers", None)
    response: object = None
    for frame in frames_of(exc, "hvac"):
        response = frame.f_locals.get("response", response)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None, getattr(response, "headers", None)


def _is_login(url: object) -> bool:
    path = str(url).partition("/v1/")[2]
    return path.startswith("auth/") and (path.endswith("/login") or "/login/" in path)


def _is_sealed(errors: object) -> bool:
    # A 503 of the node itself, not of a gateway that may have lost its answer; only Vault's own word tells them apart.
    return isinstance(errors, list) and "Vault is sealed" in cast("list[object]", errors)


def _is_repeatable(method: object) -> bool | None:
    """Vault takes a PUT as it takes a POST: either may issue a token or a certificate."""
    return method.lower() in _REPEATABLE if isinstance(method, str) else None
