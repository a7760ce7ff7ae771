"""asyncpg: SQLSTATEs where the server spoke, class names where only the client did."""

from __future__ import annotations

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.sqlstate import kind_of_sqlstate, may_have_taken_effect


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an asyncpg exception; `names` are the class names along its MRO."""
    name = names[0]
    # Not `str(exc)`: asyncpg's adds the DETAIL, and fails for an error that was raised without a message.
    text = str(exc.args[0]) if exc.args else ""
    code = getattr(exc, "sqlstate", None)
    lost = name == "ConnectionDoesNotExistError"
    if lost:
        # A shutdown in mid-query surfaces as a lost connection; the server's own word is only on the cause.
        code = getattr(exc.__cause__, "sqlstate", None) or code
    if isinstance(code, str):
        sent = may_have_taken_effect(code) and not (lost and _while_connecting(exc))
        return Failure(kind_of_sqlstate(code, text), f"asyncpg.{name}: SQLSTATE {code}", code, sent=sent)
    if name == "InterfaceError":
        # One class for dead connections and for misuse; only the text tells them apart. Both are found before sending.
        dead = text.endswith("connection is closed")
        return Failure(Kind.CONNECTION if dead else Kind.CALLER, "asyncpg.InterfaceError: its text", sent=False)
    if name == "InternalClientError" and text.startswith(("cannot switch to state", "not connected")):
        # The server's farewell came in between: asyncpg finds its own state upset before it sees the close.
        return Failure(Kind.CONNECTION, "asyncpg.InternalClientError: its text")
    if name == "TargetServerAttributeNotMatched":
        return Failure(
            Kind.UNAVAILABLE, "asyncpg.TargetServerAttributeNotMatched: no host in the wanted role", sent=False
        )
    return Failure(Kind.CALLER, f"asyncpg.{name}: misuse of the client")


def _while_connecting(exc: BaseException) -> bool:
    """Whether the connection was lost before it stood. Class and text are those of any loss; only the frames tell."""
    frames = exc.__traceback__
    while frames is not None:
        if frames.tb_frame.f_globals.get("__name__") == "asyncpg.connect_utils":
            return True
        frames = frames.tb_next
    return False
