"""asyncpg's situations: kind, and whether the call may have taken effect."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("asyncpg", reason="asyncpg is not installed")

import asyncpg
from asyncpg import exceptions
from tests.transports.situation import Situation
from tests.transports.situations.asyncpg import SITUATIONS, lost, lost_while_connecting, reported
from tests.transports.situations.postgresql import SECRET

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert failure.retry_after_seconds is None
    assert SECRET not in f"{failure}"
    assert not str(error) or str(error) not in failure.decided_by


def test_a_connection_lost_while_connecting_sent_nothing_though_it_looks_like_one_lost_in_mid_query() -> None:
    early, late = lost_while_connecting(), lost()
    assert (type(early), str(early)) == (type(late), str(late))
    assert (failure_of(early).sent, failure_of(late).sent) == (False, True)


def test_without_its_frames_a_lost_connection_may_have_taken_effect() -> None:
    copy = pickle.loads(pickle.dumps(lost_while_connecting()))
    assert failure_of(copy).sent


def test_the_server_s_last_word_behind_a_lost_connection_decides_whether_it_had_an_effect() -> None:
    assert failure_of(lost("57P01")).sent
    assert not failure_of(lost("25P04")).sent


@pytest.mark.parametrize(
    "text", ["connection is closed", "cannot call PreparedStatement.fetch(): the underlying connection is closed"]
)
def test_a_connection_found_dead_before_use_sent_nothing(text: str) -> None:
    failure = failure_of(asyncpg.InterfaceError(text))
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)


@pytest.mark.parametrize("code", ["53300", "57P03", "28P01", "40001", "40P01", "55P03", "25006", "42601", "57014"])
def test_a_statement_that_was_answered_with_an_error_had_no_effect(code: str) -> None:
    assert not failure_of(reported(code, "no")).sent


def test_a_reported_loss_of_the_connection_may_have_taken_effect() -> None:
    assert failure_of(exceptions.ConnectionFailureError("gone")).sent
