"""httpx against servers that really fail, in front of a network that really breaks."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import httpx
from tests.servers.http_app import HttpServer
from tests.servers.http_faults import GATEWAY_SITUATIONS, IMPATIENT, HttpFaults, patience
from tests.support.fault_proxy import Fault
from tests.transports.situations.httpx import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_network_circuit_breaker, create_network_retry_policy
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


@pytest.fixture(scope="module")
def faults() -> Iterator[HttpFaults]:
    with HttpFaults() as servers:
        yield servers


@both
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
def test_a_real_failure_is_what_the_table_says(faults: HttpFaults, situation: str, call: Get) -> None:
    error, row = failure(call, faults.failing(situation), patience(situation)), ROWS[situation]
    assert type(error) is type(row.make())
    found = failure_of(error, Transport.HTTP)
    assert (found.kind, found.sent) == (row.kind, row.sent)
    assert found.retry_after_seconds == (7.0 if "Retry-After" in situation else None)
    assert found.idempotent is (None if situation == "malformed URL" else True)


@pytest.mark.parametrize(
    "situation",
    GATEWAY_SITUATIONS,
)
def test_a_real_failure_of_a_gateway_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error, row = failure(get, faults.failing_at_the_gateway(situation), patience(situation)), ROWS[situation]
    assert type(error) is type(row.make())
    found = failure_of(error, Transport.HTTP)
    assert (found.kind, found.sent) == (row.kind, row.sent)
    assert found.retry_after_seconds == (5.0 if "Retry-After" in situation else None)


@pytest.mark.parametrize(
    ("host", "situation"),
    [("login.example", "proxy asks for credentials"), ("other.example", "proxy cannot reach the server")],
)
def test_a_real_proxy_that_refuses_to_connect(faults: HttpFaults, host: str, situation: str) -> None:
    with (
        httpx.Client(proxy=faults.gateway.url, timeout=10, verify=TLS) as client,
        pytest.raises(httpx.ProxyError) as caught,
    ):
        client.get(f"https://{host}/")
    found, row = failure_of(caught.value), ROWS[situation]
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_a_date_for_a_hint_comes_out_as_seconds(faults: HttpFaults) -> None:
    error = failure(get, f"{faults.url}/status/503?retry_at=30")
    hint = failure_of(error).retry_after_seconds
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
    found = failure_of(error)
    assert type(error) is type(row.make())
    assert (found.kind, found.sent) == (row.kind, row.sent)


def test_a_frozen_and_a_killed_server(faults: HttpFaults) -> None:
    with HttpServer() as server:
        server.pause()
        frozen = failure_of(failure(get, server.url, IMPATIENT))
        server.resume()
        with httpx.Client(timeout=10, verify=TLS) as client, client.stream("GET", f"{server.url}/drip") as answer:
            server.kill()
            killed = failure_of(failure(answer.read))
        gone = failure_of(failure(get, server.url))
    assert (frozen.kind, frozen.sent) == (Kind.TIMEOUT, True)
    assert (killed.kind, killed.sent) == (Kind.CONNECTION, True)
    assert (gone.kind, gone.sent) == (Kind.CONNECTION, False)


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
    failure(get, url)
    assert faults.wire.accepted - before == 1


def test_retry_and_breaker_carry_real_calls_through_503_and_give_up_on_a_dead_server_without_a_secret(
    faults: HttpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "omnibase_infra")
    breaker = create_network_circuit_breaker(1)
    stacked = breaker(create_network_retry_policy(3, 0, 0)(get_async))
    key = uuid.uuid4().hex

    asyncio.run(stacked(f"{faults.url}/flaky/{key}?fail=2"))
    assert faults.seen(key) == 3

    not_found = failure(lambda url: asyncio.run(stacked(url)), f"{faults.url}/flaky/{key}-404?fail=9&status=404")
    assert isinstance(not_found, httpx.HTTPStatusError)
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
