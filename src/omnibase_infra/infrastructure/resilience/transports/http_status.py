"""HTTP statuses in our words, for every client that reports them.

Source: RFC 9110, sections 9.2.2 and 15; RFC 8470 for 425, RFC 6585 for 429.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_hints import retry_after

_BY_STATUS: Final = {
    401: Kind.AUTHENTICATION,
    403: Kind.AUTHENTICATION,
    407: Kind.AUTHENTICATION,  # a proxy's 401
    408: Kind.TIMEOUT,
    425: Kind.UNAVAILABLE,
    429: Kind.THROTTLED,
    501: Kind.CALLER,
    505: Kind.CALLER,
    506: Kind.CALLER,
    507: Kind.CALLER,  # insufficient storage
    508: Kind.CALLER,
    510: Kind.CALLER,
    511: Kind.CALLER,  # a network that wants a person to log in
}
_FIRST_SERVER_ERROR: Final = 500
_LAST_SERVER_ERROR: Final = 599

_NOT_EXECUTED: Final = (401, 403, 407, 425, 429)
_UNAVAILABLE: Final = 503

_REFUSED_TUNNEL: Final = re.compile(r"Tunnel connection failed: ([1-5][0-9]{2}) ")

_IDEMPOTENT: Final = {
    **dict.fromkeys(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"), True),
    **dict.fromkeys(("POST", "PATCH"), False),
}


def kind_of_status(status: int) -> Kind:
    """The failure kind of an HTTP status; an unknown server error is what 500 is, as RFC 9110 asks."""
    kind = _BY_STATUS.get(status)
    if kind is not None:
        return kind
    return Kind.UNAVAILABLE if _FIRST_SERVER_ERROR <= status <= _LAST_SERVER_ERROR else Kind.CALLER


def failure_of_status(
    status: int,
    headers: Mapping[str, str] | None,
    decided_by: str,
    *,
    method: str | None = None,
    wall_clock: Callable[[], float] = time.time,
) -> Failure:
    """The finding for an answer that reports a failure.

    Args:
        status: HTTP status of the answer.
        headers: Its headers, in any letter case; None when the client lost them.
        decided_by: The rule's name.
        method: Method of the request, where it is known.
        wall_clock: Seconds since the epoch, for hints that name a point in time.
    """
    hint = retry_after(headers, limited=kind_of_status(status) is Kind.THROTTLED, wall_clock=wall_clock)
    # A server that says when to come back has turned the request away; a bare 503 may be that of a gateway that lost
    # the answer.
    executed = status not in _NOT_EXECUTED and not (status == _UNAVAILABLE and hint is not None)
    return Failure(kind_of_status(status), decided_by, str(status), hint, executed, is_idempotent(method))


def failure_of_tunnel(text: str, decided_by: str) -> Failure | None:
    """The finding when a proxy refused to connect, of which `http.client` tells in the text alone; None otherwise."""
    status = _REFUSED_TUNNEL.search(text)
    return None if status is None else replace(failure_of_status(int(status[1]), None, decided_by), sent=False)


def failure_of_answer(status: object, headers: object, decided_by: str, *, method: str | None = None) -> Failure:
    """The same for what a client's exception holds, which need be neither a status nor headers: a mock's may not."""
    if not isinstance(status, int):
        return Failure(Kind.CALLER, f"{decided_by}, without a status", idempotent=is_idempotent(method))
    known = cast("Mapping[str, str]", headers) if isinstance(headers, Mapping) else None
    return failure_of_status(status, known, decided_by, method=method)


def method_of(exc: BaseException) -> str | None:
    """Method of an exception's request, where the client put the request on it."""
    try:
        method: object = getattr(getattr(exc, "request", None), "method", None)
    except RuntimeError:  # httpx: the exception was raised outside of a request
        return None
    return method if isinstance(method, str) else None


def is_idempotent(method: str | None) -> bool | None:
    """Whether repeating a request of this method does no harm; None for an unknown method, or none."""
    return None if method is None else _IDEMPOTENT.get(method.upper())
