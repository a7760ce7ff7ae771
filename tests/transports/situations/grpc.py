"""How gRPC fails, blocking and asyncio: the same statuses in exceptions of two classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc._channel import _InactiveRpcError, _RPCState
from grpc.aio import AioRpcError, Metadata
from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport

SECRET = "hunter2-S3CR3T"
PEER = "ipv4:10.0.0.7:50051"

Make = Callable[..., grpc.RpcError]


def asynchronous(code: str, details: str = "", *metadata: tuple[str, str | bytes]) -> AioRpcError:
    """What an awaited call raises."""
    return AioRpcError(grpc.StatusCode[code], Metadata(), Metadata(*metadata), details, f"{code}:{details}")


def blocking(code: str, details: str = "", *metadata: tuple[str, str | bytes]) -> _InactiveRpcError:
    """What a blocking call raises."""
    return _InactiveRpcError(_RPCState((), (), metadata, grpc.StatusCode[code], details))


MAKERS: dict[str, Make] = {"grpc.aio": asynchronous, "grpc": blocking}


def retry_info(seconds: int, nanos: int = 0) -> bytes:
    """The status details of a server that says when to come back."""
    status = Status(code=8, message=SECRET)
    status.details.add().Pack(ErrorInfo(reason="QUOTA", domain="example.com"))
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
    return status.SerializeToString()


_TEXTS = {
    "refused": (
        (
            f"failed to connect to all addresses; last error: UNKNOWN: {PEER}: Failed to connect to remote host: "
            "Connection refused"
        ),
        Kind.CONNECTION,
        False,
    ),
    "unknown host": (
        (
            "errors resolving no-such-host.invalid:1: [field:hostname lookup error:address lookup failed for "
            "no-such-host.invalid:1: Domain name not found]"
        ),
        Kind.CONNECTION,
        False,
    ),
    "closed on connect": (
        f"failed to connect to all addresses; last error: UNAVAILABLE: {PEER}: Socket closed",
        Kind.CONNECTION,
        False,
    ),
    "not the protocol": (
        (
            f"failed to connect to all addresses; last error: UNAVAILABLE: {PEER}: Failed parsing HTTP/2 (Expected "
            "SETTINGS frame as the first frame, got frame type 111)"
        ),
        Kind.CONNECTION,
        False,
    ),
    "TLS to a server without": (
        (
            f"failed to connect to all addresses; last error: UNKNOWN: {PEER}: Tls handshake failed "
            "(TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER: "
            "Invalid certificate verification context"
        ),
        Kind.CALLER,
        False,
    ),
    "reset in mid-call": ("Stream removed (recvmsg:Connection reset by peer (104))", Kind.CONNECTION, True),
    "closed in mid-call": ("Stream removed (Socket closed)", Kind.CONNECTION, True),
    "a gateway's 429": ("Received http2 header with status: 429", Kind.THROTTLED, False),
    "a gateway's 502": ("Received http2 header with status: 502", Kind.UNAVAILABLE, True),
    "a gateway's 503": ("Received http2 header with status: 503", Kind.UNAVAILABLE, True),
    "a gateway's 504": ("Received http2 header with status: 504", Kind.UNAVAILABLE, True),
    "UNAVAILABLE": (SECRET, Kind.UNAVAILABLE, True),
}

_CODES = {
    "ABORTED": (Kind.UNAVAILABLE, True),
    "ALREADY_EXISTS": (Kind.CALLER, True),
    "CANCELLED": (Kind.CALLER, True),
    "DATA_LOSS": (Kind.CALLER, True),
    "DEADLINE_EXCEEDED": (Kind.TIMEOUT, True),
    "FAILED_PRECONDITION": (Kind.CALLER, True),
    "INTERNAL": (Kind.CALLER, True),
    "INVALID_ARGUMENT": (Kind.CALLER, True),
    "NOT_FOUND": (Kind.CALLER, True),
    "OUT_OF_RANGE": (Kind.CALLER, True),
    "PERMISSION_DENIED": (Kind.AUTHENTICATION, False),
    "RESOURCE_EXHAUSTED": (Kind.THROTTLED, True),
    "UNAUTHENTICATED": (Kind.AUTHENTICATION, False),
    "UNIMPLEMENTED": (Kind.CALLER, True),
    "UNKNOWN": (Kind.CALLER, True),
}


_ROWS: list[tuple[object, ...]] = [
    *((name, kind, sent, "UNAVAILABLE", text) for name, (text, kind, sent) in _TEXTS.items()),
    *((code, kind, sent, code, SECRET) for code, (kind, sent) in _CODES.items()),
    ("a gateway's 401", Kind.AUTHENTICATION, False, "UNAUTHENTICATED", "Received http2 header with status: 401"),
    ("a gateway's 403", Kind.AUTHENTICATION, False, "PERMISSION_DENIED", "Received http2 header with status: 403"),
    ("a gateway's 404", Kind.CALLER, True, "UNIMPLEMENTED", "Received http2 header with status: 404"),
    ("a gateway's 500", Kind.UNAVAILABLE, True, "UNKNOWN", "Received http2 header with status: 500"),
    ("UNAVAILABLE with pushback", Kind.UNAVAILABLE, False, "UNAVAILABLE", "", ("grpc-retry-pushback-ms", "1500")),
    ("no retry, says the server", Kind.UNAVAILABLE, True, "UNAVAILABLE", "", ("grpc-retry-pushback-ms", "-1")),
    (
        "RESOURCE_EXHAUSTED with RetryInfo",
        Kind.THROTTLED,
        False,
        "RESOURCE_EXHAUSTED",
        "quota",
        ("grpc-status-details-bin", retry_info(4, 500_000_000)),
    ),
    ("too many calls at a time", Kind.THROTTLED, False, "RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!"),
    (
        "message too large",
        Kind.CALLER,
        True,
        "RESOURCE_EXHAUSTED",
        "CLIENT: Received message larger than max (6000000 vs. 4194304)",
    ),
]

SITUATIONS: list[Situation] = [
    Situation(driver, situation, partial(make, *made_of), kind, sent, Transport.GRPC)
    for driver, make in MAKERS.items()
    for situation, kind, sent, *made_of in _ROWS
]
