"""The correlation id of the current task or thread, and the number of its attempt."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from uuid import UUID, uuid4

# Read directly where an error is built; everyone else uses the functions.
correlation_id_var: ContextVar[UUID | None] = ContextVar("omnibase_infra_correlation_id", default=None)

# Set from the second attempt on: a call that succeeds at once pays nothing for it.
attempt_var: ContextVar[int] = ContextVar("omnibase_infra_attempt", default=1)


def get_correlation_id() -> UUID | None:
    """Return the current correlation id, or None when none is set."""
    return correlation_id_var.get()


def set_correlation_id(value: UUID | str) -> Token[UUID | None]:
    """Set the current correlation id; a UUID string is coerced.

    Returns the token with which ``correlation_id_var.reset`` restores the former id.

    Raises:
        ValueError: ``value`` is neither a UUID nor a UUID string.
    """
    return correlation_id_var.set(as_uuid(value))


def clear_correlation_id() -> None:
    """Leave the current task or thread without a correlation id."""
    correlation_id_var.set(None)


def get_attempt() -> int:
    """Return the number of the current attempt, from 1.

    Within several policies that repeat calls, it is that of the innermost one that has made a second attempt.
    """
    return attempt_var.get()


class CorrelationContext:
    """A block with one correlation id: ``with`` or ``async with``, its target is the id.

    ``None``, the default, keeps the current id and makes a uuid4 when there is none. Leaving the block restores what
    was current before it. An object may be used again, but not while it is entered.

    Raises:
        ValueError: ``correlation_id`` is neither a UUID nor a UUID string.
        RuntimeError: the object is entered a second time before it was left.
    """

    __slots__ = ("_correlation_id", "_token")

    def __init__(self, correlation_id: UUID | str | None = None) -> None:
        self._correlation_id = None if correlation_id is None else as_uuid(correlation_id)
        self._token: Token[UUID | None] | None = None

    def __enter__(self) -> UUID:
        if self._token is not None:
            raise RuntimeError("CorrelationContext is already entered: make a new one for each block")
        current = self._correlation_id or correlation_id_var.get() or uuid4()
        self._token = correlation_id_var.set(current)
        return current

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            # A generator that is finalised elsewhere leaves the block in another context, where nothing was set.
            with suppress(ValueError):
                correlation_id_var.reset(token)

    async def __aenter__(self) -> UUID:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)


def as_uuid(value: object) -> UUID:
    """The correlation id that a user gave, as a UUID.

    Raises:
        ValueError: It is neither a UUID nor a UUID string.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return UUID(value)
    raise ValueError(
        f"correlation_id must be a UUID or a UUID string of 32 hexadecimal digits (hyphens optional), "
        f"got {'a malformed string' if isinstance(value, str) else type(value).__name__}"
    )
