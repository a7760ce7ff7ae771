"""The failures of requests and urllib3 in our words, each a genuine exception of theirs."""

from __future__ import annotations

import io
import ssl

import pytest

pytest.importorskip("requests", reason="requests is not installed")

from requests import exceptions
from tests.transports.situation import Situation
from tests.transports.situations.requests import (
    CONNECTION,
    POOL,
    SITUATIONS,
    aborted,
    max_retries,
    read_timeout,
    refused,
    request,
    status_error,
    tls,
)
from urllib3 import HTTPResponse
from urllib3 import exceptions as urllib3

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience.transports import failure_of


def invalid_chunk() -> urllib3.InvalidChunkLength:
    answer = HTTPResponse(io.BytesIO(), preload_content=False)
    return urllib3.InvalidChunkLength(answer, b"S3CR3T")


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert "S3CR3T" not in f"{failure.decided_by} {failure.code}"


def test_its_connection_error_and_timeout_are_os_errors_but_not_the_builtins_of_those_names() -> None:
    for cls in (exceptions.ConnectionError, exceptions.Timeout):
        assert issubclass(cls, OSError)
        assert not issubclass(cls, (ConnectionError, TimeoutError))


def test_a_connect_time_out_is_both_a_connection_error_and_a_time_out_and_counts_as_the_latter() -> None:
    error = exceptions.ConnectTimeout()
    assert isinstance(error, exceptions.ConnectionError)
    assert isinstance(error, exceptions.Timeout)
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.TIMEOUT, False)


def test_a_connection_error_over_a_read_time_out_is_a_time_out() -> None:
    assert failure_of(exceptions.ConnectionError(read_timeout())).kind is Kind.TIMEOUT
    assert failure_of(exceptions.ConnectionError(max_retries(read_timeout()))).kind is Kind.TIMEOUT


def test_a_connection_error_says_whether_it_was_sent_only_by_what_is_under_it() -> None:
    assert not failure_of(exceptions.ConnectionError(max_retries(refused()))).sent
    assert failure_of(exceptions.ConnectionError(max_retries(aborted(OSError())))).sent


def test_a_refused_connection_is_a_connect_time_out_of_urllib3_by_inheritance_only() -> None:
    error = refused()
    assert isinstance(error, urllib3.ConnectTimeoutError)
    assert failure_of(error).kind is Kind.CONNECTION


def test_a_response_is_false_when_it_reports_a_failure_and_is_asked_all_the_same() -> None:
    error = status_error(503, {"Retry-After": "7"})
    assert not error.response
    failure = failure_of(error)
    assert (failure.kind, failure.retry_after_seconds) == (Kind.UNAVAILABLE, 7.0)


