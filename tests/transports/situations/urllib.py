"""How the standard library's own HTTP client fails."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable
from email.message import Message
from urllib.error import ContentTooShortError, HTTPError, URLError

from tests.transports.situation import Situation
from tests.transports.situations.http_statuses import SECRET_URL, status_rows

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport


def status_error(status: int, headers: dict[str, str]) -> HTTPError:
    """What urllib raises for an answer that is no success."""
    message = Message()
    for name, value in headers.items():
        message[name] = value
    error = HTTPError(SECRET_URL, status, "no", message, io.BytesIO())  # type: ignore[arg-type]
    error.close()
    return error


def _row(situation: str, make: Callable[[], BaseException], kind: Kind, *, sent: bool) -> Situation:
    return Situation("urllib", situation, make, kind, sent, Transport.HTTP)


def tls(reason: str) -> ssl.SSLError:
    """An error of OpenSSL with its reason, which only OpenSSL itself sets."""
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


SITUATIONS: list[Situation] = [
    _row("connection refused", lambda: URLError(ConnectionRefusedError(111, "refused")), Kind.CONNECTION, sent=False),
    _row("host name unknown", lambda: URLError(socket.gaierror(-2, "unknown")), Kind.CONNECTION, sent=False),
    _row("connect time-out", lambda: URLError(TimeoutError("timed out")), Kind.TIMEOUT, sent=True),
    _row("reset before the answer", lambda: ConnectionResetError(104, "reset"), Kind.CONNECTION, sent=True),
    _row("closed before the answer", lambda: http.client.RemoteDisconnected("closed"), Kind.CONNECTION, sent=True),
    _row("answer cut off", lambda: http.client.IncompleteRead(b"S3CR3T", 95), Kind.CONNECTION, sent=True),
    _row("download cut off", lambda: ContentTooShortError("S3CR3T", b""), Kind.CONNECTION, sent=True),
    _row("nonsense for an answer", lambda: http.client.BadStatusLine("S3CR3T"), Kind.CONNECTION, sent=True),
    _row("no answer in time", lambda: TimeoutError("timed out"), Kind.TIMEOUT, sent=True),
    _row(
        "certificate does not verify",
        lambda: URLError(ssl.SSLCertVerificationError(1, "certificate verify failed")),
        Kind.CALLER,
        sent=False,
    ),
    _row("TLS to a plain port", lambda: URLError(tls("WRONG_VERSION_NUMBER")), Kind.CALLER, sent=True),
    _row("closed in the TLS handshake", lambda: URLError(ssl.SSLEOFError(8, "EOF")), Kind.CONNECTION, sent=True),
    _row(
        "proxy asks for credentials",
        lambda: URLError(OSError("Tunnel connection failed: 407 Proxy Authentication Required")),
        Kind.AUTHENTICATION,
        sent=False,
    ),
    _row(
        "proxy cannot reach the server",
        lambda: URLError(OSError("Tunnel connection failed: 502 Bad Gateway")),
        Kind.UNAVAILABLE,
        sent=False,
    ),
    _row("proxy refused", lambda: URLError(ConnectionRefusedError(111, "refused")), Kind.CONNECTION, sent=False),
    _row("redirect loop", lambda: status_error(302, {}), Kind.CALLER, sent=True),
    _row("malformed URL", lambda: http.client.InvalidURL("nonnumeric port: 'S3CR3T'"), Kind.CALLER, sent=False),
    _row("unknown scheme", lambda: URLError("unknown url type: foo"), Kind.CALLER, sent=False),
    _row("headers without an end", lambda: http.client.LineTooLong("header line"), Kind.CALLER, sent=True),
    _row("used out of turn", lambda: http.client.CannotSendRequest("Request-sent"), Kind.CALLER, sent=False),
    *status_rows("urllib", status_error),
]
