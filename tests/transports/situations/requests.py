"""How requests, and urllib3 under it, fail."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable

import requests
from requests import exceptions
from tests.transports.situation import Situation
from tests.transports.situations.http_statuses import SECRET_URL, status_rows
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3 import exceptions as urllib3
from urllib3.connection import HTTPConnection

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport

POOL = HTTPConnectionPool("api.example.com")
TLS_POOL = HTTPSConnectionPool("api.example.com")
CONNECTION = HTTPConnection("api.example.com")


def request(method: str = "GET") -> requests.PreparedRequest:
    return requests.Request(method, SECRET_URL).prepare()


def status_error(status: int, headers: dict[str, str], method: str = "GET") -> requests.HTTPError:
    """What `raise_for_status` raises."""
    response = requests.Response()
    response.status_code, response.reason, response.url = status, "no", SECRET_URL
    response.headers.update(headers)
    response.request = request(method)
    try:
        response.raise_for_status()
    except requests.HTTPError as exc:
        return exc
    raise AssertionError(f"{status} is no error")


def max_retries(reason: Exception) -> urllib3.MaxRetryError:
    return urllib3.MaxRetryError(POOL, SECRET_URL, reason)


def refused() -> Exception:
    return urllib3.NewConnectionError(CONNECTION, "Failed to establish a new connection: Connection refused")


def aborted(error: Exception) -> Exception:
    return urllib3.ProtocolError("Connection aborted.", error)


def read_timeout() -> urllib3.ReadTimeoutError:
    return urllib3.ReadTimeoutError(POOL, SECRET_URL, "Read timed out.")


def tls(error: ssl.SSLError) -> exceptions.SSLError:
    return exceptions.SSLError(max_retries(urllib3.SSLError(error)), request=request())


def tunnel(text: str) -> exceptions.ProxyError:
    return exceptions.ProxyError(
        max_retries(urllib3.ProxyError("Unable to connect to proxy", OSError(text))), request=request()
    )


def _row(situation: str, make: Callable[[], BaseException], kind: Kind, *, sent: bool) -> Situation:
    return Situation("requests", situation, make, kind, sent, Transport.HTTP)


SITUATIONS: list[Situation] = [
    _row(
        "connection refused",
        lambda: exceptions.ConnectionError(max_retries(refused()), request=request()),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "host name unknown",
        lambda: exceptions.ConnectionError(
            max_retries(urllib3.NameResolutionError("api.example.com", CONNECTION, socket.gaierror(-2, "unknown"))),
            request=request(),
        ),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "connect time-out",
        lambda: exceptions.ConnectTimeout(
            max_retries(urllib3.ConnectTimeoutError(CONNECTION, "timed out")), request=request()
        ),
        Kind.TIMEOUT,
        sent=False,
    ),
    _row(
        "no connection free in the pool",
        lambda: urllib3.EmptyPoolError(POOL, "Pool is empty and a new connection can't be opened"),
        Kind.TIMEOUT,
        sent=False,
    ),
    _row(
        "reset before the answer",
        lambda: exceptions.ConnectionError(aborted(ConnectionResetError(104, "reset")), request=request()),
        Kind.CONNECTION,
        sent=True,
    ),
    _row(
        "closed before the answer",
        lambda: exceptions.ConnectionError(aborted(http.client.RemoteDisconnected("closed")), request=request()),
        Kind.CONNECTION,
        sent=True,
    ),
    _row(
        "answer cut off",
        lambda: exceptions.ChunkedEncodingError(
            urllib3.ProtocolError("Connection broken: IncompleteRead", urllib3.IncompleteRead(5, 95))
        ),
        Kind.CONNECTION,
        sent=True,
    ),
    _row(
        "nonsense for an answer",
        lambda: exceptions.ConnectionError(aborted(http.client.BadStatusLine("S3CR3T")), request=request()),
        Kind.CONNECTION,
        sent=True,
    ),
    _row(
        "no answer in time",
        lambda: exceptions.ReadTimeout(read_timeout(), request=request()),
        Kind.TIMEOUT,
        sent=True,
    ),
    _row(
        "answer stops in mid-body",
        lambda: exceptions.ConnectionError(read_timeout()),
        Kind.TIMEOUT,
        sent=True,
    ),
    _row(
        "certificate does not verify",
        lambda: tls(ssl.SSLCertVerificationError(1, "certificate verify failed")),
        Kind.CALLER,
        sent=True,
    ),
    _row("TLS to a plain port", lambda: tls(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")), Kind.CALLER, sent=True),
    _row("closed in the TLS handshake", lambda: tls(ssl.SSLEOFError(8, "EOF occurred")), Kind.CONNECTION, sent=True),
    _row("proxy refused", lambda: tunnel("Connection refused"), Kind.CONNECTION, sent=False),
    _row(
        "proxy asks for credentials",
        lambda: tunnel("Tunnel connection failed: 407 Proxy Authentication Required"),
        Kind.AUTHENTICATION,
        sent=False,
    ),
    _row(
        "proxy cannot reach the server",
        lambda: tunnel("Tunnel connection failed: 502 Bad Gateway"),
        Kind.UNAVAILABLE,
        sent=False,
    ),
    _row(
        "503 after retries of its own",
        lambda: exceptions.RetryError(
            max_retries(urllib3.ResponseError("too many 503 error responses")), request=request()
        ),
        Kind.UNAVAILABLE,
        sent=True,
    ),
    _row(
        "429 after retries of its own",
        lambda: exceptions.RetryError(
            max_retries(urllib3.ResponseError("too many 429 error responses")), request=request()
        ),
        Kind.THROTTLED,
        sent=False,
    ),
    _row("body cannot be decoded", lambda: exceptions.ContentDecodingError("gzip"), Kind.CALLER, sent=True),
    _row(
        "body is not JSON", lambda: exceptions.JSONDecodeError("Expecting value", "S3CR3T", 0), Kind.CALLER, sent=True
    ),
    _row("redirect loop", lambda: exceptions.TooManyRedirects("30", request=request()), Kind.CALLER, sent=True),
    _row("malformed URL", lambda: exceptions.InvalidURL("Failed to parse: S3CR3T"), Kind.CALLER, sent=False),
    _row("unknown scheme", lambda: exceptions.InvalidSchema("No connection adapters"), Kind.CALLER, sent=False),
    _row("illegal header", lambda: exceptions.InvalidHeader("Bearer S3CR3T"), Kind.CALLER, sent=False),
    *status_rows("requests", status_error),
]
