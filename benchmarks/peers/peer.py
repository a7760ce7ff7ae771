"""What is measured of a library: the same few functions for each, None where it has no such thing."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from types import MappingProxyType
from typing import Literal

Call = Callable[[int], Awaitable[object]]
PlainCall = Callable[[int], object]
Decorator = Callable[[Callable[[int], object]], Callable[[int], object]]
"""Guards a coroutine function; a plain one too, unless the peer says that it does not."""

Take = Callable[[str], "bool | Awaitable[bool]"]
"""Takes a token of a key: whether it was there."""

Kind = Literal["async", "sync"]
BOTH: frozenset[Kind] = frozenset({"async", "sync"})

ATTEMPTS = 3
FAILURES = 5
RATE, BURST = 1_000_000_000, 1_000_000_000
"""A limit that is never reached."""
KEY_BURST = 5
KEY_SECONDS = 3600
"""For one token of a key; no bucket is full again while it is measured."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One library, each function configured to do the same work as the others'.

    The failures are `ConnectionError`s. A function that says nothing else gives a new policy with each call.
    """

    label: str
    module: str
    """What a program imports."""
    distributions: tuple[str, ...]
    """What is installed; the version shown is the first one's."""

    typed: tuple[str, str] | None = None
    """An import and a decorator, as a user writes them, whose types a type checker is to keep."""

    retry: Callable[[], Decorator] | None = None
    """Three attempts, no wait between them."""
    budgeted_retry: Callable[[], Decorator] | None = None
    """As `retry`, held back by the library's own retry budget."""
    bounded_retry: Callable[[float], Decorator] | None = None
    """As `retry`, and the library's bound of the whole, in seconds."""
    breaker: Callable[[float], Decorator] | None = None
    """Opens after five failures, for so many seconds; one good probe closes it."""
    limiter: Callable[[float, int], Decorator] | None = None
    """Tokens a second and size of the bucket; rejects."""
    waiting_limiter: Callable[[float, int], Decorator] | None = None
    """As `limiter`, but waits."""
    timeout: Callable[[float], Decorator] | None = None
    bulkhead: Callable[[int], Decorator] | None = None
    """So many calls at once; rejects at once, without a queue."""
    stack: Callable[[], Decorator] | None = None
    """Breaker, retry and limiter, as the library combines them."""
    separate_stack: Callable[[], Decorator] | None = None
    """The three as decorators one above the other, where `stack` is something else."""
    full_stack: Callable[[], Decorator] | None = None
    """The three, two timeouts, bulkhead and fallback; or as many of them as `notes` says."""
    keyed_limiter: Callable[[int], Take] | None = None
    """A bucket for each key, with room for so many keys; a key may take five tokens at once, then one an hour."""
    keyed_breaker: Callable[[int], Decorator] | None = None
    """A circuit for each argument, with room for so many keys."""

    kinds: Mapping[str, frozenset[Kind]] = field(default_factory=lambda: MappingProxyType({}))
    """By function: the kinds it can guard, where that is not both."""
    notes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """By function: what a user gets less, or other, than from most; nothing where the work is equal."""

    @property
    def version(self) -> str:
        return version(self.distributions[0])

    def has(self, feature: str, kind: Kind = "async") -> bool:
        return getattr(self, feature) is not None and kind in self.kinds.get(feature, BOTH)

    def note(self, feature: str) -> str:
        return self.notes.get(feature, "")


FEATURES = tuple(
    each.name
    for each in fields(Peer)
    if each.name not in {"label", "module", "distributions", "typed", "kinds", "notes"}
)

ASYNC_ONLY: frozenset[Kind] = frozenset({"async"})
SYNC_ONLY: frozenset[Kind] = frozenset({"sync"})


def stacked(*decorators: Decorator) -> Decorator:
    """One decorator of several, the first outermost."""

    def decorate(fn: PlainCall) -> PlainCall:
        for decorator in reversed(decorators):
            fn = decorator(fn)
        return fn

    return decorate


class LimitReachedError(Exception):
    """What a user would raise by hand around a limiter that only answers yes or no."""


def rejecting(take: Callable[[], bool], take_async: Callable[[], Awaitable[bool]] | None = None) -> Decorator:
    """The least that a user writes around a limiter without a decorator."""

    def decorate(fn: PlainCall) -> PlainCall:
        if not inspect.iscoroutinefunction(fn):

            def plain(number: int) -> object:
                if not take():
                    raise LimitReachedError
                return fn(number)

            return plain
        if take_async is None:

            async def direct(number: int) -> object:
                if not take():
                    raise LimitReachedError
                return await fn(number)

            return direct

        async def awaiting(number: int) -> object:
            if not await take_async():
                raise LimitReachedError
            return await fn(number)

        return awaiting

    return decorate
