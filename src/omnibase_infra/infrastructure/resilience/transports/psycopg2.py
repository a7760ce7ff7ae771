"""psycopg2: SQLSTATEs after connecting; while connecting, nothing but libpq's text.

Of a server that ends the connection it keeps less than psycopg does: the last words, with their SQLSTATE, are lost.
"""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.libpq import kind_while_connecting
from omnibase_infra.infrastructure.resilience.transports.sqlstate import kind_of_sqlstate, may_have_taken_effect
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_CONNECTING: Final = ("connection to server ", "could not connect to server", "could not translate host name")
"""How libpq begins where it could not connect, for an exception without its traceback."""

_CODE_OF_CLASS: Final = {
    "AdminShutdown": "57P01",
    "CannotConnectNow": "57P03",
    "DeadlockDetected": "40P01",
    "LockNotAvailable": "55P03",
    "QueryCanceled": "57014",
    "ReadOnlySqlTransaction": "25006",
    "SerializationFailure": "40001",
    "TooManyConnections": "53300",
}
"""For the exceptions of a user's tests, and those that lost their code to pickle: only psycopg2 itself can set it."""

_LOST_BEFORE: Final = "connection already closed"
_POOL_EMPTY: Final = "connection pool exhausted"


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of psycopg2; `names` are the class names along its MRO."""
    name = names[0]
    rule = f"psycopg2.{name}"
    text = str(exc.args[0]) if exc.args else ""
    code = getattr(exc, "pgcode", None) or _CODE_OF_CLASS.get(name)
    if isinstance(code, str):
        return Failure(kind_of_sqlstate(code, text), f"{rule}: SQLSTATE {code}", code, sent=may_have_taken_effect(code))
    if name == "PoolError" and text == _POOL_EMPTY:
        return Failure(Kind.THROTTLED, f"{rule}: its text, the pool has no connection to give", sent=False)
    if name == "OperationalError" and _connecting(exc, text):
        kind = kind_while_connecting(text)
        found = "" if kind is None else f", {kind} by its text"
        return Failure(kind or Kind.CONNECTION, f"{rule}: connecting{found}", sent=False)
    if name in ("OperationalError", "DatabaseError"):
        return Failure(Kind.CONNECTION, f"{rule}: no SQLSTATE, so not the server's")
    if name == "InterfaceError" and text == _LOST_BEFORE:
        return Failure(Kind.CONNECTION, f"{rule}: used after the connection was lost", sent=False)
    return Failure(Kind.CALLER, f"{rule}: misuse of the client")


def _connecting(exc: BaseException, text: str) -> bool:
    return text.startswith(_CONNECTING) or any(
        frame.f_code.co_name == "connect" for frame in frames_of(exc, "psycopg2")
    )
