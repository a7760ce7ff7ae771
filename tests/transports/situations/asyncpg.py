"""asyncpg: what the server reported as asyncpg builds it from the fields, and what asyncpg says by itself."""

from __future__ import annotations

import socket
from functools import partial

import asyncpg
from asyncpg import connect_utils, exceptions
from tests.transports.situation import Situation
from tests.transports.situations.postgresql import REPORTED, REPORTED_CONNECTING, SECRET

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType


def reported(code: str, message: str, **fields: str) -> asyncpg.PostgresError:
    """What asyncpg raises for the server's error response."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": code, "M": message, **fields}, query=f"SELECT '{SECRET}'")


def lost(code: str = "", message: str = "terminating connection") -> BaseException:
    """What asyncpg raises for a connection that went away in mid-operation, after the server's last word or without."""
    error = exceptions.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    error.__cause__ = reported(code, message, S="FATAL") if code else ConnectionResetError(104, "reset by peer")
    return error


def lost_while_connecting() -> BaseException:
    """The same, out of the frames of asyncpg's `connect`."""

    def fails() -> None:
        raise lost()

    # A function of asyncpg's module that calls what it is given.
    try:
        exec("fails()", vars(connect_utils) | {"fails": fails})
    except asyncpg.PostgresConnectionError as error:
        return error
    raise AssertionError("it did not fail")


_ROWS = (
    *(
        (situation, partial(reported, code, message), kind, False)
        for situation, code, message, kind in (*REPORTED, *REPORTED_CONNECTING)
    ),
    ("refused", lambda: ConnectionRefusedError(111, "Connect call failed"), Kind.CONNECTION, False),
    ("unknown host", lambda: socket.gaierror(-2, "Name or service not known"), Kind.CONNECTION, False),
    ("lost while connecting", lost_while_connecting, Kind.CONNECTION, False),
    (
        "lost while negotiating TLS",
        lambda: ConnectionError("unexpected connection_lost() call"),
        Kind.CONNECTION,
        True,
    ),
    (
        "not a PostgreSQL server",
        lambda: ConnectionError('PostgreSQL server at "10.0.0.5:5432" rejected SSL upgrade'),
        Kind.CONNECTION,
        True,
    ),
    ("server without TLS", lambda: ConnectionError("PostgreSQL server rejected SSL upgrade"), Kind.CONNECTION, True),
    ("connect time-out", TimeoutError, Kind.TIMEOUT, True),
    ("no answer in time", TimeoutError, Kind.TIMEOUT, True),
    (
        "no host in the wanted role",
        lambda: exceptions.TargetServerAttributeNotMatched("None of the hosts match the target attribute requirement"),
        Kind.UNAVAILABLE,
        False,
    ),
    ("lost in mid-query", lost, Kind.CONNECTION, True),
    ("terminated in mid-query", lambda: lost("57P01"), Kind.UNAVAILABLE, True),
    ("transaction time-out", lambda: lost("25P04"), Kind.TIMEOUT, False),
    ("lost while idle", lambda: asyncpg.InterfaceError("connection is closed"), Kind.CONNECTION, False),
    (
        "upset by the server's farewell",
        lambda: exceptions.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        Kind.CONNECTION,
        True,
    ),
    ("pool exhausted", TimeoutError, Kind.TIMEOUT, True),
    ("pool closed", lambda: asyncpg.InterfaceError("pool is closed"), Kind.CALLER, False),
    (
        "misuse of the client",
        lambda: asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        Kind.CALLER,
        False,
    ),
    (
        "argument of the wrong type",
        lambda: exceptions.DataError(f"invalid input for query argument $1: '{SECRET}'"),
        Kind.CALLER,
        False,
    ),
)

SITUATIONS: list[Situation] = [
    Situation("asyncpg", situation, make, kind, sent, EnumInfraTransportType.DATABASE)
    for situation, make, kind, sent in _ROWS
]
