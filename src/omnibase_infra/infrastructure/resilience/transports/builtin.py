"""The rules that need no driver: ONEX errors, the builtin exceptions, and what is not an error at all."""

from __future__ import annotations

import socket
from concurrent.futures import CancelledError
from errno import EADDRNOTAVAIL, EHOSTUNREACH, ENETUNREACH
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelOnexError,
)
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

_ONEX: Final = (
    (InfraConnectionError, Kind.CONNECTION),
    (InfraTimeoutError, Kind.TIMEOUT),
    (InfraUnavailableError, Kind.UNAVAILABLE),
    (InfraRateLimitedError, Kind.THROTTLED),
    (InfraAuthenticationError, Kind.AUTHENTICATION),
)

_BEYOND_RETRY: Final = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    ValueError,  # io.UnsupportedOperation: an OSError about the request itself
)

_MISNAMED: Final = frozenset({
    getattr(socket, name)
    for name in ("EAI_BADFLAGS", "EAI_FAMILY", "EAI_SERVICE", "EAI_SOCKTYPE")
    if hasattr(socket, name)
})  # fmt: skip
"""What a resolver answers to a question that makes no sense. A name that it does not know today it may know soon."""

_NO_CONNECTION: Final = (EADDRNOTAVAIL, EHOSTUNREACH, ENETUNREACH)
"""Errors of connecting: nothing can have been sent."""


def classify_onex(exc: ModelOnexError) -> Failure:
    """An ONEX error says itself what it is."""
    if exc.rejected_by is not None:
        return Failure(Kind.REJECTED, "ONEX error: rejected by one of our own policies", None, exc.retry_after_seconds)
    for cls, kind in _ONEX:
        if isinstance(exc, cls):
            return Failure(kind, f"ONEX error: {cls.__name__}", None, exc.retry_after_seconds)
    return Failure(Kind.CALLER, "ONEX error: not about the dependency")


# Made once: these are the commonest failures of all, and a frozen dataclass takes longer to make than to decide on.
_ABANDONED: Final = Failure(Kind.ABANDONED, "not an Exception: cancelled, interrupted or closed")
_UNMENDABLE: Final = Failure(Kind.CALLER, "builtin: an OSError that no retry can mend")
_UNANSWERABLE: Final = Failure(Kind.CALLER, "builtin: a question that no resolver answers", sent=False)
_BY_OS_ERROR: Final = {
    (kind is Kind.TIMEOUT, sent): Failure(kind, f"builtin: {kind} by OSError", sent=sent)
    for kind in (Kind.TIMEOUT, Kind.CONNECTION)
    for sent in (True, False)
}
_AFTER_LOSS: Final = Failure(Kind.CONNECTION, "builtin: AttributeError of asyncio, which wrote to a lost connection")
_UNKNOWN: Final = Failure(Kind.CALLER, "builtin: no rule claims this class")


def classify_builtin(exc: BaseException) -> Failure:
    """What remains when no driver claims an exception."""
    if not isinstance(exc, Exception) or isinstance(exc, CancelledError):
        return _ABANDONED
    if isinstance(exc, OSError):
        if isinstance(exc, _BEYOND_RETRY):
            return _UNMENDABLE
        if isinstance(exc, socket.gaierror) and exc.errno in _MISNAMED:
            return _UNANSWERABLE
        unsent = isinstance(exc, (ConnectionRefusedError, socket.gaierror)) or exc.errno in _NO_CONNECTION
        return _BY_OS_ERROR[isinstance(exc, TimeoutError), not unsent]
    if isinstance(exc, AttributeError) and _written_after_loss(exc):
        return _AFTER_LOSS
    return _UNKNOWN


def _written_after_loss(exc: AttributeError) -> bool:
    """Whether this is the bug of asyncio in CPython 3.12.1 and 3.13.0 behind a connection that was lost while idle.

    `writelines` of a transport that has given up its loop calls `None._add_writer`, where `write` would only warn;
    drivers built on streams let it through, in place of the ConnectionError of other versions.
    """
    if exc.name != "_add_writer" or exc.obj is not None or exc.__traceback__ is None:
        return False
    innermost = exc.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    return innermost.tb_frame.f_globals.get("__name__") == "asyncio.selector_events"
