"""Kafka's error codes against what the protocol guide says of each."""

from __future__ import annotations

import pytest

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.kafka_codes import failure_of_code

TRANSIENT = (Kind.CONNECTION, Kind.TIMEOUT, Kind.UNAVAILABLE, Kind.THROTTLED)
CODES = range(-1, 134)

RETRIABLE = {
    *(2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89),
    *(100, 103, 106, 122, 123, 133),
}
"""What the guide calls retriable, which is about the same request."""

NOT_MENDED = {2, 84}
"""A message that arrives corrupt again from the same memory; an election that nobody needs."""

MENDED_BY_A_NEW_BEGINNING = {8, 22, 25, 27, 110, 113, 120}
"""Not by the same request: a broker that is down, a group to rejoin, a transaction to run again."""

AUTHENTICATION = {29, 30, 31, 33, 34, 53, 58, 65, 66}

EXECUTED_PERHAPS = {6, 7, 8, 9, 13, 15, 16, 20, 41, 56, 120}


@pytest.mark.parametrize("code", CODES)
def test_what_the_guide_calls_retriable_is_retried_and_nothing_else_but_what_a_new_beginning_mends(code: int) -> None:
    kind = failure_of_code(code, "the table").kind
    assert (kind in TRANSIENT) == (code in (RETRIABLE - NOT_MENDED) | MENDED_BY_A_NEW_BEGINNING)
    assert (kind is Kind.AUTHENTICATION) == (code in AUTHENTICATION)


@pytest.mark.parametrize(("code", "kind"), [(7, Kind.TIMEOUT), (13, Kind.CONNECTION), (89, Kind.THROTTLED)])
def test_some_codes_say_more_than_that_the_broker_cannot_serve_now(code: int, kind: Kind) -> None:
    assert failure_of_code(code, "the table").kind is kind


@pytest.mark.parametrize("code", [code for code in CODES if failure_of_code(code, "").kind is not Kind.CALLER])
def test_a_refusal_was_not_executed_unless_the_broker_had_begun(code: int) -> None:
    assert failure_of_code(code, "the table").sent == (code in EXECUTED_PERHAPS)


def test_an_unknown_code_is_retried_only_when_the_client_would() -> None:
    assert failure_of_code(999, "the table").kind is Kind.CALLER
    failure = failure_of_code(999, "the table", retriable=True)
    assert (failure.kind, failure.sent, failure.code) == (Kind.UNAVAILABLE, True, "999")


def test_a_known_code_is_what_it_is_whatever_the_client_says() -> None:
    assert failure_of_code(29, "the table", retriable=True).kind is Kind.AUTHENTICATION
