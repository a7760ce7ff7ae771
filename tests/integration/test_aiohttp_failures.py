"""aiohttp's client against servers that really fail, in front of a network that really breaks."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import aiohttp
from tests.servers.http_app import HttpServer
from tests.servers.http_faults import GATEWAY_SITUATIONS, IMPATIENT, HttpFaults, patience
from tests.support.fault_proxy import Fault
from tests.transports.situations.aiohttp import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_network_circuit_breaker, create_network_retry_policy
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


@pytest.fixture(scope="module")
def faults() -> Iterator[HttpFaults]:
    with HttpFaults() as servers:
        yield servers


@pytest.mark.parametrize(
    "situation",
    [
        "connection refused",
        "host name unknown",
        "connect time-out",
        "reset before the answer",
        "closed before the answer",
        "answer cut off",
        "nonsense for an answer",
        "no answer in time",
        "certificate does not verify",
        "TLS to a plain port",
        "body cannot be decoded",
        "redirect loop",
        "malformed URL",
        "unknown scheme",
        *(f"HTTP {status}" for status in (400, 401, 403, 404, 408, 409, 413, 421, 425)),
        *(f"HTTP {status}" for status in (429, 500, 501, 502, 503, 504, 505, 507)),
        "HTTP 429 with Retry-After",
        "HTTP 503 with Retry-After",
    ],
)
def test_a_real_failure_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error, row = failure(request, faults.failing(situation), patience(situation)), ROWS[situation]
    assert type(error) is type(row.make())
    found = failure_of(error, Transport.HTTP)
    assert (found.kind, found.sent) == (row.kind, row.sent)
    assert found.retry_after_seconds == (7.0 if "Retry-After" in situation else None)
    assert found.idempotent is (True if isinstance(error, aiohttp.ClientResponseError) else None)


@pytest.mark.parametrize("situation", GATEWAY_SITUATIONS)
def test_a_real_failure_of_a_gateway_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error, row = failure(request, faults.failing_at_the_gateway(situation), patience(situation)), ROWS[situation]
    assert type(error) is type(row.make())
    found = failure_of(error, Transport.HTTP)
    assert (found.kind, found.sent) == (row.kind, row.sent)
    assert found.retry_after_seconds == (5.0 if "Retry-After" in situation else None)


@pytest.mark.parametrize(
    ("host", "situation"),
    [("login.example", "proxy asks for credentials"), ("other.example", "proxy cannot reach the server")],
)
def test_a_real_proxy_that_refuses_to_connect(faults: HttpFaults, host: str, situation: str) -> None:
    error, row = failure(request, f"https://{host}/", proxy=faults.gateway.url), ROWS[situation]
    found = failure_of(error)
    assert type(error) is type(row.make())
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_a_real_proxy_that_is_not_there(faults: HttpFaults) -> None:
    row = ROWS["proxy refused"]
    error = failure(request, "https://other.example/", proxy=faults.failing("connection refused"))
    found = failure_of(error)
    assert type(error) is type(row.make())
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_a_date_for_a_hint_comes_out_as_seconds(faults: HttpFaults) -> None:
    hint = failure_of(failure(request, f"{faults.url}/status/429?retry_at=30")).retry_after_seconds
    assert hint is not None
    assert 28.0 <= hint <= 31.0


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
    found = failure_of(error)
    assert type(error) is type(row.make())
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_a_frozen_and_a_killed_server() -> None:
    with HttpServer() as server:
        server.pause()
        frozen = failure_of(failure(request, server.url, IMPATIENT))
        server.resume()

        async def killed_in_mid_body() -> None:
            async with aiohttp.ClientSession() as session, session.get(f"{server.url}/drip") as answer:
                server.kill()
                await answer.read()

        killed = failure_of(failure(killed_in_mid_body))
        gone = failure_of(failure(request, server.url))
    assert (frozen.kind, frozen.sent) == (Kind.TIMEOUT, True)
    assert (killed.kind, killed.sent) == (Kind.CONNECTION, True)
    assert (gone.kind, gone.sent) == (Kind.CONNECTION, False)


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
    failure(request, url, method=method)
    assert faults.wire.accepted - before == sent


def test_attempts_multiply_when_policy_and_client_both_retry(faults: HttpFaults) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    with pytest.raises(InfraConnectionError) as caught:
        asyncio.run(create_network_retry_policy(3, 0, 0)(request)(url))
    assert caught.value.model.context["retry_count"] == 3
    assert faults.wire.accepted - before == 6


def test_retry_and_breaker_carry_real_calls_through_503_and_give_up_on_a_dead_server_without_a_secret(
    faults: HttpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "omnibase_infra")
    breaker = create_network_circuit_breaker(1)
    stacked = breaker(create_network_retry_policy(3, 0, 0)(request))
    key = uuid.uuid4().hex

    asyncio.run(stacked(f"{faults.url}/flaky/{key}?fail=2"))
    assert faults.seen(key) == 3

    not_found = failure(stacked, f"{faults.url}/flaky/{key}-404?fail=9&status=404")
    assert isinstance(not_found, aiohttp.ClientResponseError)
    assert faults.seen(f"{key}-404") == 1

    dead = faults.failing("connection refused").replace("http://", "http://alice:S3CR3T@")
    with pytest.raises(InfraConnectionError) as caught:
        asyncio.run(stacked(f"{dead}orders?api_key=S3CR3T"))
    error = caught.value
    assert (error.model.context["retry_count"], error.error_code.name) == (3, "NETWORK_ERROR")
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as rejected:
        asyncio.run(stacked(f"{dead}orders?api_key=S3CR3T"))

    ours = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records if "omnibase" in record.name)
    assert ours
    for text in (str(error), repr(error), error.model_dump_json(), str(rejected.value), ours):
        assert "S3CR3T" not in text
        assert "alice" not in text
