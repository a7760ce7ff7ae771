"""SQLAlchemy: what its wrappers hold is what counts; only its pool fails by itself."""

from __future__ import annotations

from dataclasses import replace

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.classify import failure_of, is_known_driver
from omnibase_infra.infrastructure.resilience.transports.failure import Failure


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify a SQLAlchemy exception; `names` are the class names along its MRO."""
    name = names[0]
    if "SQLAlchemyError" not in names and exc.__cause__ is not None:
        # What an asyncio dialect puts in place of its driver's class: the original is the cause.
        return failure_of(exc.__cause__)
    inner = getattr(exc, "orig", None)
    if isinstance(inner, BaseException):
        found = failure_of(inner)
        if found.kind is Kind.CALLER and _is_lost(exc) and not is_known_driver(type(inner).__module__):
            return Failure(Kind.CONNECTION, f"sqlalchemy.{name}: its dialect found the connection lost")
        return replace(found, decided_by=f"sqlalchemy.{name} around {found.decided_by}")
    if "TimeoutError" in names:
        return Failure(Kind.TIMEOUT, "sqlalchemy.TimeoutError: no connection came free in time", sent=False)
    if "DisconnectionError" in names:
        return Failure(Kind.CONNECTION, f"sqlalchemy.{name}: found lost when taken from the pool", sent=False)
    return Failure(Kind.CALLER, f"sqlalchemy.{name}: misuse of SQLAlchemy")


def _is_lost(exc: BaseException) -> bool:
    return getattr(exc, "connection_invalidated", False) is True
