"""SQLAlchemy around asyncpg and psycopg: each driver's failure as SQLAlchemy's own code wraps it."""

from __future__ import annotations

from functools import partial

import asyncpg
import psycopg
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from tests.transports.situation import Situation
from tests.transports.situations import asyncpg as of_asyncpg
from tests.transports.situations import psycopg as of_psycopg

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType

STATEMENT = "UPDATE users SET password = 'hunter2'"


def adapted(driver: BaseException) -> BaseException:
    """asyncpg's exception behind the class that the asyncpg dialect puts in its place."""
    dialect = asyncpg_dialect.PGDialect_asyncpg
    try:
        asyncpg_dialect.AsyncAdapt_asyncpg_connection._handle_exception_no_connection(dialect.import_dbapi(), driver)
    except Exception as error:
        return error
    raise AssertionError("it did not raise")


def wrapped(driver: BaseException, base: type[Exception] | None = None) -> BaseException:
    """The driver's exception in SQLAlchemy's, as SQLAlchemy's own factory makes it."""
    if base is None:
        base = type(driver)
    return exc.DBAPIError.instance(STATEMENT, {"password": "hunter2"}, driver, base)  # type: ignore[call-overload]


def around_asyncpg(make) -> BaseException:
    adapter = adapted(make())
    return wrapped(adapter, asyncpg_dialect.AsyncAdapt_asyncpg_dbapi.Error)


def around_psycopg(make) -> BaseException:
    return wrapped(make(), psycopg.Error)


_WRAPPED = [
    *(
        Situation(
            "sqlalchemy + asyncpg", row.situation, partial(around_asyncpg, row.make), row.kind, row.sent, row.transport
        )
        for row in of_asyncpg.SITUATIONS
        if isinstance(row.make(), asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError)
        and not row.situation.startswith("pool")
    ),
    *(
        Situation(
            "sqlalchemy + psycopg", row.situation, partial(around_psycopg, row.make), row.kind, row.sent, row.transport
        )
        for row in of_psycopg.SITUATIONS
        if isinstance(row.make(), psycopg.Error) and not row.situation.startswith("pool")
    ),
]


def _of_sqlalchemy(situation: str, make, kind: Kind, *, sent: bool) -> Situation:
    return Situation("sqlalchemy", situation, make, kind, sent, EnumInfraTransportType.DATABASE)


SITUATIONS: list[Situation] = [
    *_WRAPPED,
    _of_sqlalchemy(
        "pool exhausted",
        lambda: exc.TimeoutError("QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.10"),
        Kind.TIMEOUT,
        sent=False,
    ),
    _of_sqlalchemy(
        "found lost when taken from the pool", lambda: exc.DisconnectionError("gone"), Kind.CONNECTION, sent=False
    ),
    _of_sqlalchemy(
        "a rollback is due",
        lambda: exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back."),
        Kind.CALLER,
        sent=True,
    ),
    _of_sqlalchemy(
        "misuse of SQLAlchemy", lambda: exc.ResourceClosedError("This Connection is closed"), Kind.CALLER, sent=True
    ),
    _of_sqlalchemy(
        "parameter that cannot be bound",
        lambda: wrapped(exc.InvalidRequestError("A value is required for bind parameter 'password'"), psycopg.Error),
        Kind.CALLER,
        sent=True,
    ),
    _of_sqlalchemy(
        "driver without a classifier, connection lost",
        lambda: exc.OperationalError(STATEMENT, None, Exception("gone"), connection_invalidated=True),
        Kind.CONNECTION,
        sent=True,
    ),
    _of_sqlalchemy(
        "driver without a classifier",
        lambda: exc.OperationalError(STATEMENT, None, Exception("no such table")),
        Kind.CALLER,
        sent=True,
    ),
]
