"""psycopg2: with an SQLSTATE after connecting, with nothing but libpq's text before."""

from __future__ import annotations

from functools import partial

import psycopg2
import psycopg2.errors
import psycopg2.pool
from tests.transports.situation import Situation
from tests.transports.situations.postgresql import LOST, OUT_OF_STEP, REPORTED, REPORTED_CONNECTING, SECRET

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType


def reported(code: str, message: str) -> psycopg2.Error:
    """What psycopg2 raises for the server's error response on a connection that stands."""
    error = psycopg2.errors.lookup(code)(f"{message}\n")
    error.__setstate__({"pgcode": code})  # nothing but C code and pickle may set it
    return error


def not_connected(text: str) -> psycopg2.Error:
    """What psycopg2 raises when libpq could not connect."""
    return psycopg2.OperationalError(f'connection to server at "10.0.0.5", port 5432 failed: {text}\n')


def refused_connecting(message: str) -> psycopg2.Error:
    """The server's own words, of which libpq keeps the text only."""
    return not_connected(f"FATAL:  {message}")


_ROWS = (
    *((situation, partial(reported, code, message), kind, False) for situation, code, message, kind in REPORTED),
    *(
        (situation, partial(refused_connecting, message), kind, False)
        for situation, _, message, kind in REPORTED_CONNECTING
    ),
    ("refused", lambda: not_connected("Connection refused"), Kind.CONNECTION, False),
    (
        "unknown host",
        lambda: psycopg2.OperationalError('could not translate host name "nope" to address: Name not known\n'),
        Kind.CONNECTION,
        False,
    ),
    (
        "lost while connecting",
        lambda: not_connected("server closed the connection unexpectedly"),
        Kind.CONNECTION,
        False,
    ),
    (
        "not a PostgreSQL server",
        lambda: not_connected("received invalid response to SSL negotiation: H"),
        Kind.CONNECTION,
        False,
    ),
    (
        "server without TLS",
        lambda: not_connected("server does not support SSL, but SSL was required"),
        Kind.CALLER,
        False,
    ),
    ("connect time-out", lambda: not_connected("timeout expired"), Kind.TIMEOUT, False),
    ("no password given", lambda: not_connected("fe_sendauth: no password supplied"), Kind.AUTHENTICATION, False),
    ("no host in the wanted role", lambda: not_connected("session is read-only"), Kind.UNAVAILABLE, False),
    ("lost in mid-query", lambda: psycopg2.OperationalError(LOST), Kind.CONNECTION, True),
    ("lost while idle", lambda: psycopg2.OperationalError(LOST), Kind.CONNECTION, True),
    ("answer out of step", lambda: psycopg2.DatabaseError(OUT_OF_STEP), Kind.CONNECTION, True),
    ("terminated by the server", lambda: psycopg2.OperationalError(LOST), Kind.CONNECTION, True),
    (
        "used after it was lost",
        lambda: psycopg2.InterfaceError("connection already closed"),
        Kind.CONNECTION,
        False,
    ),
    ("misuse of the client", lambda: psycopg2.InterfaceError("cursor already closed"), Kind.CALLER, True),
    ("malformed DSN", lambda: psycopg2.ProgrammingError(f'missing "=" after "{SECRET}"\n'), Kind.CALLER, True),
    ("pool exhausted", lambda: psycopg2.pool.PoolError("connection pool exhausted"), Kind.THROTTLED, False),
    ("pool closed", lambda: psycopg2.pool.PoolError("connection pool is closed"), Kind.CALLER, True),
)

SITUATIONS: list[Situation] = [
    Situation("psycopg2", situation, make, kind, sent, EnumInfraTransportType.DATABASE)
    for situation, make, kind, sent in _ROWS
]
