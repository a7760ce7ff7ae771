"""psycopg 3 and its pool: with an SQLSTATE after connecting, with nothing but libpq's text before."""

from __future__ import annotations

from functools import partial

import psycopg
import psycopg_pool
from tests.transports.situation import Situation
from tests.transports.situations.postgresql import LOST, OUT_OF_STEP, REPORTED, REPORTED_CONNECTING, SECRET

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType

_LOST = f"consuming input failed: {LOST}"


def reported(code: str, message: str) -> psycopg.Error:
    """What psycopg raises for the server's error response on a connection that stands."""
    return psycopg.errors.lookup(code)(message)


def not_connected(text: str) -> psycopg.Error:
    """What psycopg raises when libpq could not connect; the exception holds the password, as in real life."""
    return psycopg.OperationalError(
        f'connection failed: connection to server at "10.0.0.5", port 5432 failed: {text}',
        pgconn=psycopg.errors.FinishedPGconn(password=SECRET.encode()),  # type: ignore[arg-type]
    )


def refused_connecting(message: str) -> psycopg.Error:
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
        lambda: psycopg.OperationalError("failed to resolve host 'nope': [Errno -2] Name or service not known"),
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
    ("connect time-out", lambda: psycopg.errors.ConnectionTimeout("connection timeout expired"), Kind.TIMEOUT, False),
    ("no password given", lambda: not_connected("fe_sendauth: no password supplied"), Kind.AUTHENTICATION, False),
    ("no host in the wanted role", lambda: not_connected("session is read-only"), Kind.UNAVAILABLE, False),
    ("no answer in time", TimeoutError, Kind.TIMEOUT, True),
    ("lost in mid-query", lambda: psycopg.OperationalError(_LOST), Kind.CONNECTION, True),
    ("answer out of step", lambda: psycopg.DatabaseError(OUT_OF_STEP), Kind.CONNECTION, True),
    ("terminated in mid-query", lambda: reported("57P01", "terminating connection"), Kind.UNAVAILABLE, True),
    ("terminated while idle", lambda: reported("57P01", "terminating connection"), Kind.UNAVAILABLE, True),
    ("idle in transaction for too long", lambda: reported("25P03", "terminating connection"), Kind.CONNECTION, False),
    ("session idle for too long", lambda: reported("57P05", "terminating connection"), Kind.CONNECTION, False),
    ("transaction time-out", lambda: reported("25P04", "terminating connection"), Kind.TIMEOUT, False),
    ("lost while idle", lambda: psycopg.OperationalError(_LOST), Kind.CONNECTION, True),
    (
        "used after it was lost",
        lambda: psycopg.OperationalError("the connection is closed"),
        Kind.CONNECTION,
        False,
    ),
    ("pipeline aborted", lambda: psycopg.errors.PipelineAborted("pipeline aborted"), Kind.CALLER, False),
    ("misuse of the client", lambda: psycopg.InterfaceError("the cursor is closed"), Kind.CALLER, True),
    ("malformed DSN", lambda: psycopg.ProgrammingError(f'missing "=" after "{SECRET}"'), Kind.CALLER, True),
    (
        "pool exhausted",
        lambda: psycopg_pool.PoolTimeout("couldn't get a connection after 0.30 sec"),
        Kind.TIMEOUT,
        False,
    ),
    (
        "pool cannot connect",
        lambda: psycopg_pool.PoolTimeout("pool initialization incomplete after 1 sec"),
        Kind.TIMEOUT,
        False,
    ),
    (
        "pool's queue is full",
        lambda: psycopg_pool.TooManyRequests("the pool 'pool-1' has already 1 requests waiting"),
        Kind.THROTTLED,
        False,
    ),
    ("pool closed", lambda: psycopg_pool.PoolClosed("the pool 'pool-1' is already closed"), Kind.CALLER, False),
)

SITUATIONS: list[Situation] = [
    Situation("psycopg", situation, make, kind, sent, EnumInfraTransportType.DATABASE)
    for situation, make, kind, sent in _ROWS
]
