"""How httpx, and httpcore under it, fail."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from itertools import pairwise

import httpcore
import httpx
from tests.transports.situation import Situation
from tests.transports.situations.http_statuses import SECRET_URL, status_rows

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport


def request(method: str = "GET") -> httpx.Request:
    return httpx.Request(method, SECRET_URL)


def status_error(status: int, headers: dict[str, str], method: str = "GET") -> httpx.HTTPStatusError:
    """What `raise_for_status` raises."""
    try:
        httpx.Response(status, headers=headers, request=request(method)).raise_for_status()
    except httpx.HTTPStatusError as exc:
        return exc
    raise AssertionError(f"{status} is no error")


def chained(*errors: BaseException) -> BaseException:
    """The first error, each caused by the next."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def tls_error(error: ssl.SSLError) -> BaseException:
    return chained(httpx.ConnectError(str(error), request=request()), httpcore.ConnectError(str(error)), error)


def unverified() -> ssl.SSLError:
    return ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")


def _row(situation: str, make: Callable[[], BaseException], kind: Kind, *, sent: bool) -> Situation:
    return Situation("httpx", situation, make, kind, sent, Transport.HTTP)


SITUATIONS: list[Situation] = [
    _row(
        "connection refused",
        lambda: chained(
            httpx.ConnectError("All connection attempts failed", request=request()),
            httpcore.ConnectError("All connection attempts failed"),
            OSError("All connection attempts failed"),
        ),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "host name unknown",
        lambda: httpx.ConnectError("[Errno -2] Name or service not known", request=request()),
        Kind.CONNECTION,
        sent=False,
    ),
    _row("connect time-out", lambda: httpx.ConnectTimeout("", request=request()), Kind.TIMEOUT, sent=False),
    _row("no connection free in the pool", lambda: httpx.PoolTimeout("", request=request()), Kind.TIMEOUT, sent=False),
    _row("reset before the answer", lambda: httpx.ReadError("", request=request()), Kind.CONNECTION, sent=True),
    _row(
        "closed before the answer",
        lambda: httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request()),
        Kind.CONNECTION,
        sent=True,
    ),
    _row(
        "answer cut off",
        lambda: httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        Kind.CONNECTION,
        sent=True,
    ),
    _row(
        "nonsense for an answer",
        lambda: httpx.RemoteProtocolError("illegal status line: bytearray(b'S3CR3T')", request=request()),
        Kind.CONNECTION,
        sent=True,
    ),
    _row("no answer in time", lambda: httpx.ReadTimeout("", request=request()), Kind.TIMEOUT, sent=True),
    _row("server takes no data", lambda: httpx.WriteTimeout("", request=request()), Kind.TIMEOUT, sent=True),
    _row("reset while sending", lambda: httpx.WriteError("", request=request()), Kind.CONNECTION, sent=True),
    _row("answer drips beyond the deadline", TimeoutError, Kind.TIMEOUT, sent=True),
    _row("certificate does not verify", lambda: tls_error(unverified()), Kind.CALLER, sent=False),
    _row(
        "TLS to a plain port",
        lambda: tls_error(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
        Kind.CALLER,
        sent=False,
    ),
    _row(
        "closed in the TLS handshake",
        lambda: tls_error(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "proxy asks for credentials",
        lambda: httpx.ProxyError("407 Proxy Authentication Required", request=request()),
        Kind.AUTHENTICATION,
        sent=False,
    ),
    _row(
        "proxy cannot reach the server",
        lambda: httpx.ProxyError("503 Service Unavailable", request=request()),
        Kind.UNAVAILABLE,
        sent=False,
    ),
    _row("body cannot be decoded", lambda: httpx.DecodingError("Error -3", request=request()), Kind.CALLER, sent=True),
    _row("redirect loop", lambda: httpx.TooManyRedirects("Exceeded", request=request()), Kind.CALLER, sent=True),
    _row("malformed URL", lambda: httpx.InvalidURL("Invalid port: 'S3CR3T'"), Kind.CALLER, sent=False),
    _row("unknown scheme", lambda: httpx.UnsupportedProtocol("foo", request=request()), Kind.CALLER, sent=False),
    _row(
        "illegal header",
        lambda: httpx.LocalProtocolError("Illegal header value b'Bearer S3CR3T\n'", request=request()),
        Kind.CALLER,
        sent=True,
    ),
    *status_rows("httpx", status_error),
]
