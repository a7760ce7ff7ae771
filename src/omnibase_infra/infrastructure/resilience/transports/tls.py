"""TLS failures in our words, by themselves and for the clients that wrap them."""

from __future__ import annotations

import ssl
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

_LOST: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_LOST_REASONS: Final = ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "SSLV3_ALERT_BAD_RECORD_MAC")
_SERVER_S_REASONS: Final = ("TLSV1_ALERT_INTERNAL_ERROR",)
_DEEPEST: Final = 8


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of `ssl` itself; `names` are the class names along its MRO."""
    certificate = "SSLCertVerificationError" in names
    if getattr(exc, "reason", None) is None and not certificate and not isinstance(exc, _LOST):
        return None  # OpenSSL has not spoken
    kind = kind_of_tls(exc)
    if kind is None:
        return None
    # A certificate is looked at before anything is sent; any other failure may come in mid-stream.
    return Failure(kind, f"ssl: {names[0]}", sent=not certificate)


def kind_of_tls(exc: BaseException | None) -> Kind | None:
    """The failure kind of the TLS error in or under an exception; None when there is none.

    A certificate that does not verify, or two sides that speak no common protocol, will not be mended by another
    attempt: the caller has to.
    """
    for _ in range(_DEEPEST):
        if exc is None or isinstance(exc, ssl.SSLError):
            break
        exc = _inner(exc)
    if not isinstance(exc, ssl.SSLError):
        return None
    reason: object = getattr(exc, "reason", None)  # one that OpenSSL did not raise has none
    if isinstance(exc, _LOST) or reason in _LOST_REASONS:
        return Kind.CONNECTION
    return Kind.UNAVAILABLE if reason in _SERVER_S_REASONS else Kind.CALLER


def _inner(exc: BaseException) -> BaseException | None:
    """What an exception was made from: clients keep it as a reason, as an argument or as the cause."""
    for candidate in (getattr(exc, "reason", None), *exc.args[:1], exc.__cause__):
        if isinstance(candidate, BaseException):
            return candidate
    return None
