"""urllib against servers that really fail, in front of a network that really breaks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

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
from tests.transports.situations.urllib import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports import failure_of

pytestmark = pytest.mark.integration

ROWS = {row.situation: row for row in SITUATIONS}


def opener(proxy: str | None = None) -> OpenerDirector:
    return build_opener(HTTPHandler, HTTPSHandler, ProxyHandler({"https": proxy} if proxy else {}))


def get(url: str, seconds: float = 10.0, method: str = "GET", proxy: str | None = None) -> None:
    with opener(proxy).open(Request(url, method=method), timeout=seconds) as answer:
        answer.read()


def failure(call: Callable[..., object], *args: object, **options: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is is what the test is about
        call(*args, **options)
    if isinstance(caught.value, HTTPError):
        caught.value.close()
    return caught.value


@pytest.mark.parametrize(
    "situation", [situation for situation in SITUATIONS_OF_ALL if situation != "body cannot be decoded"]
)
def test_a_real_failure_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    check(failure(get, faults.failing(situation), patience(situation)), ROWS[situation])


@pytest.mark.parametrize("situation", GATEWAY_SITUATIONS)
def test_a_real_failure_of_a_gateway_is_what_the_table_says(faults: HttpFaults, situation: str) -> None:
    error = failure(get, faults.failing_at_the_gateway(situation), patience(situation))
    check(error, ROWS[situation], HINT_OF_THE_GATEWAY)


@pytest.mark.parametrize(("host", "situation"), REFUSING_PROXIES)
def test_a_real_proxy_that_refuses_to_connect(faults: HttpFaults, host: str, situation: str) -> None:
    check(failure(get, f"https://{host}/", proxy=faults.gateway.url), ROWS[situation])


def test_a_date_for_a_hint_comes_out_as_seconds(faults: HttpFaults) -> None:
    check_hint_of_a_date(failure(get, f"{faults.url}/status/429?retry_at=30"))


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("POST", False)])
def test_the_method_of_a_request_that_was_answered_says_whether_to_repeat_it(
    faults: HttpFaults, method: str, *, idempotent: bool
) -> None:
    found = failure_of(failure(get, f"{faults.url}/status/500", method=method))
    assert (found.kind, found.sent, found.idempotent) == (Kind.UNAVAILABLE, True, idempotent)


def test_an_answer_reset_on_the_wire_is_a_connection_failure_that_was_sent(faults: HttpFaults) -> None:
    url = faults.failing("reset before the answer")
    faults.wire.fault, faults.wire.answer_bytes = Fault.RESET_ANSWER, 60
    try:
        found = failure_of(failure(get, url))
    finally:
        faults.wire.answer_bytes = 0
    assert (found.kind, found.sent) == (Kind.CONNECTION, True)


def test_a_frozen_and_a_killed_server() -> None:
    with HttpServer() as server:
        server.pause()
        frozen = failure(get, server.url, IMPATIENT)
        server.resume()
        with contextlib.closing(opener().open(f"{server.url}/drip", timeout=10)) as answer:
            server.kill()
            killed = failure(answer.read)
        check_frozen_killed_and_gone(frozen, killed, failure(get, server.url))


def test_urllib_sends_each_request_once(faults: HttpFaults) -> None:
    url = faults.failing("closed before the answer")
    before = faults.wire.accepted
    failure(get, url)
    assert faults.wire.accepted - before == 1


def test_retry_and_breaker_carry_real_calls_through_503_and_give_up_on_a_dead_server_without_a_secret(
    faults: HttpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    def get_and_close(url: str) -> None:
        try:
            get(url.replace("alice:S3CR3T@", ""))
        except HTTPError as error:
            error.close()
            raise

    check_end_to_end(faults, caplog, get_and_close, HTTPError)
