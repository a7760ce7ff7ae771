"""The failures of urllib and http.client in our words, each an exception of their own."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.request
from urllib.error import HTTPError, URLError

import pytest
from tests.transports.situation import Situation
from tests.transports.situations.urllib import SITUATIONS, status_error, tls

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert "S3CR3T" not in f"{failure.decided_by} {failure.code}"


def test_a_404_is_an_os_error_and_the_caller_s_all_the_same() -> None:
    error = status_error(404, {})
    assert isinstance(error, OSError)
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.CALLER, "404")


def test_the_server_s_hint_is_read_from_headers_that_are_no_mapping() -> None:
    assert failure_of(status_error(503, {"retry-after": "7"})).retry_after_seconds == 7.0


def test_an_http_error_that_was_never_constructed_is_the_caller_s() -> None:
    error = HTTPError.__new__(HTTPError)
    assert failure_of(error).kind is Kind.CALLER
    assert failure_of(HTTPError("http://x", 503, "no", None, None)).kind is Kind.UNAVAILABLE  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
def test_the_method_is_known_from_urllib_s_own_frames(method: str, *, idempotent: bool) -> None:
    request = urllib.request.Request("http://127.0.0.1:1/", method=method)
    with pytest.raises(URLError) as caught:
        urllib.request.urlopen(request, timeout=5)
    failure = failure_of(caught.value)
    assert (failure.kind, failure.sent, failure.idempotent) == (Kind.CONNECTION, False, idempotent)


def test_a_remote_end_that_closed_is_a_reset_and_an_http_exception_and_counts_as_the_former() -> None:
    error = http.client.RemoteDisconnected("closed")
    assert isinstance(error, ConnectionResetError)
    failure = failure_of(error)
    assert (failure.kind, failure.decided_by) == (Kind.CONNECTION, "http.client: RemoteDisconnected")


def test_other_modules_of_the_same_package_are_left_to_the_builtin_rules() -> None:
    from http.cookiejar import LoadError

    assert failure_of(LoadError("no")).decided_by.startswith("builtin")


@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (tls("CERTIFICATE_VERIFY_FAILED"), Kind.CALLER, True),
        (tls("WRONG_VERSION_NUMBER"), Kind.CALLER, True),
        (tls("TLSV1_ALERT_INTERNAL_ERROR"), Kind.UNAVAILABLE, True),
        (tls("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), Kind.CONNECTION, True),
        (ssl.SSLEOFError(8, "EOF"), Kind.CONNECTION, True),
        (ssl.SSLZeroReturnError(6, "closed"), Kind.CONNECTION, True),
        (ssl.SSLCertVerificationError(1, "no"), Kind.CALLER, False),
        (ssl.SSLError("The read operation failed"), Kind.CONNECTION, True),
    ],
)
def test_a_bare_error_of_ssl_is_what_openssl_says(error: ssl.SSLError, kind: Kind, *, sent: bool) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (kind, sent)


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
def test_a_name_that_is_not_known_today_may_be_known_soon(code: int) -> None:
    failure = failure_of(socket.gaierror(code, "no"))
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)


@pytest.mark.parametrize("code", [socket.EAI_SERVICE, socket.EAI_FAMILY, socket.EAI_SOCKTYPE, socket.EAI_BADFLAGS])
def test_a_question_that_no_resolver_answers_is_the_caller_s(code: int) -> None:
    failure = failure_of(socket.gaierror(code, "no"))
    assert (failure.kind, failure.sent) == (Kind.CALLER, False)


def test_a_service_that_does_not_exist_is_really_reported_so() -> None:
    with pytest.raises(socket.gaierror) as caught:
        socket.getaddrinfo("127.0.0.1", "no-such-service")
    assert failure_of(caught.value).kind is Kind.CALLER
