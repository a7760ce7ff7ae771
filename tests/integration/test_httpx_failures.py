"""httpx against servers that really fail, in front of a network that really breaks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import httpx
from tests.integration.http_clients import (
    HINT_OF_THE_GATEWAY,
    REFUSING_PROXIES,
    SITUATIONS_OF_ALL,
    check,
    check_end_to_end,
    check_frozen_killed_and_gone,
    check_hint_of_a_date,
)
from tests.servers.http_app import HttpServer
from tests.servers.http_faults import GATEWAY_SITUATIONS, IMPATIENT, HttpFaults, patience
from tests.support.fault_proxy import Fault
from tests.transports.situations.httpx import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.errors import InfraTimeoutError
from omnibase_infra.infrastructure.resilience import create_network_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of

pytestmark = pytest.mark.integration

TLS = ssl.create_default_context()
ROWS = {row.situation: row for row in SITUATIONS}

Get = Callable[..., None]


def get(url: str, seconds: float = 10.0) -> None:
    with httpx.Client(timeout=seconds, verify=TLS, follow_redirects=True) as client:
        client.get(url).raise_for_status()


async def get_async(url: str, seconds: float = 10.0) -> None:
    async with httpx.AsyncClient(timeout=seconds, verify=TLS, follow_redirects=True) as client:
        response = await client.get(url)
        response.raise_for_status()


def failure(call: Get, *args: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is is what the test is about
        call(*args)
    return caught.value


both = pytest.mark.parametrize(
    "call", [get, lambda *args: asyncio.run(get_async(*args))], ids=["blocking client", "asyncio client"]
)


@both
@pytest.mark.parametrize("situation", SITUATIONS_OF_ALL)
def test_a_real_failure_is_what_the_table_says(faults: HttpFaults, situation: str, call: Get) -> None:
    error = failure(call, faults.failing(situation), patience(situation))
    found = check(error, ROWS[situation])
    assert found.idempotent is (None if situation == "malformed URL" else True)


@pytest.mark.parametrize("situation", GATEWAY_SITUATIONS)
def test_a_real_failure_of_a_gateway_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error = failure(get, faults.failing_at_the_gateway(situation), patience(situation))
    check(error, ROWS[situation], HINT_OF_THE_GATEWAY)


@pytest.mark.parametrize(("host", "situation"), REFUSING_PROXIES)
def test_a_real_proxy_that_refuses_to_connect(faults: HttpFaults, host: str, situation: str) -> None:
    with (
        httpx.Client(proxy=faults.gateway.url, timeout=10, verify=TLS) as client,
        pytest.raises(httpx.ProxyError) as caught,
    ):
        client.get(f"https://{host}/")
    found, row = failure_of(caught.value), ROWS[situation]
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_a_date_for_a_hint_comes_out_as_seconds(faults: HttpFaults) -> None:
    check_hint_of_a_date(failure(get, f"{faults.url}/status/503?retry_at=30"))


@pytest.mark.parametrize("fault", [Fault.RESET_ANSWER, Fault.CLOSE_ANSWER])
@pytest.mark.parametrize("answer_bytes", [12, 60])
def test_an_answer_cut_on_the_wire_in_headers_or_body_is_a_connection_failure_that_was_sent(
    faults: HttpFaults, fault: Fault, answer_bytes: int
) -> None:
    url = faults.failing("reset before the answer")
    faults.wire.fault, faults.wire.answer_bytes = fault, answer_bytes
    try:
        found = failure_of(failure(get, url))
    finally:
        faults.wire.answer_bytes = 0
    assert (found.kind, found.sent) == (Kind.CONNECTION, True)


def test_a_post_that_was_reset_before_its_answer_was_perhaps_sent_and_is_not_to_be_repeated(faults: HttpFaults) -> None:
    with httpx.Client(timeout=10, verify=TLS) as client:
        found = failure_of(failure(client.post, faults.failing("reset before the answer")))
    assert (found.kind, found.sent, found.idempotent) == (Kind.CONNECTION, True, False)


def test_a_pool_without_a_free_connection_has_sent_nothing(faults: HttpFaults) -> None:
    limits = httpx.Limits(max_connections=1)
    with (
        httpx.Client(timeout=httpx.Timeout(10, pool=0.05), limits=limits, verify=TLS) as client,
        client.stream("GET", faults.failing("answer drips beyond the deadline")),
    ):
        error, row = failure(client.get, faults.url), ROWS["no connection free in the pool"]
    check(error, row)


def test_a_frozen_and_a_killed_server(faults: HttpFaults) -> None:
    with HttpServer() as server:
        server.pause()
        frozen = failure(get, server.url, IMPATIENT)
        server.resume()
        with httpx.Client(timeout=10, verify=TLS) as client, client.stream("GET", f"{server.url}/drip") as answer:
            server.kill()
            killed = failure(answer.read)
        gone = failure(get, server.url)
    check_frozen_killed_and_gone(frozen, killed, gone)


def test_a_dripping_answer_never_times_out_by_itself_and_is_bounded_by_max_elapsed(faults: HttpFaults) -> None:
    drip = faults.failing("answer drips beyond the deadline")
    policy = create_network_retry_policy(max_elapsed=2 * IMPATIENT)
    with pytest.raises(InfraTimeoutError):
        asyncio.run(policy(get_async)(drip, IMPATIENT))

    async def bounded() -> None:
        async with asyncio.timeout(2 * IMPATIENT):
            await get_async(drip, IMPATIENT)

    found, row = failure_of(failure(lambda: asyncio.run(bounded()))), ROWS["answer drips beyond the deadline"]
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_httpx_sends_each_request_once(faults: HttpFaults) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    assert failure_of(failure(get, url)).client_attempts == 1
    assert faults.wire.accepted - before == 1


def test_a_transport_that_connects_again_by_itself_proves_how_often(faults: HttpFaults) -> None:
    async def get_later() -> None:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=1, verify=TLS)) as client:
            await client.get(url)

    url = faults.failing("connection refused")
    with httpx.Client(transport=httpx.HTTPTransport(retries=1, verify=TLS)) as client:
        assert failure_of(failure(client.get, url)).client_attempts == 2
    assert failure_of(failure(lambda: asyncio.run(get_later()))).client_attempts == 2


def test_retry_and_breaker_carry_real_calls_through_503_and_give_up_on_a_dead_server_without_a_secret(
    faults: HttpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    check_end_to_end(faults, caplog, get_async, httpx.HTTPStatusError, asyncio.run)
