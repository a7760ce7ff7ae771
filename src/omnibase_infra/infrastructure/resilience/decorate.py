"""Any callable to a protected callable: the one place that knows sync, async, methods and generators.

A policy brings two ways of guarding a call, `around_async` and `around_sync`. Everything else is led back to them: a
generator is guarded until its first item is out, which is when the call has shown whether it works, and is passed
through from then on.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, ClassVar, Final, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from omnibase_infra.utils import util_ambient

if TYPE_CHECKING:
    from omnibase_infra.enums import EnumInfraTransportType

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Guard(Protocol):
    """What a policy brings so that it can guard any callable."""

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function."""
        ...

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function."""
        ...


class Decorating(ABC):
    """What policies have in common: they guard as decorators, and single calls."""

    @abstractmethod
    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function."""

    @abstractmethod
    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function.

        Raises:
            TypeError: When the policy cannot guard one.
        """

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """Guard a function of any kind; it keeps its name, signature and type. A generator, until its first item.

        Raises:
            TypeError: When `fn` cannot be guarded.
        """
        return protect(fn, self)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one guarded call; await what it returns when `fn` is a coroutine function."""
        return guarded(fn, self)(*args, **kwargs)


class NamedByUse(Decorating):
    """A policy that takes its name, unless it is given one, from its transport and the first function it guards."""

    default_name: ClassVar[str]
    """Shown until it guards something."""
    transport: EnumInfraTransportType | None
    _name: str | None

    @property
    def name(self) -> str:
        """The name shown in errors and events."""
        return self._name or self.default_name

    def _introduce(self, fn: Callable[..., object]) -> str:
        """Take a name if there is none, and return that of the function."""
        operation = qualified_name(fn)
        if self._name is None:
            self._name = f"{self.transport}:{operation}" if self.transport else operation
            self._named()
        return operation

    def _named(self) -> None:
        """Called when the policy has taken a name."""


def protect(fn: Callable[P, R], guard: Guard) -> Callable[P, R]:
    """Return `fn` guarded; name, docstring, signature and kind of function are kept.

    Raises:
        TypeError: When `fn` cannot be guarded: not a callable, a class, or something that only prepares a later call.
    """
    if isinstance(fn, (classmethod, staticmethod)):
        bound = cast("classmethod[object, ..., object]", fn)
        return cast("Callable[P, R]", type(bound)(protect(bound.__func__, guard)))
    return _dressed(guarded(fn, guard), fn)


def guarded(fn: Callable[P, R], guard: Guard) -> Callable[P, R]:
    """Return `fn` guarded for a single call: as `protect`, but without copying its name and signature."""
    _refuse_unprotectable(fn)
    if util_ambient.current is not None:
        guard = util_ambient.current.switchable(guard)
    target = cast("Callable[..., object]", fn)
    wrapper: Callable[..., object]
    if is_async(target):
        wrapper = guard.around_async(cast("Callable[..., Coroutine[object, None, object]]", target))
    elif _has_kind(target, inspect.isasyncgenfunction):
        wrapper = _async_generator(cast("Callable[..., AsyncGenerator[object, object]]", target), guard)
    elif _has_kind(target, inspect.isgeneratorfunction):
        wrapper = _generator(cast("Callable[..., Generator[object, object, object]]", target), guard)
    else:
        wrapper = guard.around_sync(target)
    return cast("Callable[P, R]", wrapper)


def is_async(fn: Callable[..., object]) -> bool:
    """Whether calling `fn` gives a coroutine; sees through partials and objects with an async ``__call__``."""
    return _has_kind(fn, _gives_coroutine)


def is_stream(fn: Callable[..., object]) -> bool:
    """Whether calling `fn` gives a generator, of either kind: what it yields can be read only once."""
    return _has_kind(fn, inspect.isgeneratorfunction) or _has_kind(fn, inspect.isasyncgenfunction)


def qualified_name(fn: Callable[..., object]) -> str:
    """The name a reader of a log recognises the callable by."""
    bare = _without_partial(fn)
    return str(getattr(bare, "__qualname__", type(bare).__qualname__))


def refuse_deferred(fn: Callable[..., object], result: object) -> None:
    """Raise when a plain function returned work that is still to be done: guarding the call would guard nothing.

    Raises:
        TypeError: When `result` is a coroutine, another awaitable, or a generator.
    """
    kind = type(result)
    if not IS_DEFERRED[kind]:
        return
    if kind is GeneratorType and cast("GeneratorType[object, object, object]", result).gi_code.co_name == "<genexpr>":
        return  # lazy data, not work
    if kind is CoroutineType:
        cast("CoroutineType[object, object, object]", result).close()  # or it would warn that nobody awaited it
    raise TypeError(
        f"{qualified_name(fn)}() is a plain function but returned a {kind.__name__}, whose work would run "
        "unprotected; decorate the 'async def' or generator function itself, or wrap it in one"
    )


_LAZY: Final = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})


class _ByKind(dict[type, bool]):
    def __missing__(self, kind: type) -> bool:
        if len(self) >= _MOST_KINDS:
            self.clear()
        self[kind] = found = hasattr(kind, "__await__") or kind in _LAZY
        return found


