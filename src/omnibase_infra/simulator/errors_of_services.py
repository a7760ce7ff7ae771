"""How HTTP services, Vault, Consul and gRPC fail, by the names of the catalogue."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from errno import ECONNREFUSED, ECONNRESET
from functools import partial
from types import SimpleNamespace
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.simulator.driver_classes import stand_in
from omnibase_infra.simulator.stand_ins import DriverError, Entry, headers, made, out_of

_GET: Final = SimpleNamespace(method="GET")

_STATUSES: Final = {
    401: Kind.AUTHENTICATION,
    403: Kind.AUTHENTICATION,
    404: Kind.CALLER,
    408: Kind.TIMEOUT,
    429: Kind.THROTTLED,
    500: Kind.UNAVAILABLE,
    502: Kind.UNAVAILABLE,
    503: Kind.UNAVAILABLE,
    504: Kind.UNAVAILABLE,
}
_WITH_HINT: Final = (429, 503)

_ON_THE_WAY: Final = {
    "aiohttp.ClientConnectorDNSError": (Kind.CONNECTION, (socket.EAI_NONAME, "Name or service not known")),
    "aiohttp.ClientConnectorError": (Kind.CONNECTION, (ECONNREFUSED, "Connect call failed")),
    "aiohttp.ClientOSError": (Kind.CONNECTION, (ECONNRESET, "Connection reset by peer")),
    "aiohttp.ClientPayloadError": (Kind.CONNECTION, ("Response payload is not completed",)),
    "aiohttp.ConnectionTimeoutError": (Kind.TIMEOUT, ("Connection timeout to host",)),
    "aiohttp.ServerDisconnectedError": (Kind.CONNECTION, ("Server disconnected",)),
    "aiohttp.SocketTimeoutError": (Kind.TIMEOUT, ("Timeout on reading data from socket",)),
    "httpx.ConnectError": (Kind.CONNECTION, ("All connection attempts failed",)),
    "httpx.ConnectTimeout": (Kind.TIMEOUT, ("",)),
    "httpx.PoolTimeout": (Kind.TIMEOUT, ("",)),
    "httpx.ReadError": (Kind.CONNECTION, ("",)),
    "httpx.ReadTimeout": (Kind.TIMEOUT, ("",)),
    "httpx.RemoteProtocolError": (Kind.CONNECTION, ("Server disconnected without sending a response.",)),
    "requests.ChunkedEncodingError": (Kind.CONNECTION, ("Connection broken: IncompleteRead",)),
    "requests.ConnectTimeout": (Kind.TIMEOUT, ("timed out",)),
    "requests.ConnectionError": (Kind.CONNECTION, ("Connection aborted.",)),
    "requests.ReadTimeout": (Kind.TIMEOUT, ("Read timed out.",)),
}
"""How HTTP clients fail without an answer."""

_MODULE: Final = {"aiohttp": "aiohttp.client_exceptions", "httpx": "httpx", "requests": "requests.exceptions"}


def http_errors() -> Iterator[Entry]:
    """Those of aiohttp, httpx and requests."""
    for name, (kind, args) in _ON_THE_WAY.items():
        driver, _, class_name = name.partition(".")
        request = {} if driver == "aiohttp" or class_name == "ChunkedEncodingError" else {"request": _GET}
        yield name, DriverError(kind, made(f"{_MODULE[driver]}.{class_name}", *args, bears=request))
    yield "requests.refused", DriverError(Kind.CONNECTION, _refused_by_requests)
    for status, kind in _STATUSES.items():
        for name, path, bears in (
            ("aiohttp", "aiohttp.client_exceptions.ClientResponseError", _aiohttp_answer),
            ("httpx", "httpx.HTTPStatusError", _answer),
            ("requests", "requests.exceptions.HTTPError", _answer),
        ):
            make = made(path, f"answered with {status}", bears=partial(bears, status))
            yield f"{name}.{status}", DriverError(kind, make, status in _WITH_HINT)


def _answer(status: int, retry_after: float | None) -> dict[str, object]:
    return {"request": _GET, "response": SimpleNamespace(status_code=status, headers=headers(retry_after))}


def _aiohttp_answer(status: int, retry_after: float | None) -> dict[str, object]:
    return {"request_info": _GET, "status": status, "headers": headers(retry_after)}


def _refused_by_requests(_: float | None) -> Exception:
    refused = stand_in("urllib3.exceptions.NewConnectionError")("Failed to establish a new connection")
    retries = stand_in("urllib3.exceptions.MaxRetryError")("Max retries exceeded")
    retries.__dict__["reason"] = refused
    error = stand_in("requests.exceptions.ConnectionError")(retries)
    error.__dict__["request"] = _GET
    return error


_VAULT: Final = {
    "BadGateway": ("BadGateway", 502, Kind.UNAVAILABLE, None),
    "Forbidden": ("Forbidden", 403, Kind.AUTHENTICATION, "permission denied"),
    "InternalServerError": ("InternalServerError", 500, Kind.UNAVAILABLE, "internal error"),
    "InvalidPath": ("InvalidPath", 404, Kind.CALLER, "no handler for route"),
    "RateLimitExceeded": ("RateLimitExceeded", 429, Kind.THROTTLED, "rate limit quota exceeded"),
    "VaultDown": ("VaultDown", 503, Kind.UNAVAILABLE, "Vault is sealed"),
    "gateway-503": ("VaultDown", 503, Kind.UNAVAILABLE, None),
    "gateway-504": ("UnexpectedError", 504, Kind.UNAVAILABLE, None),
    "standby": ("UnexpectedError", 473, Kind.UNAVAILABLE, "standby"),
}
"""Class, status, kind, and Vault's own word; a gateway before it has none."""


