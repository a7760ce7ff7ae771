"""The rules that need no driver: ONEX errors, the builtin exceptions, and what is not an error at all."""

from __future__ import annotations

from concurrent.futures import CancelledError
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
    ValueError,  # io.UnsupportedOperation, ssl.SSLCertVerificationError: OSErrors about the request itself
)


def classify_onex(exc: ModelOnexError) -> Failure:
    """An ONEX error says itself what it is."""
    if exc.rejected_by is not None:
        return Failure(Kind.REJECTED, "ONEX error: rejected by one of our own policies", None, exc.retry_after_seconds)
    for cls, kind in _ONEX:
        if isinstance(exc, cls):
            return Failure(kind, f"ONEX error: {cls.__name__}", None, exc.retry_after_seconds)
    return Failure(Kind.CALLER, "ONEX error: not about the dependency")


def classify_builtin(exc: BaseException) -> Failure:
    """What remains when no driver claims an exception."""
    if not isinstance(exc, Exception) or isinstance(exc, CancelledError):
        return Failure(Kind.ABANDONED, "not an Exception: cancelled, interrupted or closed")
    if isinstance(exc, OSError):
        if isinstance(exc, _BEYOND_RETRY):
            return Failure(Kind.CALLER, "builtin: an OSError that no retry can mend")
        kind = Kind.TIMEOUT if isinstance(exc, TimeoutError) else Kind.CONNECTION
        return Failure(kind, f"builtin: {kind} by OSError")
    return Failure(Kind.CALLER, "builtin: no rule claims this class")
