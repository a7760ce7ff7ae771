"""requests against servers that really fail, in front of a network that really breaks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("requests", reason="requests is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import requests
import urllib3
from requests.adapters import HTTPAdapter
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
from tests.support.fault_proxy import Fault, FaultProxy
from tests.transports.situations.requests import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience import create_network_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of

pytestmark = pytest.mark.integration

ROWS = {row.situation: row for row in SITUATIONS}


def get(url: str, seconds: float = 10.0, method: str = "GET", proxy: str | None = None) -> None:
    with requests.Session() as session:
        session.trust_env = False
        proxies = {"https": proxy} if proxy else None
        session.request(method, url, timeout=seconds, proxies=proxies).raise_for_status()


def failure(call: Callable[..., object], *args: object, **options: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is is what the test is about
        call(*args, **options)
    return caught.value


@pytest.mark.parametrize("situation", [*SITUATIONS_OF_ALL, "answer stops in mid-body"])
def test_a_real_failure_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error = failure(get, faults.failing(situation), patience(situation))
    check(error, ROWS[situation])


@pytest.mark.parametrize("situation", GATEWAY_SITUATIONS)
def test_a_real_failure_of_a_gateway_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error = failure(get, faults.failing_at_the_gateway(situation), patience(situation))
    check(error, ROWS[situation], HINT_OF_THE_GATEWAY)


@pytest.mark.parametrize(("host", "situation"), REFUSING_PROXIES)
def test_a_real_proxy_that_refuses_to_connect(faults: HttpFaults, host: str, situation: str) -> None:
    error, row = failure(get, f"https://{host}/", proxy=faults.gateway.url), ROWS[situation]
    check(error, row)


def test_a_real_proxy_that_is_not_there(faults: HttpFaults) -> None:
    error = failure(get, "https://other.example/", proxy=faults.failing("connection refused"))
    check(error, ROWS["proxy refused"])


def test_a_date_for_a_hint_comes_out_as_seconds(faults: HttpFaults) -> None:
    check_hint_of_a_date(failure(get, f"{faults.url}/status/429?retry_at=30"))


@pytest.fixture
def cut_wire(faults: HttpFaults) -> Iterator[FaultProxy]:
    faults.failing("reset before the answer")
    yield faults.wire
    faults.wire.answer_bytes = 0


@pytest.mark.parametrize(
    ("fault", "answer_bytes"),
    [(Fault.RESET_ANSWER, 12), (Fault.RESET_ANSWER, 60), (Fault.RESET_ANSWER, 130), (Fault.CLOSE_ANSWER, 130)],
)
def test_an_answer_cut_on_the_wire_in_headers_or_body_is_a_connection_failure_that_was_sent(
    cut_wire: FaultProxy, fault: Fault, answer_bytes: int
) -> None:
    cut_wire.fault, cut_wire.answer_bytes = fault, answer_bytes
    found = failure_of(failure(get, f"http://127.0.0.1:{cut_wire.port}/cut-chunks"))
    assert (found.kind, found.sent) == (Kind.CONNECTION, True)


def test_requests_takes_an_answer_that_ends_in_its_headers_for_a_whole_one_and_nobody_can_tell(
    cut_wire: FaultProxy,
) -> None:
    cut_wire.fault, cut_wire.answer_bytes = Fault.CLOSE_ANSWER, 16
    get(f"http://127.0.0.1:{cut_wire.port}/status/200")


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("POST", False)])
def test_the_method_of_a_request_that_was_reset_says_whether_to_repeat_it(
    faults: HttpFaults, method: str, *, idempotent: bool
) -> None:
    found = failure_of(failure(get, faults.failing("reset before the answer"), method=method))
    assert (found.kind, found.sent, found.idempotent) == (Kind.CONNECTION, True, idempotent)


def test_a_pool_of_urllib3_without_a_free_connection_has_sent_nothing(faults: HttpFaults) -> None:
    with urllib3.HTTPConnectionPool("127.0.0.1", faults.server.port, maxsize=1, block=True, retries=False) as pool:
        held = pool.request("GET", "/stop", preload_content=False)
        error, row = failure(pool.request, "GET", "/", pool_timeout=0.05), ROWS["no connection free in the pool"]
        held.close()
    check(error, row)


def test_a_frozen_and_a_killed_server() -> None:
    with HttpServer() as server, requests.Session() as session:
        server.pause()
        frozen = failure(get, server.url, IMPATIENT)
        server.resume()
        with session.get(f"{server.url}/drip", stream=True, timeout=10) as answer:
            server.kill()
            killed = failure(lambda: answer.content)
        gone = failure(get, server.url)
    check_frozen_killed_and_gone(frozen, killed, gone)


def _own_retries(retries: urllib3.Retry) -> requests.Session:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retries))
    return session


@pytest.mark.parametrize("status", [503, 429])
def test_attempts_multiply_when_policy_and_adapter_both_retry_and_the_status_is_found_all_the_same(
    faults: HttpFaults, status: int
) -> None:
    row = ROWS[f"{status} after retries of its own"]
    key = uuid.uuid4().hex
    url = f"{faults.url}/flaky/{key}?fail=99&status={status}"
    with _own_retries(urllib3.Retry(2, status_forcelist=[status], backoff_factor=0)) as session:
        error = failure(create_network_retry_policy(3, 0, 0)(session.get), url, timeout=10)
    found = failure_of(error.__cause__)
    assert type(error.__cause__) is type(row.make())
    assert (found.kind, found.sent, found.code) == (row.kind, row.sent, str(status))
    assert found.client_attempts == 3
    assert faults.seen(key) == 9


def test_the_adapter_s_own_retries_of_a_lost_connection_end_as_a_connection_failure(faults: HttpFaults) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    with _own_retries(urllib3.Retry(2, backoff_factor=0)) as session:
        found = failure_of(failure(session.get, url, timeout=10))
    assert (found.kind, found.sent, found.client_attempts) == (Kind.CONNECTION, True, 3)
    assert faults.wire.accepted - before == 3


def test_requests_sends_once_and_urllib3_four_times_unless_told_otherwise(faults: HttpFaults) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    assert failure_of(failure(get, url)).client_attempts == 1
    assert faults.wire.accepted - before == 1
    with urllib3.PoolManager() as pool:
        found = failure_of(failure(pool.request, "GET", url))
    assert (found.kind, found.sent, found.client_attempts) == (Kind.CONNECTION, True, 4)
    assert faults.wire.accepted - before == 5


def test_retry_and_breaker_carry_real_calls_through_503_and_give_up_on_a_dead_server_without_a_secret(
    faults: HttpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    check_end_to_end(faults, caplog, get, requests.HTTPError)