def vault_errors() -> Iterator[Entry]:
    """Those of hvac."""
    for name, (class_name, status, kind, word) in _VAULT.items():
        bears = partial(_vault_answer, status, [word] if word else [])
        make = made(f"hvac.exceptions.{class_name}", word or "answered without a word of Vault's", bears=bears)
        yield f"hvac.{name}", DriverError(kind, make, status in _WITH_HINT)


def _vault_answer(status: int, errors: list[str], retry_after: float | None) -> dict[str, object]:
    """With status and headers as `keep_vault_answers` leaves them there; hvac by itself drops both."""
    return {"method": "get", "errors": errors, "status_code": status, "headers": headers(retry_after)}


_CONSUL: Final = {
    "429": ("ClientError", 429, Kind.THROTTLED, "429 Too Many Requests"),
    "500": ("ConsulException", 500, Kind.UNAVAILABLE, "500 internal error"),
    "502": ("ConsulException", 502, Kind.UNAVAILABLE, "502 Bad Gateway"),
    "503": ("ConsulException", 503, Kind.UNAVAILABLE, "503 Service Unavailable"),
    "504": ("ConsulException", 504, Kind.UNAVAILABLE, "504 Gateway Timeout"),
    "ACLPermissionDenied": ("ACLPermissionDenied", 403, Kind.AUTHENTICATION, "Permission denied"),
    "no-leader": ("ConsulException", 500, Kind.UNAVAILABLE, "500 No cluster leader"),
}


def consul_errors() -> Iterator[Entry]:
    """Those of py-consul."""
    for name, (class_name, status, kind, text) in _CONSUL.items():
        make = partial(_consul_answer, class_name, status, text)
        yield f"consul.{name}", DriverError(kind, make, status in _WITH_HINT)
    yield "consul.Timeout", DriverError(Kind.TIMEOUT, made("consul.exceptions.Timeout"))


def _consul_answer(class_name: str, status: int, text: str, retry_after: float | None) -> Exception:
    response = SimpleNamespace(code=status, headers=headers(retry_after))
    return out_of(("consul.std", "get"), [stand_in(f"consul.exceptions.{class_name}")(text)], response)


_GRPC: Final = {
    "429": ("UNAVAILABLE", Kind.THROTTLED, "Received http2 header with status: 429"),
    "503": ("UNAVAILABLE", Kind.UNAVAILABLE, "Received http2 header with status: 503"),
    "ABORTED": ("ABORTED", Kind.UNAVAILABLE, "concurrent transaction"),
    "DEADLINE_EXCEEDED": ("DEADLINE_EXCEEDED", Kind.TIMEOUT, "Deadline Exceeded"),
    "INTERNAL": ("INTERNAL", Kind.CALLER, "internal error"),
    "PERMISSION_DENIED": ("PERMISSION_DENIED", Kind.AUTHENTICATION, "not allowed"),
    "RESOURCE_EXHAUSTED": ("RESOURCE_EXHAUSTED", Kind.THROTTLED, "quota"),
    "UNAUTHENTICATED": ("UNAUTHENTICATED", Kind.AUTHENTICATION, "token expired"),
    "UNAVAILABLE": ("UNAVAILABLE", Kind.UNAVAILABLE, "not serving"),
    "UNKNOWN": ("UNKNOWN", Kind.CALLER, "the handler failed"),
    "lost": ("UNAVAILABLE", Kind.CONNECTION, "Stream removed (Socket closed)"),
    "refused": (
        "UNAVAILABLE",
        Kind.CONNECTION,
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:50051: Connection refused",
    ),
    "too-many-calls": ("RESOURCE_EXHAUSTED", Kind.THROTTLED, "Concurrent RPC limit exceeded!"),
}
_PUSHED_BACK: Final = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


def grpc_errors() -> Iterator[Entry]:
    """Those of gRPC."""
    for name, (code, kind, details) in _GRPC.items():
        make = made("grpc.aio._call.AioRpcError", bears=partial(_grpc_answer, code, details))
        yield f"grpc.{name}", DriverError(kind, make, name in _PUSHED_BACK)


def _grpc_answer(code: str, details: str, retry_after: float | None) -> dict[str, object]:
    metadata = () if retry_after is None else (("grpc-retry-pushback-ms", str(round(retry_after * 1000))),)
    status = SimpleNamespace(name=code)
    return {"code": lambda: status, "details": lambda: details, "trailing_metadata": lambda: metadata}
