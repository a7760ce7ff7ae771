"""psycopg 3 and its pool: SQLSTATEs after connecting; while connecting, classes and what little text is stable."""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.libpq import kind_while_connecting
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
    kind = kind_while_connecting(text)
    if kind is None:
        return Failure(Kind.CONNECTION, "psycopg.OperationalError: connecting", sent=False)
    return Failure(kind, f"psycopg.OperationalError: connecting, {kind} by its text", sent=False)