@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (urllib3.NewConnectionError(CONNECTION, "refused"), Kind.CONNECTION, False),
        (urllib3.ConnectTimeoutError(CONNECTION, "timed out"), Kind.TIMEOUT, False),
        (read_timeout(), Kind.TIMEOUT, True),
        (aborted(ConnectionResetError()), Kind.CONNECTION, True),
        (urllib3.IncompleteRead(5, 95), Kind.CONNECTION, True),
        (invalid_chunk(), Kind.CONNECTION, True),
        (urllib3.ClosedPoolError(POOL, "Pool is closed."), Kind.CONNECTION, False),
        (urllib3.SSLError(ssl.SSLCertVerificationError(1, "no")), Kind.CALLER, True),
        (urllib3.SSLError("a read that failed"), Kind.CONNECTION, True),
        (urllib3.ProxyError("Unable to connect to proxy", refused()), Kind.CONNECTION, False),
        (max_retries(refused()), Kind.CONNECTION, False),
        (urllib3.MaxRetryError(POOL, "/", None), Kind.CONNECTION, True),
        (max_retries(urllib3.ResponseError("too many 504 error responses")), Kind.UNAVAILABLE, True),
        (max_retries(urllib3.ResponseError("too many error responses")), Kind.UNAVAILABLE, True),
        (max_retries(urllib3.ResponseError("too many redirects")), Kind.CALLER, True),
        (urllib3.ResponseNotChunked("no"), Kind.CALLER, True),
        (urllib3.LocationParseError("S3CR3T"), Kind.CALLER, True),
        (urllib3.DecodeError("gzip"), Kind.CALLER, True),
        (urllib3.HTTPError("base of all"), Kind.CALLER, True),
    ],
)
def test_what_urllib3_raises_by_itself_is_classified_the_same_way(error: Exception, kind: Kind, *, sent: bool) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (kind, sent)
    assert "S3CR3T" not in failure.decided_by


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (exceptions.MissingSchema("S3CR3T"), False),
        (exceptions.URLRequired(), False),
        (exceptions.InvalidProxyURL("S3CR3T"), False),
        (exceptions.StreamConsumedError(), True),
        (exceptions.UnrewindableBodyError(), True),
        (exceptions.InvalidJSONError(), True),
        (exceptions.HTTPError("raised without a response"), True),
    ],
)
def test_misuse_of_the_client_is_the_caller_s_though_each_is_an_os_error(error: Exception, *, sent: bool) -> None:
    assert isinstance(error, OSError)
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.CALLER, sent)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.RequestException("boom"), Kind.CONNECTION),
        (exceptions.ConnectionError("boom"), Kind.CONNECTION),
        (exceptions.Timeout("boom"), Kind.TIMEOUT),
        (exceptions.RetryError("boom"), Kind.UNAVAILABLE),
    ],
)
def test_bare_errors_as_mocks_raise_them_are_what_their_names_say_and_were_perhaps_sent(
    error: Exception, kind: Kind
) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (kind, True)


def test_an_alert_of_a_server_that_failed_in_the_handshake_is_not_the_caller_s() -> None:
    alert = ssl.SSLError(1, "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error")
    alert.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    garbled = ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")
    garbled.reason = "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    assert failure_of(tls(alert)).kind is Kind.UNAVAILABLE
    assert failure_of(tls(garbled)).kind is Kind.CONNECTION


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
def test_the_method_says_whether_the_request_may_be_repeated(method: str, *, idempotent: bool) -> None:
    assert failure_of(exceptions.ReadTimeout(request=request(method))).idempotent is idempotent
    assert failure_of(status_error(503, {}, method)).idempotent is idempotent
    refusal = exceptions.ConnectionError(max_retries(refused()), request=request(method))
    assert failure_of(refusal).idempotent is idempotent


@pytest.mark.parametrize(("package", "method", "idempotent"), [
    ("hvac", "PUT", False),
    ("consul", "PUT", None),
    ("hvac", "GET", True),
    ("consul", "DELETE", True),
    ("somebody", "PUT", True),
])  # fmt: skip
def test_a_put_of_a_client_whose_service_creates_by_it_is_not_taken_for_repeatable(
    package: str, method: str, *, idempotent: bool | None
) -> None:
    def fail() -> None:
        raise exceptions.ReadTimeout(request=request(method))

    client: dict[str, object] = {"__name__": f"{package}.adapters", "fail": fail}
    exec("def call():\n    fail()\n", client)  # a frame of the client's
    with pytest.raises(exceptions.ReadTimeout) as caught:
        client["call"]()  # type: ignore[operator]
    assert failure_of(caught.value).idempotent is idempotent


def test_an_answer_that_was_cut_off_does_not_know_its_request() -> None:
    assert failure_of(exceptions.ChunkedEncodingError(aborted(OSError()))).idempotent is None


def test_a_user_s_subclass_is_what_its_base_is() -> None:
    class OrdersDown(exceptions.ConnectTimeout):
        pass

    failure = failure_of(OrdersDown("S3CR3T", request=request("POST")), Transport.HTTP)
    assert (failure.kind, failure.sent, failure.idempotent) == (Kind.TIMEOUT, False, False)
    assert failure.decided_by == "requests: ConnectTimeout"
