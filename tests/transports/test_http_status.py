"""HTTP statuses in our words."""

from __future__ import annotations

import pytest
from tests.transports.situations.http_statuses import STATUSES

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.http_status import (
    failure_of_answer,
    failure_of_status,
    is_idempotent,
    kind_of_status,
)


@pytest.mark.parametrize(("status", "headers", "kind", "sent"), STATUSES)
def test_each_status_has_its_kind_and_says_whether_the_request_may_have_taken_effect(
    status: int, headers: dict[str, str], kind: Kind, *, sent: bool
) -> None:
    failure = failure_of_status(status, headers, "rule")
    assert (failure.kind, failure.sent, failure.code) == (kind, sent, str(status))
    assert failure.retry_after_seconds == (7.0 if headers else None)


@pytest.mark.parametrize("status", [520, 521, 522, 524, 529, 598, 599])
def test_an_unknown_server_error_is_what_500_is(status: int) -> None:
    assert kind_of_status(status) is Kind.UNAVAILABLE


@pytest.mark.parametrize("status", [-1, 0, 100, 200, 302, 402, 418, 451, 499, 506, 508, 510, 511, 600, 999])
def test_every_other_status_is_the_caller_s(status: int) -> None:
    assert kind_of_status(status) is Kind.CALLER


def test_a_proxy_that_asks_for_credentials_is_an_authentication_failure() -> None:
    assert failure_of_status(407, None, "rule").kind is Kind.AUTHENTICATION


def test_a_bare_503_may_have_taken_effect_and_one_that_says_when_to_come_back_has_not() -> None:
    assert failure_of_status(503, {}, "rule").sent
    assert not failure_of_status(503, {"retry-after": "0"}, "rule").sent
    assert failure_of_status(500, {"retry-after": "0"}, "rule").sent


def test_the_reset_of_a_rate_limit_counts_only_when_the_limit_is_exceeded() -> None:
    headers = {"X-RateLimit-Reset": "3600"}
    assert failure_of_status(429, headers, "rule").retry_after_seconds == 3600
    assert failure_of_status(500, headers, "rule").retry_after_seconds is None
    assert failure_of_status(503, headers, "rule").sent


def test_a_hint_that_is_a_date_is_measured_by_the_injected_clock() -> None:
    headers = {"Retry-After": "Thu, 01 Jan 1970 00:01:30 GMT"}
    assert failure_of_status(503, headers, "rule", wall_clock=lambda: 60.0).retry_after_seconds == 30.0


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "get", "Put"])
def test_methods_that_may_be_repeated(method: str) -> None:
    assert is_idempotent(method) is True
    assert failure_of_status(500, {}, "rule", method=method).idempotent is True


@pytest.mark.parametrize("method", ["POST", "PATCH", "post"])
def test_methods_that_may_not_be_repeated(method: str) -> None:
    assert is_idempotent(method) is False


@pytest.mark.parametrize("method", [None, "", "CONNECT", "PURGE"])
def test_of_other_methods_nothing_is_known(method: str | None) -> None:
    assert is_idempotent(method) is None


@pytest.mark.parametrize(("status", "headers"), [(None, None), ("503", {}), (object(), object())])
def test_what_a_mock_puts_in_the_place_of_a_status_is_the_caller_s(status: object, headers: object) -> None:
    failure = failure_of_answer(status, headers, "rule")
    assert (failure.kind, failure.code) == (Kind.CALLER, None)


def test_what_a_mock_puts_in_the_place_of_headers_is_left_alone() -> None:
    failure = failure_of_answer(429, object(), "rule")
    assert (failure.kind, failure.retry_after_seconds) == (Kind.THROTTLED, None)
