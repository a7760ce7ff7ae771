"""aiohttp's client against servers that really fail, in front of a network that really breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import aiohttp
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
from tests.transports.situations.aiohttp import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import create_network_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of

pytestmark = pytest.mark.integration

ROWS = {row.situation: row for row in SITUATIONS}


async def request(url: str, seconds: float = 10.0, method: str = "GET", **options: str) -> None:
    timeout = aiohttp.ClientTimeout(sock_connect=seconds, sock_read=seconds)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.request(method, url, **options) as response,
    ):
        await response.read()


def failure(call: Callable[..., Coroutine[object, None, None]], *args: object, **options: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is is what the test is about
        asyncio.run(call(*args, **options))
    return caught.value


@pytest.mark.parametrize("situation", SITUATIONS_OF_ALL)
def test_a_real_failure_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error = failure(request, faults.failing(situation), patience(situation))
    found = check(error, ROWS[situation])
    assert found.idempotent is (True if isinstance(error, aiohttp.ClientResponseError) else None)


@pytest.mark.parametrize("situation", GATEWAY_SITUATIONS)
def test_a_real_failure_of_a_gateway_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error = failure(request, faults.failing_at_the_gateway(situation), patience(situation))
    check(error, ROWS[situation], HINT_OF_THE_GATEWAY)


@pytest.mark.parametrize(("host", "situation"), REFUSING_PROXIES)
def test_a_real_proxy_that_refuses_to_connect(faults: HttpFaults, host: str, situation: str) -> None:
    error, row = failure(request, f"https://{host}/", proxy=faults.gateway.url), ROWS[situation]
    check(error, row)


def test_a_real_proxy_that_is_not_there(faults: HttpFaults) -> None:
    row = ROWS["proxy refused"]
    error = failure(request, "https://other.example/", proxy=faults.failing("connection refused"))
    check(error, row)


def test_a_date_for_a_hint_comes_out_as_seconds(faults: HttpFaults) -> None:
    check_hint_of_a_date(failure(request, f"{faults.url}/status/429?retry_at=30"))


@pytest.mark.parametrize("fault", [Fault.RESET_ANSWER, Fault.CLOSE_ANSWER])
@pytest.mark.parametrize("answer_bytes", [12, 60])
def test_an_answer_cut_on_the_wire_in_headers_or_body_is_a_connection_failure_that_was_sent(
    faults: HttpFaults, fault: Fault, answer_bytes: int
) -> None:
    url = faults.failing("reset before the answer")
    faults.wire.fault, faults.wire.answer_bytes = fault, answer_bytes
    try:
        found = failure_of(failure(request, url))
    finally:
        faults.wire.answer_bytes = 0
    assert (found.kind, found.sent) == (Kind.CONNECTION, True)


def test_a_post_knows_from_an_answer_that_it_is_not_to_be_repeated(faults: HttpFaults) -> None:
    found = failure_of(failure(request, f"{faults.url}/status/500", method="POST"))
    assert (found.kind, found.sent, found.idempotent) == (Kind.UNAVAILABLE, True, False)


def test_a_pool_without_a_free_connection_has_sent_nothing(faults: HttpFaults) -> None:
    async def two_at_once() -> None:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1), timeout=aiohttp.ClientTimeout(connect=0.05)
            ) as session,
            session.get(f"{faults.url}/drip"),
        ):
            await session.get(faults.url)

    error, row = failure(two_at_once), ROWS["no connection free in the pool"]
    check(error, row)


def test_a_frozen_and_a_killed_server() -> None:
    with HttpServer() as server:
        server.pause()
        frozen = failure(request, server.url, IMPATIENT)
        server.resume()

        async def killed_in_mid_body() -> None:
            async with aiohttp.ClientSession() as session, session.get(f"{server.url}/drip") as answer:
                server.kill()
                await answer.read()

        killed = failure(killed_in_mid_body)
        gone = failure(request, server.url)
    check_frozen_killed_and_gone(frozen, killed, gone)


def test_a_dripping_answer_is_bounded_by_the_total_time_out_and_by_max_elapsed(faults: HttpFaults) -> None:
    drip = faults.failing("answer drips beyond the deadline")

    async def bounded() -> None:
        timeout = aiohttp.ClientTimeout(total=2 * IMPATIENT, sock_read=IMPATIENT)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(drip) as answer:
            await answer.read()

    error, row = failure(bounded), ROWS["answer drips beyond the deadline"]
    found = failure_of(error)
    assert type(error) is TimeoutError
    assert (found.kind, found.sent) == (row.kind, row.sent)
    with pytest.raises(InfraTimeoutError):
        asyncio.run(create_network_retry_policy(max_elapsed=2 * IMPATIENT)(request)(drip))


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("PUT", 2), ("POST", 1)])
def test_aiohttp_itself_sends_a_request_twice_when_its_method_allows_it(
    faults: HttpFaults, method: str, sent: int
) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    assert failure_of(failure(request, url, method=method)).client_attempts == sent
    assert faults.wire.accepted - before == sent


def test_attempts_multiply_when_policy_and_client_both_retry(faults: HttpFaults) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    with pytest.raises(InfraConnectionError) as caught:
        asyncio.run(create_network_retry_policy(3, 0, 0)(request)(url))
    assert caught.value.model.context["retry_count"] == 3
    assert failure_of(caught.value.__cause__).client_attempts == 2
    assert faults.wire.accepted - before == 6


def test_retry_and_breaker_carry_real_calls_through_503_and_give_up_on_a_dead_server_without_a_secret(
    faults: HttpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    check_end_to_end(faults, caplog, request, aiohttp.ClientResponseError, asyncio.run)
