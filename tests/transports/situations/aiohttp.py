"""How aiohttp's client fails."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from itertools import pairwise

import aiohttp
from aiohttp import http_exceptions
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from tests.transports.situation import Situation
from tests.transports.situations.http_statuses import SECRET_URL, status_rows
from yarl import URL

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport

KEY = ConnectionKey("api.example.com", 80, False, True, None, None, None)  # noqa: FBT003 - aiohttp's own order


def request_info(method: str = "GET") -> aiohttp.RequestInfo:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": "Bearer S3CR3T"}))
    return aiohttp.RequestInfo(URL(SECRET_URL), method, headers, URL(SECRET_URL))


def status_error(status: int, headers: dict[str, str], method: str = "GET") -> aiohttp.ClientResponseError:
    """What `raise_for_status` raises."""
    return aiohttp.ClientResponseError(
        request_info(method), (), status=status, message="no", headers=CIMultiDictProxy(CIMultiDict(headers))
    )


def over(error: BaseException, *causes: BaseException) -> BaseException:
    """The first error, each caused by the next."""
    for outer, inner in pairwise((error, *causes)):
        outer.__cause__ = inner
    return error


def garbage() -> BaseException:
    return over(
        aiohttp.ClientResponseError(request_info(), (), status=400, message="Bad status line: 'S3CR3T'"),
        http_exceptions.HttpProcessingError(code=400, message="Bad status line"),
        http_exceptions.BadStatusLine("S3CR3T"),
    )


def _row(situation: str, make: Callable[[], BaseException], kind: Kind, *, sent: bool) -> Situation:
    return Situation("aiohttp", situation, make, kind, sent, Transport.HTTP)


SITUATIONS: list[Situation] = [
    _row(
        "connection refused",
        lambda: aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "Connect call failed")),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "host name unknown",
        lambda: aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "connect time-out",
        lambda: aiohttp.ConnectionTimeoutError("Connection timeout to host"),
        Kind.TIMEOUT,
        sent=False,
    ),
    _row(
        "no connection free in the pool",
        lambda: aiohttp.ConnectionTimeoutError("Connection timeout to host"),
        Kind.TIMEOUT,
        sent=False,
    ),
    _row("reset before the answer", lambda: aiohttp.ClientOSError(104, "Connection reset"), Kind.CONNECTION, sent=True),
    _row("closed before the answer", aiohttp.ServerDisconnectedError, Kind.CONNECTION, sent=True),
    _row(
        "answer cut off",
        lambda: over(
            aiohttp.ClientPayloadError("Response payload is not completed"),
            http_exceptions.ContentLengthError("Not enough data"),
        ),
        Kind.CONNECTION,
        sent=True,
    ),
    _row("nonsense for an answer", garbage, Kind.CONNECTION, sent=True),
    _row("no answer in time", lambda: aiohttp.SocketTimeoutError("Timeout on reading data"), Kind.TIMEOUT, sent=True),
    _row("answer drips beyond the deadline", TimeoutError, Kind.TIMEOUT, sent=True),
    _row(
        "certificate does not verify",
        lambda: aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "verify failed")),
        Kind.CALLER,
        sent=False,
    ),
    _row(
        "certificate has another fingerprint",
        lambda: aiohttp.ServerFingerprintMismatch(b"a", b"b", "api.example.com", 443),
        Kind.CALLER,
        sent=False,
    ),
    _row(
        "TLS to a plain port",
        lambda: aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")),
        Kind.CALLER,
        sent=False,
    ),
    _row(
        "closed in the TLS handshake",
        lambda: aiohttp.ClientConnectorSSLError(KEY, ssl.SSLEOFError(8, "EOF occurred")),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "proxy refused",
        lambda: aiohttp.ClientProxyConnectionError(KEY, ConnectionRefusedError(111, "refused")),
        Kind.CONNECTION,
        sent=False,
    ),
    _row(
        "proxy asks for credentials",
        lambda: aiohttp.ClientHttpProxyError(request_info("CONNECT"), (), status=407, message="no"),
        Kind.AUTHENTICATION,
        sent=False,
    ),
    _row(
        "proxy cannot reach the server",
        lambda: aiohttp.ClientHttpProxyError(request_info("CONNECT"), (), status=502, message="no"),
        Kind.UNAVAILABLE,
        sent=False,
    ),
    _row(
        "WebSocket handshake answered with 503",
        lambda: aiohttp.WSServerHandshakeError(request_info(), (), status=503, message="no"),
        Kind.UNAVAILABLE,
        sent=True,
    ),
    _row(
        "body cannot be decoded",
        lambda: over(
            aiohttp.ClientPayloadError("400, message: Can not decode content-encoding: gzip"),
            http_exceptions.ContentEncodingError("Can not decode content-encoding: gzip"),
        ),
        Kind.CALLER,
        sent=True,
    ),
    _row(
        "body is not JSON",
        lambda: aiohttp.ContentTypeError(request_info(), (), status=200, message="unexpected mimetype"),
        Kind.CALLER,
        sent=True,
    ),
    _row(
        "redirect loop",
        lambda: aiohttp.TooManyRedirects(request_info(), (), status=302, message=""),
        Kind.CALLER,
        sent=True,
    ),
    _row("malformed URL", lambda: aiohttp.InvalidUrlClientError(SECRET_URL), Kind.CALLER, sent=False),
    _row("unknown scheme", lambda: aiohttp.NonHttpUrlClientError(SECRET_URL), Kind.CALLER, sent=False),
    _row("client closed", lambda: aiohttp.ClientConnectionError("Connector is closed."), Kind.CALLER, sent=False),
    *status_rows("aiohttp", status_error),
]
