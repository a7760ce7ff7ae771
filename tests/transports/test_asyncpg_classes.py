"""asyncpg's failures in our words, each built as asyncpg builds it from the server's own fields."""

from __future__ import annotations

import pytest

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.transports import failure_of

asyncpg = pytest.importorskip("asyncpg")
exceptions = asyncpg.exceptions


def reported(code: str, message: str, **fields: str) -> Exception:
    """The exception asyncpg raises for a server's error response."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": code, "M": message, **fields}, query="SELECT 'hunter2'")


def lost(
    message: str = "connection was closed in the middle of operation", cause: Exception | None = None
) -> Exception:
    error = exceptions.ConnectionDoesNotExistError(message)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("code", "message", "cls", "kind"),
    [
        ("28P01", 'password authentication failed for user "svc"', "InvalidPasswordError", Kind.AUTHENTICATION),
        ("28000", "no pg_hba.conf entry", "InvalidAuthorizationSpecificationError", Kind.AUTHENTICATION),
        ("42501", "permission denied for table t", "InsufficientPrivilegeError", Kind.AUTHENTICATION),
        ("3D000", 'database "nope" does not exist', "InvalidCatalogNameError", Kind.CALLER),
        ("53300", "too many connections for role", "TooManyConnectionsError", Kind.THROTTLED),
        ("53100", "could not extend file", "DiskFullError", Kind.UNAVAILABLE),
        ("53200", "out of memory", "OutOfMemoryError", Kind.UNAVAILABLE),
        ("53400", "temporary file size exceeds temp_file_limit", "ConfigurationLimitExceededError", Kind.CALLER),
        ("57014", "canceling statement due to statement timeout", "QueryCanceledError", Kind.TIMEOUT),
        ("57014", "canceling statement due to user request", "QueryCanceledError", Kind.CALLER),
        ("55P03", "canceling statement due to lock timeout", "LockNotAvailableError", Kind.TIMEOUT),
        ("55P03", 'could not obtain lock on row in relation "t"', "LockNotAvailableError", Kind.UNAVAILABLE),
        ("40001", "could not serialize access", "SerializationError", Kind.UNAVAILABLE),
        ("40P01", "deadlock detected", "DeadlockDetectedError", Kind.UNAVAILABLE),
        ("25006", "cannot execute INSERT in a read-only transaction", "ReadOnlySQLTransactionError", Kind.UNAVAILABLE),
        ("25P03", "idle-in-transaction timeout", "IdleInTransactionSessionTimeoutError", Kind.CONNECTION),
        ("25P04", "transaction timeout", "TransactionTimeoutError", Kind.TIMEOUT),
        ("57P01", "terminating connection", "AdminShutdownError", Kind.UNAVAILABLE),
        ("57P02", "terminating connection because of crash", "CrashShutdownError", Kind.UNAVAILABLE),
        ("57P03", "the database system is starting up", "CannotConnectNowError", Kind.UNAVAILABLE),
        ("57P03", "the database system is shutting down", "CannotConnectNowError", Kind.UNAVAILABLE),
        ("57P05", "idle-session timeout", "IdleSessionTimeoutError", Kind.CONNECTION),
        ("58030", "could not read block", "PostgresIOError", Kind.UNAVAILABLE),
        ("08000", "connection exception", "PostgresConnectionError", Kind.CONNECTION),
        ("08003", "connection does not exist", "ConnectionDoesNotExistError", Kind.CONNECTION),
        ("08006", "connection failure", "ConnectionFailureError", Kind.CONNECTION),
        ("23505", "duplicate key value", "UniqueViolationError", Kind.CALLER),
        ("23503", "violates foreign key constraint", "ForeignKeyViolationError", Kind.CALLER),
        ("42601", 'syntax error at or near "t"', "PostgresSyntaxError", Kind.CALLER),
        ("42P01", 'relation "nope" does not exist', "UndefinedTableError", Kind.CALLER),
        ("22012", "division by zero", "DivisionByZeroError", Kind.CALLER),
        ("22P02", "invalid input syntax for type integer", "InvalidTextRepresentationError", Kind.CALLER),
        ("25P02", "current transaction is aborted", "InFailedSQLTransactionError", Kind.CALLER),
        ("XX000", "internal error", "InternalServerError", Kind.CALLER),
        ("ZZ999", "a code of an extension", "UnknownPostgresError", Kind.CALLER),
    ],
)
def test_what_the_server_reported_is_classified_by_its_sqlstate(code: str, message: str, cls: str, kind: Kind) -> None:
    error = reported(code, message)
    assert type(error).__name__ == cls
    failure = failure_of(error, Transport.DATABASE)
    assert failure.kind is kind
    assert failure.code == code
    assert code in failure.decided_by
    assert message not in failure.decided_by


def test_a_stale_cached_plan_is_the_caller_s() -> None:
    error = reported("0A000", "cached plan must not change result type", R="RevalidateCachedQuery")
    assert type(error) is exceptions.InvalidCachedStatementError
    assert classify(error) is Kind.CALLER


def test_a_connection_lost_in_mid_query_is_a_connection_failure() -> None:
    assert classify(lost()) is Kind.CONNECTION
    failure = failure_of(lost(cause=ConnectionResetError(104, "reset")))
    assert (failure.kind, failure.code) == (Kind.CONNECTION, "08003")


def test_a_shutdown_hidden_behind_a_lost_connection_is_found() -> None:
    shutdown = reported("57P01", "terminating connection due to administrator command", S="FATAL")
    error = lost("connection was closed in the middle of operation: terminating connection", shutdown)
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.UNAVAILABLE, "57P01")


@pytest.mark.parametrize(
    "text",
    [
        "connection is closed",
        "cannot perform operation: connection is closed",
        "cannot call PreparedStatement.fetch(): the underlying connection is closed",
    ],
)
def test_using_a_dead_connection_is_a_connection_failure(text: str) -> None:
    assert classify(asyncpg.InterfaceError(text)) is Kind.CONNECTION


@pytest.mark.parametrize(
    "text",
    [
        "pool is closed",
        "pool is closing",
        "cannot perform operation: another operation is in progress",
        "cannot call Connection.fetch(): connection has been released back to the pool",
        "cannot call PreparedStatement.fetch(): the prepared statement is closed",
    ],
)
def test_misuse_of_the_client_is_the_caller_s_though_it_has_the_same_class(text: str) -> None:
    assert classify(asyncpg.InterfaceError(text)) is Kind.CALLER


def test_a_hint_of_asyncpg_does_not_hide_a_dead_connection() -> None:
    error = asyncpg.InterfaceError("connection is closed", hint="connect again", detail="it was idle")
    assert not str(error).endswith("connection is closed")
    assert classify(error) is Kind.CONNECTION


def test_no_host_in_the_wanted_role_is_unavailable() -> None:
    assert classify(exceptions.TargetServerAttributeNotMatched("none of the hosts match")) is Kind.UNAVAILABLE


@pytest.mark.parametrize(
    "error",
    [
        exceptions.DataError("invalid input for query argument $1: 'hunter2'"),
        exceptions.ClientConfigurationError("could not parse the DSN"),
        exceptions.UnsupportedClientFeatureError("no such feature"),
        exceptions.InternalClientError("unexpected state"),
        exceptions.OutdatedSchemaCacheError("composite type changed"),
    ],
)
def test_other_errors_of_the_client_are_the_caller_s(error: Exception) -> None:
    failure = failure_of(error)
    assert failure.kind is Kind.CALLER
    assert "hunter2" not in failure.decided_by


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionRefusedError(111, "Connect call failed")])
def test_what_asyncpg_lets_through_is_classified_by_the_builtin_rule(error: Exception) -> None:
    assert classify(error, Transport.DATABASE) in (Kind.TIMEOUT, Kind.CONNECTION)


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (exceptions.TooManyConnectionsError, Kind.THROTTLED),
        (exceptions.QueryCanceledError, Kind.TIMEOUT),
        (exceptions.LockNotAvailableError, Kind.UNAVAILABLE),
        (exceptions.ConnectionDoesNotExistError, Kind.CONNECTION),
        (exceptions.CannotConnectNowError, Kind.UNAVAILABLE),
    ],
)
def test_an_error_raised_without_a_message_as_a_mock_does_is_classified_all_the_same(
    cls: type[asyncpg.PostgresError], kind: Kind
) -> None:
    assert classify(cls()) is kind


def test_a_user_s_subclass_of_a_driver_error_is_what_the_driver_error_is() -> None:
    class OrdersDown(exceptions.CannotConnectNowError):  # type: ignore[misc]
        def __init__(self, shard: int) -> None:
            super().__init__(f"shard {shard}")

    class OwnLost(exceptions.ConnectionDoesNotExistError):  # type: ignore[misc]
        pass

    class OwnClosed(asyncpg.InterfaceError):
        pass

    error = OwnLost("gone")
    error.__cause__ = reported("57P01", "shutdown")
    assert classify(OrdersDown(3)) is Kind.UNAVAILABLE
    assert classify(error) is Kind.UNAVAILABLE
    assert classify(OwnClosed("connection is closed")) is Kind.CONNECTION
    assert failure_of(OrdersDown(3)).decided_by == "asyncpg.CannotConnectNowError: SQLSTATE 57P03"


def test_a_class_that_only_looks_like_asyncpg_s_is_not_taken_for_it() -> None:
    class TooManyConnectionsError(Exception):
        sqlstate = "53300"

    assert classify(TooManyConnectionsError()) is Kind.CALLER


def test_a_group_of_driver_errors_is_classified_too() -> None:
    group = ExceptionGroup("several", [lost(), reported("57P03", "starting up")])
    assert classify(group) is Kind.CONNECTION
    assert classify(ExceptionGroup("several", [lost(), reported("42601", "syntax")])) is Kind.CALLER


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cannot switch to state 12; another operation (2) is in progress", Kind.CONNECTION),
        ("not connected", Kind.CONNECTION),
        ("unexpected number of arguments", Kind.CALLER),
    ],
)
def test_asyncpg_upset_by_the_server_s_farewell_is_a_connection_failure(text: str, kind: Kind) -> None:
    assert classify(exceptions.InternalClientError(text)) is kind
