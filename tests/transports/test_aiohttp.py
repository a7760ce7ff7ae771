"""aiohttp's failures in our words, each a genuine exception of aiohttp."""

from __future__ import annotations

import ssl

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed")

import aiohttp
from aiohttp import http_exceptions, web
from aiohttp.client_exceptions import UnixClientConnectorError
from tests.transports.situation import Situation
from tests.transports.situations.aiohttp import KEY, SITUATIONS, garbage, over, request_info, status_error

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert "S3CR3T" not in f"{failure.decided_by} {failure.code}"


def test_a_garbled_answer_is_no_400_though_aiohttp_says_so() -> None:
    error = garbage()
    assert isinstance(error, aiohttp.ClientResponseError)
    assert error.status == 400
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.CONNECTION, None)
    assert failure_of(status_error(400, {})).kind is Kind.CALLER


def test_an_answer_whose_headers_are_too_long_will_be_so_again() -> None:
    error = over(
        aiohttp.ClientResponseError(request_info(), (), status=400),
        http_exceptions.HttpProcessingError(code=400),
        http_exceptions.LineTooLong(b"S3CR3T", 8190),
    )
    assert failure_of(error).kind is Kind.CALLER


def test_a_connector_error_is_an_os_error_and_one_about_a_certificate_is_a_value_error_too() -> None:
    refused = aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused"))
    unverified = aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "verify failed"))
    assert isinstance(refused, OSError)
    assert isinstance(unverified, ValueError)
    assert not failure_of(refused).sent
    assert failure_of(unverified).kind is Kind.CALLER


def test_a_server_time_out_is_a_builtin_timeout_error_and_a_connection_error_of_aiohttp_s() -> None:
    error = aiohttp.SocketTimeoutError()
    assert isinstance(error, TimeoutError)
    assert isinstance(error, aiohttp.ClientConnectionError)
    assert failure_of(error).kind is Kind.TIMEOUT


def test_a_missing_unix_socket_is_a_server_that_is_not_there() -> None:
    error = UnixClientConnectorError("/run/x.sock", KEY, FileNotFoundError(2, "No such file"))
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)


@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), Kind.CONNECTION, True),
        (aiohttp.ClientConnectionError("Connection closed"), Kind.CONNECTION, True),
        (aiohttp.ServerConnectionError(), Kind.CONNECTION, True),
        (aiohttp.ClientError("as mocks raise it"), Kind.CONNECTION, True),
        (aiohttp.ServerTimeoutError(), Kind.TIMEOUT, True),
        (aiohttp.RedirectClientError(), Kind.CALLER, True),
        (aiohttp.InvalidUrlRedirectClientError("http://x"), Kind.CALLER, False),
        (aiohttp.NonHttpUrlRedirectClientError("foo://x"), Kind.CALLER, False),
        (aiohttp.WSMessageTypeError("text"), Kind.CALLER, True),
        (RuntimeError("Session is closed"), Kind.CALLER, True),
    ],
)
def test_the_other_classes(error: Exception, kind: Kind, *, sent: bool) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (kind, sent)


@pytest.mark.parametrize("error", [web.HTTPServiceUnavailable(), web.HTTPNotFound(), web.HTTPFound("/")])
def test_an_answer_that_a_handler_of_one_s_own_raises_is_no_failure_of_a_dependency(error: Exception) -> None:
    assert failure_of(error).kind is Kind.CALLER


def test_a_page_of_a_gateway_where_json_was_expected_is_what_its_status_is() -> None:
    assert failure_of(aiohttp.ContentTypeError(request_info(), (), status=502)).kind is Kind.UNAVAILABLE


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
def test_the_method_says_whether_the_request_may_be_repeated(method: str, *, idempotent: bool) -> None:
    assert failure_of(status_error(503, {}, method)).idempotent is idempotent


def test_errors_of_the_connection_do_not_know_the_method() -> None:
    assert failure_of(aiohttp.ServerDisconnectedError()).idempotent is None
    assert failure_of(aiohttp.ClientPayloadError()).idempotent is None


def test_a_date_as_a_hint_is_measured_by_the_server_s_clock() -> None:
    headers = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:49:49 GMT"}
    assert failure_of(status_error(429, headers)).retry_after_seconds == 12.0


def test_an_error_without_a_status_as_a_mock_may_raise_it_is_the_caller_s() -> None:
    error = aiohttp.ClientResponseError(None, ())  # type: ignore[arg-type]
    error.status = None  # type: ignore[assignment]
    assert failure_of(error).kind is Kind.CALLER
    assert failure_of(aiohttp.ClientResponseError(None, (), status=503)).kind is Kind.UNAVAILABLE  # type: ignore[arg-type]


def test_a_user_s_subclass_is_what_its_base_is() -> None:
    class OrdersDown(aiohttp.ClientResponseError):
        pass

    class OrdersGone(aiohttp.ServerDisconnectedError):
        pass

    failure = failure_of(OrdersDown(request_info("POST"), (), status=429, headers=None), Transport.HTTP)
    assert (failure.kind, failure.idempotent) == (Kind.THROTTLED, False)
    assert failure.decided_by == "aiohttp: ClientResponseError"
    assert failure_of(OrdersGone()).kind is Kind.CONNECTION
