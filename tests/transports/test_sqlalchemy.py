"""SQLAlchemy: a wrapper is what it wraps, and only the pool fails by itself."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("asyncpg", reason="asyncpg is not installed")
pytest.importorskip("psycopg", reason="psycopg is not installed")
pytest.importorskip("psycopg_pool", reason="psycopg_pool is not installed")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install 'sqlalchemy[asyncio]'")

from sqlalchemy import exc
from tests.transports.situation import Situation
from tests.transports.situations import asyncpg as of_asyncpg
from tests.transports.situations import psycopg as of_psycopg
from tests.transports.situations.postgresql import SECRET
from tests.transports.situations.sqlalchemy import (
    SITUATIONS,
    STATEMENT,
    adapted,
    around_asyncpg,
    around_psycopg,
    wrapped,
)

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: f"{row.driver}: {row.situation}")
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    assert type(error).__module__ == "sqlalchemy.exc"
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert SECRET not in f"{failure}"


def test_the_driver_s_code_and_class_come_through_both_wrappers() -> None:
    error = around_asyncpg(lambda: of_asyncpg.reported("40001", "could not serialize access"))
    failure = failure_of(error)
    assert failure.code == "40001"
    assert failure.decided_by == "sqlalchemy.DBAPIError around asyncpg.SerializationError: SQLSTATE 40001"


def test_a_shutdown_hidden_twice_is_found() -> None:
    failure = failure_of(around_asyncpg(lambda: of_asyncpg.lost("57P01")))
    assert (failure.kind, failure.code) == (Kind.UNAVAILABLE, "57P01")


def test_the_dialect_s_stand_in_alone_is_what_it_stands_for() -> None:
    failure = failure_of(adapted(of_asyncpg.reported("53300", "sorry, too many clients already")))
    assert (failure.kind, failure.code) == (Kind.THROTTLED, "53300")


def test_operational_error_tells_nothing() -> None:
    """One class of SQLAlchemy's for a lost connection, a deadlock, a cancelled query and a wrong password."""
    kinds = {
        classify(around_psycopg(make))
        for make in (
            lambda: of_psycopg.reported("57014", "canceling statement due to statement timeout"),
            lambda: of_psycopg.reported("40P01", "deadlock detected"),
            lambda: of_psycopg.refused_connecting('password authentication failed for user "svc"'),
            lambda: of_psycopg.not_connected("Connection refused"),
        )
    }
    assert kinds == {Kind.TIMEOUT, Kind.UNAVAILABLE, Kind.AUTHENTICATION, Kind.CONNECTION}


def test_its_time_out_error_is_not_the_builtin_one() -> None:
    error = exc.TimeoutError("QueuePool limit reached")
    assert not isinstance(error, TimeoutError)
    assert classify(error) is Kind.TIMEOUT


@pytest.mark.parametrize(("inner", "kind"), [(TimeoutError(), Kind.TIMEOUT), (ValueError("hunter2"), Kind.CALLER)])
def test_a_builtin_exception_in_a_wrapper_is_what_it_is(inner: Exception, kind: Kind) -> None:
    assert classify(exc.StatementError("failed", STATEMENT, None, inner)) is kind


def test_a_lost_connection_does_not_make_the_caller_s_error_of_a_known_driver_transient() -> None:
    inner = of_psycopg.reported("42601", "syntax error")
    assert classify(exc.ProgrammingError(STATEMENT, None, inner, connection_invalidated=True)) is Kind.CALLER


def test_an_error_that_crossed_a_process_boundary_is_what_it_was() -> None:
    error = around_psycopg(lambda: of_psycopg.reported("40P01", "deadlock detected"))
    assert classify(pickle.loads(pickle.dumps(error))) is Kind.UNAVAILABLE


def test_a_time_out_that_cost_the_connection_stays_a_time_out() -> None:
    error = exc.DBAPIError(STATEMENT, None, TimeoutError(), connection_invalidated=True)
    assert classify(error) is Kind.TIMEOUT


def test_a_wrapper_without_an_original_is_the_caller_s() -> None:
    assert classify(exc.StatementError("failed", STATEMENT, None, None)) is Kind.CALLER


def test_the_statement_and_its_parameters_do_not_reach_the_translated_error() -> None:
    error = wrapped(of_psycopg.reported("57P01", "terminating connection"), of_psycopg.psycopg.Error)
    assert SECRET in str(error)
    shown = translate(error, transport=Transport.DATABASE, operation="rename")
    assert SECRET not in f"{shown} {shown!r} {shown.model_dump_json()}"


def test_a_user_s_subclass_is_what_its_base_is() -> None:
    class OwnTimeout(exc.TimeoutError):
        pass

    assert failure_of(OwnTimeout("late")).decided_by == "sqlalchemy.TimeoutError: no connection came free in time"
