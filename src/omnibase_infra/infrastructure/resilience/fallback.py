"""Another answer in place of a failed one: from a second function, or a constant value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine
from inspect import isasyncgenfunction, isawaitable
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar, cast, overload

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumUnset
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import (
    checked_name,
    require,
    require_callable,
)
from omnibase_infra.infrastructure.resilience.decorate import (
    NamedByUse,
    is_async,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.substitution import (
    UNANSWERED,
    announce,
    chain,
    checked_kinds,
    kind_to_answer,
)
from omnibase_infra.utils.util_correlation import CorrelationContext

if TYPE_CHECKING:
    from uuid import UUID

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")


class Fallback(NamedByUse):
    """Answers a failed call from elsewhere.

    Answered are time-outs, unavailable services and lost connections, in whatever class of exception, and rejections
    by our own policies that say the same, such as an open circuit. Every other error, and a cancellation, goes
    through. When the fallback fails too, its own error is raised, chained from the first.

    Args:
        function: Called with the call's arguments; async functions may have a fallback of either kind. The fallback
            of a generator function returns the items that stand in for the stream.
        value: A constant answer in place of `function`; every caller gets this very object.
        on: The kinds of failure that are answered.
        name: Shown in events. An unnamed fallback takes its transport and the first function it guards.
        transport: Transport of the guarded calls.

    Raises:
        ProtocolConfigurationError: When an argument is not usable, or not exactly one of `function` and `value` given.
    """

    default_name: ClassVar[str] = "fallback"

    def __init__(
        self,
        function: Callable[..., object] | None = None,
        *,
        value: object = EnumUnset.UNSET,
        on: EnumFailureKind | Collection[EnumFailureKind] = UNANSWERED,
        name: str | None = None,
        transport: EnumInfraTransportType | None = None,
    ) -> None:
        require_callable("a function; a constant goes to value=", function=function)
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        if (function is None) is (value is EnumUnset.UNSET):
            raise ProtocolConfigurationError("function: give either a function or value=", parameter="function")
        self.function: Final[Callable[..., object]] = function or _constant(value)
        self.on: Final = checked_kinds(on)
        self.transport = transport
        self._name = checked_name(name)

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function."""
        operation = self._introduce(fn)
        function = self.function

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await fn(*args, **kwargs)
            except Exception as first:
                if not self._answers(first, operation):
                    raise
                try:
                    instead = function(*args, **kwargs)
                    return cast("T", await instead if isawaitable(instead) else instead)
                except Exception as second:
                    chain(second, first)
                    raise

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function.

        Raises:
            TypeError: When the fallback is async: a plain function cannot await it.
        """
        operation = self._introduce(fn)
        function = self.function
        if is_async(function) or isasyncgenfunction(function):
            raise TypeError(f"{operation} is a plain function: an async fallback can only serve an async one")

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                result = fn(*args, **kwargs)
                refuse_deferred(fn, result)
                return result
            except Exception as first:
                if not self._answers(first, operation):
                    raise
                try:
                    instead = function(*args, **kwargs)
                    if isawaitable(instead):
                        refuse_deferred(function, instead)
                    return cast("T", instead)
                except Exception as second:
                    chain(second, first)
                    raise

        return call

    def _answers(self, exc: Exception, operation: str) -> bool:
        kind = kind_to_answer(exc, self.transport)
        if kind in self.on:
            announce("fallback", self.name, self.transport, operation, kind=kind, exc=exc)
            return True
        return False


@overload
async def with_fallback(
    primary: Callable[[], Awaitable[T]],
    fallback: Callable[[], Awaitable[U]],
    correlation_id: UUID | str | None = None,
) -> tuple[T | U, bool]: ...


@overload
async def with_fallback(
    primary: Callable[[], Awaitable[T]],
    fallback: Callable[[], U],
    correlation_id: UUID | str | None = None,
) -> tuple[T | U, bool]: ...


@overload
async def with_fallback(
    primary: Callable[[], T],
    fallback: Callable[[], Awaitable[U]],
    correlation_id: UUID | str | None = None,
) -> tuple[T | U, bool]: ...


@overload
async def with_fallback(
    primary: Callable[[], T],
    fallback: Callable[[], U],
    correlation_id: UUID | str | None = None,
) -> tuple[T | U, bool]: ...


async def with_fallback(
    primary: Callable[[], Awaitable[T] | T],
    fallback: Callable[[], Awaitable[U] | U],
    correlation_id: UUID | str | None = None,
) -> tuple[T | U, bool]:
    """Call `primary`, and `fallback` when that gave no answer; return the result and whether it is the fallback's.

    Falls back on time-outs, unavailable services and lost connections, as `Fallback` does, an open circuit included.
    Both may be async or plain functions; a plain one holds the event loop while it runs.

    Args:
        primary: Called first.
        fallback: Called when `primary` gave no answer.
        correlation_id: Current during both calls, and in the errors they make; by default the one that is current,
            else a new one.

    Raises:
        Exception: What `primary` raises beyond that, or what `fallback` raises, chained from the first failure.
        ValueError: When `correlation_id` is neither a UUID nor a UUID string.
    """
    with CorrelationContext(correlation_id):
        try:
            result = primary()
            return (await result if isawaitable(result) else result), False
        except Exception as first:
            kind = kind_to_answer(first, None)
            if kind not in UNANSWERED:
                raise
            operation = qualified_name(primary)
            announce("fallback", operation, None, operation, kind=kind, exc=first)
            try:
                instead = fallback()
                return (await instead if isawaitable(instead) else instead), True
            except Exception as second:
                chain(second, first)
                raise


def _constant(value: object) -> Callable[..., object]:
    def answer(*_args: object, **_kwargs: object) -> object:
        return value

    return answer
