"""psycopg's failures in our words: SQLSTATEs after connecting, classes and libpq's text before."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")
pytest.importorskip("psycopg_pool", reason="psycopg_pool is not installed")

import psycopg
import psycopg_pool
from tests.transports.situation import Situation
from tests.transports.situations.postgresql import SECRET
from tests.transports.situations.psycopg import SITUATIONS, not_connected, refused_connecting, reported

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert failure.retry_after_seconds is None
    assert SECRET not in f"{failure}"
    assert not str(error) or str(error) not in failure.decided_by


def test_the_sqlstate_is_the_code_after_connecting_and_is_lost_before() -> None:
    assert failure_of(reported("40001", "could not serialize access")).code == "40001"
    assert failure_of(refused_connecting("sorry, too many clients already")).code is None


def test_a_wrong_password_and_a_refused_connection_have_one_class_and_no_sqlstate() -> None:
    denied, refused = refused_connecting('password authentication failed for user "svc"'), not_connected("refused")
    assert type(denied) is type(refused) is psycopg.OperationalError
    assert denied.sqlstate is None
    assert (classify(denied), classify(refused)) == (Kind.AUTHENTICATION, Kind.CONNECTION)


def test_a_missing_password_is_known_in_every_language() -> None:
    state = psycopg.errors.FinishedPGconn(needs_password=True)
    error = psycopg.OperationalError("connection failed: fe_sendauth: kein Passwort angegeben", pgconn=state)
    failure = failure_of(error)
    assert (failure.kind, failure.sent) == (Kind.AUTHENTICATION, False)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL:  role "svc" does not exist', Kind.AUTHENTICATION),
        ('FATAL:  database "orders" is not currently accepting connections', Kind.UNAVAILABLE),
        ("session is not read-only", Kind.UNAVAILABLE),
        ("server is in hot standby mode", Kind.UNAVAILABLE),
        ("server is not in hot standby mode", Kind.UNAVAILABLE),
        ("timeout expired", Kind.TIMEOUT),
        ("SSL error: certificate verify failed", Kind.CALLER),
    ],
)
def test_further_words_of_a_refused_connection(text: str, kind: Kind) -> None:
    failure = failure_of(not_connected(text))
    assert (failure.kind, failure.sent) == (kind, False)


def test_what_connecting_says_in_another_language_is_a_connection_failure_that_was_not_sent() -> None:
    failure = failure_of(refused_connecting("das Datenbanksystem startet"))
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)


def test_of_several_hosts_a_refused_login_speaks_for_all() -> None:
    error = psycopg.OperationalError(
        "connection failed: Connection refused\nMultiple connection attempts failed. All failures were:\n"
        '- host: a: connection failed: FATAL:  password authentication failed for user "svc"\n'
        "- host: b: connection failed: Connection refused"
    )
    assert classify(error) is Kind.AUTHENTICATION


def test_the_words_of_a_refused_connection_mean_nothing_after_connecting() -> None:
    assert classify(psycopg.OperationalError("sending query failed: too many clients")) is Kind.CONNECTION


def test_a_time_out_while_connecting_is_no_connection_failure_though_it_is_an_operational_error() -> None:
    error = psycopg.errors.ConnectionTimeout("connection timeout expired")
    assert isinstance(error, psycopg.OperationalError)
    assert classify(error) is Kind.TIMEOUT


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (psycopg_pool.PoolTimeout, Kind.TIMEOUT),
        (psycopg_pool.TooManyRequests, Kind.THROTTLED),
        (psycopg_pool.PoolClosed, Kind.CALLER),
    ],
)
def test_the_pool_s_errors_are_no_connection_failures_though_they_are_operational_errors(
    cls: type[psycopg.OperationalError], kind: Kind
) -> None:
    assert issubclass(cls, psycopg.OperationalError)
    failure = failure_of(cls("the pool 'pool-1'"))
    assert (failure.kind, failure.sent) == (kind, False)


@pytest.mark.parametrize(
    ("code", "sent"),
    [("08006", True), ("08001", False), ("08004", False), ("57P02", True), ("40003", True), ("58000", True)],
)
def test_only_where_the_server_went_away_may_a_failed_statement_stand(code: str, *, sent: bool) -> None:
    assert failure_of(reported(code, "gone")).sent is sent


@pytest.mark.parametrize("code", ["25P03", "57P05"])
def test_a_session_that_the_server_ended_for_idleness_had_no_effect(code: str) -> None:
    failure = failure_of(reported(code, "terminating connection"))
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)


def test_a_code_without_a_class_of_its_own_is_read_from_the_error() -> None:
    error = psycopg.DatabaseError("a code of an extension")
    error.sqlstate = "ZZ999"
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.CALLER, "ZZ999")


@pytest.mark.parametrize(
    "cls",
    [
        psycopg.InterfaceError,
        psycopg.DataError,
        psycopg.IntegrityError,
        psycopg.InternalError,
        psycopg.ProgrammingError,
        psycopg.NotSupportedError,
    ],
)
def test_what_psycopg_alone_complains_about_is_the_caller_s(cls: type[psycopg.Error]) -> None:
    assert classify(cls("the cursor is closed")) is Kind.CALLER


@pytest.mark.parametrize("cls", [psycopg.OperationalError, psycopg.errors.AdminShutdown, psycopg.errors.QueryCanceled])
def test_an_error_raised_without_a_message_as_a_mock_does_is_classified_all_the_same(cls: type[psycopg.Error]) -> None:
    assert classify(cls()) in (Kind.CONNECTION, Kind.UNAVAILABLE, Kind.TIMEOUT)


def test_an_error_that_crossed_a_process_boundary_is_what_it_was() -> None:
    for error in (reported("40P01", "deadlock"), refused_connecting("the database system is starting up")):
        copy = pickle.loads(pickle.dumps(error))
        assert classify(copy) is classify(error)


def test_a_user_s_subclass_is_what_its_base_is() -> None:
    class OrdersDown(psycopg.errors.CannotConnectNow):
        pass

    class OwnTimeout(psycopg_pool.PoolTimeout):
        pass

    assert failure_of(OrdersDown("shard 3")).decided_by == "psycopg.CannotConnectNow: SQLSTATE 57P03"
    assert classify(OwnTimeout("late")) is Kind.TIMEOUT


def test_a_class_that_only_bears_the_name_is_not_taken_for_it() -> None:
    class OperationalError(Exception):
        sqlstate = "53300"

    assert classify(OperationalError()) is Kind.CALLER
