"""psycopg 3 and its pool: SQLSTATEs after connecting; while connecting, classes and what little text is stable."""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.sqlstate import kind_of_sqlstate, may_have_taken_effect

_BY_CLASS: Final = {
    "PoolTimeout": Failure(Kind.TIMEOUT, "psycopg_pool.PoolTimeout: no connection came free in time", sent=False),
    "TooManyRequests": Failure(Kind.THROTTLED, "psycopg_pool.TooManyRequests: the pool's queue is full", sent=False),
    "PoolClosed": Failure(Kind.CALLER, "psycopg_pool.PoolClosed: misuse of the pool", sent=False),
    "ConnectionTimeout": Failure(Kind.TIMEOUT, "psycopg.ConnectionTimeout: not connected in time", sent=False),
    "CancellationTimeout": Failure(Kind.TIMEOUT, "psycopg.CancellationTimeout: not cancelled in time"),
    # It follows the error of an earlier statement, which says what happened; this one was not executed.
    "PipelineAborted": Failure(Kind.CALLER, "psycopg.PipelineAborted: after an error in the pipeline", sent=False),
}

_CONNECTING: Final = ("connection failed", "connection is bad", "failed to resolve host")
"""What psycopg itself, in English in every locale, puts before the text of libpq when it could not connect."""

# The server's SQLSTATE does not survive a failed connect: libpq keeps only the text. Where client and server speak
# another language none of these is found, and the failure is one of the connection, which is retried.
_WHILE_CONNECTING: Final = (
    (
        Kind.AUTHENTICATION,
        (
            "authentication failed for user",  # password, peer, ident, LDAP, certificate …
            "no password supplied",
            "no pg_hba.conf entry",
            "permission denied for database",
            'FATAL:  role "',  # … does not exist, is not permitted to log in
        ),
    ),
    (Kind.THROTTLED, ("too many clients", "too many connections", "remaining connection slots")),
    (
        Kind.UNAVAILABLE,
        (
            "the database system is",  # … starting up, shutting down, in recovery mode, not accepting connections
            "not currently accepting connections",
            "session is read-only",
            "session is not read-only",
            "server is in hot standby mode",
            "server is not in hot standby mode",
        ),
    ),
    (Kind.TIMEOUT, ("timeout expired",)),
    (
        Kind.CALLER,
        (
            "does not exist",  # the database
            "server does not support SSL",
            "certificate verify failed",
        ),
    ),
)


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of psycopg or psycopg_pool; `names` are the class names along its MRO."""
    name = names[0]
    if name in _BY_CLASS:
        return _BY_CLASS[name]
    text = str(exc.args[0]) if exc.args else ""
    code = getattr(exc, "sqlstate", None)
    if isinstance(code, str):
        sent = may_have_taken_effect(code)
        return Failure(kind_of_sqlstate(code, text), f"psycopg.{name}: SQLSTATE {code}", code, sent=sent)
    if name == "OperationalError":
        if text.startswith(_CONNECTING):
            return _not_connected(exc, text)
        # psycopg's own words, not libpq's: it looked at the connection's state, and sent nothing.
        sent = text != "the connection is closed"
        return Failure(Kind.CONNECTION, "psycopg.OperationalError: no SQLSTATE, so not the server's", sent=sent)
    if name == "DatabaseError":
        return Failure(Kind.CONNECTION, "psycopg.DatabaseError: libpq's own, the connection is out of step")
    return Failure(Kind.CALLER, f"psycopg.{name}: misuse of the client")


def _not_connected(exc: BaseException, text: str) -> Failure:
    if getattr(getattr(exc, "pgconn", None), "needs_password", False) is True:
        return Failure(Kind.AUTHENTICATION, "psycopg.OperationalError: connecting, a password is missing", sent=False)
    for kind, fragments in _WHILE_CONNECTING:
        if any(fragment in text for fragment in fragments):
            return Failure(kind, f"psycopg.OperationalError: connecting, {kind} by its text", sent=False)
    return Failure(Kind.CONNECTION, "psycopg.OperationalError: connecting", sent=False)
