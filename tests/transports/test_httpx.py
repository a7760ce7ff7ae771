"""httpx's failures in our words, each a genuine exception of httpx."""

from __future__ import annotations

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")

import httpcore
import httpx
from tests.transports.situation import Situation
from tests.transports.situations.httpx import SITUATIONS, chained, request, status_error, tls_error, unverified

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert "S3CR3T" not in f"{failure.decided_by} {failure.code}"


def test_none_of_its_classes_is_a_builtin_connection_or_timeout_error_so_that_names_must_decide() -> None:
    for cls in (httpx.ConnectError, httpx.ReadError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.PoolTimeout):
        assert not issubclass(cls, OSError)


def test_the_time_outs_share_a_base_and_differ_in_whether_the_request_was_sent() -> None:
    sent = {cls: failure_of(cls("")).sent for cls in (httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ReadTimeout)}
    assert sent == {httpx.ConnectTimeout: False, httpx.PoolTimeout: False, httpx.ReadTimeout: True}


@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (httpcore.ConnectError(), Kind.CONNECTION, False),
        (httpcore.ConnectTimeout(), Kind.TIMEOUT, False),
        (httpcore.PoolTimeout(), Kind.TIMEOUT, False),
        (httpcore.ReadTimeout(), Kind.TIMEOUT, True),
        (httpcore.WriteTimeout(), Kind.TIMEOUT, True),
        (httpcore.ReadError(), Kind.CONNECTION, True),
        (httpcore.WriteError(), Kind.CONNECTION, True),
        (httpcore.RemoteProtocolError(), Kind.CONNECTION, True),
        (httpcore.LocalProtocolError(), Kind.CALLER, True),
        (httpcore.UnsupportedProtocol(), Kind.CALLER, False),
        (httpcore.ProxyError("407 Proxy Authentication Required"), Kind.AUTHENTICATION, False),
        (httpcore.ProxyError("Proxy Server could not connect: refused."), Kind.CONNECTION, False),
        (httpcore.ConnectionNotAvailable(), Kind.CONNECTION, False),
    ],
)
def test_what_httpcore_raises_by_itself_is_classified_the_same_way(error: Exception, kind: Kind, *, sent: bool) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (kind, sent)


@pytest.mark.parametrize(
    "error",
    [
        httpx.StreamConsumed(),
        httpx.ResponseNotRead(),
        httpx.CookieConflict("two"),
        httpx.HTTPError("base of all"),
        RuntimeError("Cannot send a request, as the client has been closed."),
    ],
)
def test_misuse_of_the_client_is_the_caller_s(error: Exception) -> None:
    assert failure_of(error).kind is Kind.CALLER


def test_a_bare_request_error_as_mocks_raise_it_is_a_connection_failure() -> None:
    for cls in (httpx.RequestError, httpx.TransportError):
        failure = failure_of(cls("boom"))
        assert (failure.kind, failure.sent) == (Kind.CONNECTION, True)


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("DELETE", True), ("POST", False), ("PATCH", False)])
def test_the_method_says_whether_the_request_may_be_repeated(method: str, *, idempotent: bool) -> None:
    assert failure_of(httpx.ReadTimeout("", request=request(method))).idempotent is idempotent
    assert failure_of(status_error(503, {}, method)).idempotent is idempotent


def test_without_a_request_nothing_is_known_about_repeating_it() -> None:
    assert failure_of(httpx.ReadTimeout("")).idempotent is None
    assert failure_of(httpx.InvalidURL("no")).idempotent is None


def test_a_date_as_a_hint_is_measured_by_the_server_s_clock() -> None:
    headers = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:49:49 GMT"}
    assert failure_of(status_error(503, headers)).retry_after_seconds == 12.0


def test_a_redirect_that_was_not_to_be_followed_is_the_caller_s() -> None:
    failure = failure_of(status_error(302, {"Location": "/"}))
    assert (failure.kind, failure.code) == (Kind.CALLER, "302")


def test_a_certificate_error_is_found_behind_the_connect_error_and_only_there() -> None:
    assert failure_of(tls_error(unverified())).kind is Kind.CALLER
    mid_answer = chained(httpx.ReadError(""), httpcore.ReadError(), unverified())
    assert failure_of(mid_answer).kind is Kind.CONNECTION


def test_a_chain_of_causes_that_bites_its_tail_is_no_trap() -> None:
    error = httpx.ConnectError("refused")
    error.__cause__ = other = httpcore.ConnectError()
    other.__cause__ = error
    assert failure_of(error).kind is Kind.CONNECTION


def test_a_status_error_without_a_response_as_a_mock_may_raise_it_is_the_caller_s() -> None:
    error = httpx.HTTPStatusError("boom", request=None, response=None)  # type: ignore[arg-type]
    assert failure_of(error).kind is Kind.CALLER


def test_a_user_s_subclass_is_what_its_base_is() -> None:
    class OrdersTimeout(httpx.ReadTimeout):
        pass

    class OrdersDown(httpx.HTTPStatusError):
        pass

    down = OrdersDown("S3CR3T", request=request("POST"), response=status_error(503, {"Retry-After": "7"}).response)
    failure = failure_of(down, Transport.HTTP)
    assert failure_of(OrdersTimeout("")).kind is Kind.TIMEOUT
    assert (failure.kind, failure.retry_after_seconds, failure.idempotent) == (Kind.UNAVAILABLE, 7.0, False)
    assert failure.decided_by == "httpx: HTTPStatusError"


def test_a_class_that_only_bears_the_name_is_not_taken_for_it() -> None:
    class ReadTimeout(Exception):  # noqa: N818 - httpx's own name
        pass

    assert failure_of(ReadTimeout()).kind is Kind.CALLER
