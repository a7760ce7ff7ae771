"""py-consul, blocking and asyncio, against a real Consul where there is one, else against a labelled stand-in."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("consul", reason="py-consul is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")

import consul
import consul.aio
from tests.servers.consul import HOST, ROOT_TOKEN, Consul, find_consul
from tests.servers.http_stub import HttpStub
from tests.support.fault_proxy import Fault, FaultProxy
from tests.transports.situation import Situation
from tests.transports.situations.consul import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraAuthenticationError, InfraConnectionError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_consul_circuit_breaker, create_consul_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

# aiohttp deprecated an argument that py-consul still gives it.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning:consul.aio")]

SECRET = "hunter2-S3CR3T"
TIMEOUT = 0.3
ROWS = {row.situation: row for row in SITUATIONS}
STATUSES = [row for row in SITUATIONS if row.situation[:3].isdigit() and row.situation[:3] not in ("404", "599")]

Call = Callable[[consul.Consul | consul.aio.Consul], object]


def ask(
    driver: str, port: int, call: Call, *, timeout: float = 5.0, host: str = HOST, token: str | None = None
) -> object:
    async def asynchronous() -> object:
        client = consul.aio.Consul(host=host, port=port, token=token, connections_timeout=timeout)
        try:
            answer = call(client)
            return await answer if inspect.isawaitable(answer) else answer
        finally:
            await client.close()

    if driver == "consul.aio":
        return asyncio.run(asynchronous())
    client = consul.Consul(host=host, port=port, token=token, connections_timeout=timeout)
    try:
        return call(client)
    finally:
        client.http.session.close()


DRIVERS = ("consul", "consul.aio")
every_driver = pytest.mark.parametrize("driver", DRIVERS)


def failure(driver: str, port: int, call: Call, **settings: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is, is classified
        ask(driver, port, call, **settings)
    return caught.value


def get(client: consul.Consul) -> object:
    return client.kv.get("key")


def put(client: consul.Consul) -> object:
    return client.kv.put("key", SECRET)


def check(situation: str, error: BaseException) -> Failure:
    """The real exception is classified as the table says."""
    row = ROWS[situation]
    found = failure_of(error, Transport.CONSUL)
    assert (found.kind, found.sent) == (row.kind, row.sent), repr(error)
    assert found.code == failure_of(row.make(), Transport.CONSUL).code
    return found


# --- a real Consul -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def binary() -> Path:
    found = find_consul()
    if found is None:
        pytest.skip("no consul on PATH, and ONEX_TEST_CONSUL names none")
    return found


@pytest.fixture(scope="module")
def server(binary: Path) -> Iterator[Consul]:
    with Consul(binary) as running:
        yield running


@every_driver
def test_an_absent_key_is_no_failure(driver: str, server: Consul) -> None:
    assert ask(driver, server.port, put) is True
    answer = ask(driver, server.port, lambda client: client.kv.get("none"))
    assert isinstance(answer, tuple)
    assert answer[1] is None


@every_driver
def test_permission_denied(driver: str, binary: Path) -> None:
    with Consul(binary, access_control=True) as strict:
        check("403 permission denied", failure(driver, strict.port, put))
        check("403 permission denied", failure(driver, strict.port, get, token="no-such-token"))
        assert ask(driver, strict.port, put, token=ROOT_TOKEN) is True


@every_driver
def test_a_cluster_without_access_control(driver: str, server: Consul) -> None:
    error = failure(driver, server.port, lambda client: client.acl.tokens.list())
    check("401 ACL support disabled", error)


@every_driver
def test_no_cluster_leader(driver: str, binary: Path) -> None:
    with Consul(binary, leader=False) as waiting:
        found = check("500 no cluster leader", failure(driver, waiting.port, put))
        assert found.idempotent is None
        found = check("500 no cluster leader", failure(driver, waiting.port, get))
        assert found.idempotent is True


@every_driver
def test_an_unknown_datacentre(driver: str, server: Consul) -> None:
    check("500", failure(driver, server.port, lambda client: client.kv.get("key", dc="nowhere")))


@every_driver
def test_frozen_then_killed(driver: str, binary: Path) -> None:
    with Consul(binary) as own:
        own.pause()
        frozen = failure_of(failure(driver, own.port, put, timeout=TIMEOUT), Transport.CONSUL)
        own.kill()
        killed = failure_of(failure(driver, own.port, put), Transport.CONSUL)
    assert (frozen.kind, frozen.sent) == (Kind.TIMEOUT, True)
    assert (killed.kind, killed.sent) == (Kind.CONNECTION, False)


def test_the_policies_around_a_call(binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "omnibase_infra")
    calls: list[str] = []

    def guarded(port: int, token: str = SECRET) -> Callable[[], object]:
        @create_consul_circuit_breaker(1)
        @create_consul_retry_policy(3, 0, 0)
        def write() -> object:
            calls.append("")
            return ask("consul", port, put, token=token)

        return write

    with Consul(binary, access_control=True) as strict:
        assert guarded(strict.port, ROOT_TOKEN)()
        calls.clear()
        with pytest.raises(InfraAuthenticationError) as refused:
            guarded(strict.port)()
        assert len(calls) == 1
    with Consul(binary, leader=False) as waiting:
        calls.clear()
        with pytest.raises(InfraUnavailableError) as unavailable:
            guarded(waiting.port)()
        assert len(calls) == 3
    gone = guarded(waiting.port)
    with pytest.raises(InfraConnectionError) as lost:
        gone()
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as rejected:
        gone()
    assert unavailable.value.model.context["driver_code"] == "500"
    ours = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records if "omnibase" in record.name)
    assert ours
    for error in (refused.value, unavailable.value, lost.value, rejected.value):
        for text in (str(error), repr(error), error.model_dump_json(), ours):
            assert SECRET not in text


# --- stand-ins ---------------------------------------------------------------------------------------------------


@every_driver
@pytest.mark.parametrize("row", STATUSES, ids=lambda row: row.situation)
def test_each_status_of_a_stand_in(driver: str, row: Situation) -> None:
    body = {"401 ACL support disabled": "ACL support disabled", "500 no cluster leader": "No cluster leader"}
    with HttpStub() as stub:
        stub.status, stub.body = int(row.situation[:3]), body.get(row.situation, "stand-in")
        found = check(row.situation, failure(driver, stub.port, get))
        assert found.idempotent is True
        assert failure_of(failure(driver, stub.port, put)).idempotent is None
        stub.headers = {"Retry-After": "7"}
        hint = failure_of(failure(driver, stub.port, get)).retry_after_seconds
    assert hint == 7.0


@every_driver
@pytest.mark.parametrize(
    ("fault", "kind", "sent"),
    [
        (Fault.REFUSE, Kind.CONNECTION, False),
        (Fault.RESET_ON_ACCEPT, Kind.CONNECTION, None),  # before or after the request was sent
        (Fault.CLOSE_ON_ACCEPT, Kind.CONNECTION, True),
        (Fault.RESET_ANSWER, Kind.CONNECTION, True),
        (Fault.CLOSE_ANSWER, Kind.CONNECTION, True),
        (Fault.STALL, Kind.TIMEOUT, True),
    ],
)
def test_faults_of_the_wire_before_a_stand_in(driver: str, fault: Fault, kind: Kind, sent: bool | None) -> None:
    with HttpStub() as stub, FaultProxy(stub.port) as proxy:
        proxy.fault, proxy.answer_bytes = fault, 5
        error = failure(driver, proxy.port, put, timeout=TIMEOUT)
    found = failure_of(error, Transport.CONSUL)
    assert (found.kind, found.sent) == (kind, found.sent if sent is None else sent), repr(error)
    assert found.idempotent is None


@every_driver
def test_unknown_host(driver: str) -> None:
    found = failure_of(failure(driver, 8500, get, host="no-such-host.invalid"), Transport.CONSUL)
    assert (found.kind, found.sent) == (Kind.CONNECTION, False)


def test_the_asyncio_client_s_time_out_of_a_stand_in() -> None:
    with HttpStub() as stub:
        stub.status = 599
        error = failure("consul.aio", stub.port, get)
    assert type(error) is consul.Timeout
    found = failure_of(error, Transport.CONSUL)
    assert (found.kind, found.sent, found.idempotent) == (Kind.TIMEOUT, True, True)