_MOST_KINDS: Final = 1_000
"""Kinds that are remembered: a program that makes classes as it runs is not to keep them all."""

IS_DEFERRED: Final = _ByKind()
"""Whether `refuse_deferred` has to look closer at a result, by its class: asked on the path of every success."""


@contextmanager
def _block() -> Generator[None]:
    yield


@asynccontextmanager
async def _async_block() -> AsyncGenerator[None]:
    yield


_CONTEXT_MANAGERS: Final = frozenset(cast("FunctionType", made).__code__ for made in (_block, _async_block))
"""The code that `contextlib` gives to every function it decorates."""


def _refuse_unprotectable(fn: object) -> None:
    if isinstance(fn, type):
        raise TypeError(f"cannot protect the class {fn.__qualname__}; decorate its methods")
    if isinstance(fn, property):
        raise TypeError("cannot protect a property; decorate the function below @property")
    if not callable(fn):
        raise TypeError(f"cannot protect a {type(fn).__name__}; a function, method or other callable is needed")
    if _has_kind(fn, _gives_context_manager):
        raise TypeError(
            f"cannot protect the context manager {qualified_name(fn)}; decorate the function that it calls, "
            "or use the policy in a 'with' block of its own"
        )


def _has_kind(fn: Callable[..., object], test: Callable[[object], bool]) -> bool:
    bare = _without_partial(fn)
    return test(bare) or test(inspect.getattr_static(type(bare), "__call__", None))


def _without_partial(fn: Callable[..., object]) -> Callable[..., object]:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _gives_coroutine(fn: object) -> bool:
    # The flag is that of `types.coroutine`, whose generators are awaited, not iterated.
    return inspect.iscoroutinefunction(fn) or bool(_flags(fn) & inspect.CO_ITERABLE_COROUTINE)


def _flags(fn: object) -> int:
    code = getattr(fn, "__code__", None)
    return code.co_flags if isinstance(code, CodeType) else 0


def _gives_context_manager(fn: object) -> bool:
    code = getattr(fn, "__code__", None)
    return isinstance(code, CodeType) and code in _CONTEXT_MANAGERS


def _dressed(wrapper: Callable[P, R], fn: Callable[..., object]) -> Callable[P, R]:
    if hasattr(fn, "__qualname__"):
        functools.update_wrapper(wrapper, fn)
        return wrapper
    # An object's attributes are its own state, not decoration to copy; a partial is shown as what it calls.
    functools.update_wrapper(wrapper, _without_partial(fn), assigned=("__module__", "__doc__"), updated=())
    wrapper.__dict__["__wrapped__"] = fn
    name = qualified_name(fn)
    wrapper.__name__, wrapper.__qualname__ = name.rpartition(".")[2], name
    return wrapper


class _Opened(NamedTuple, Generic[T]):
    """A stream and its first item; no stream when it ended without one."""

    stream: T | None
    item: object


async def _items_of(answer: object) -> AsyncGenerator[object]:
    if isinstance(answer, AsyncIterable):
        async for item in cast("AsyncIterable[object]", answer):
            yield item
    else:
        for item in cast("Iterable[object]", answer):
            yield item


def _async_generator(
    fn: Callable[P, AsyncGenerator[object, object]], guard: Guard
) -> Callable[P, AsyncGenerator[object, object]]:
    async def first(*args: P.args, **kwargs: P.kwargs) -> _Opened[AsyncGenerator[object, object]]:
        stream = fn(*args, **kwargs)
        try:
            return _Opened(stream, await anext(stream))
        except StopAsyncIteration:
            return _Opened(None, None)

    opened = guard.around_async(_dressed(first, fn))

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[object, object]:
        opening = cast("object", await opened(*args, **kwargs))
        if not isinstance(opening, _Opened):  # a fallback answers in the stream's place
            async for item in _items_of(opening):
                yield item
            return
        stream, item = cast("_Opened[AsyncGenerator[object, object]]", opening)
        if stream is None:
            return
        try:
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # whatever the consumer threw in
                    item = await stream.athrow(thrown)
                else:
                    item = await stream.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await stream.aclose()

    return wrapper


def _generator(
    fn: Callable[P, Generator[object, object, object]], guard: Guard
) -> Callable[P, Generator[object, object, object]]:
    def first(*args: P.args, **kwargs: P.kwargs) -> _Opened[Generator[object, object, object]]:
        stream = fn(*args, **kwargs)
        try:
            return _Opened(stream, next(stream))
        except StopIteration as end:
            return _Opened(None, end.value)

    opened = guard.around_sync(_dressed(first, fn))

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Generator[object, object, object]:
        opening = cast("object", opened(*args, **kwargs))
        if not isinstance(opening, _Opened):  # a fallback answers in the stream's place
            return (yield from cast("Generator[object, object, object]", opening))
        stream, item = cast("_Opened[Generator[object, object, object]]", opening)
        if stream is None:
            return item
        try:
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:
                    item = stream.throw(thrown)
                else:
                    item = stream.send(sent)
        except StopIteration as end:
            return end.value
        finally:
            stream.close()

    return wrapper
