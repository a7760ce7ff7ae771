"""What tests of retries share: scripted functions, a clock that only waiting moves, and one way to call both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine


class Clock:
    """Time that passes only while a policy waits. `sleep` serves plain and coroutine functions alike."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Script:
    """A function that plays one outcome a call, the last one for ever: raises exceptions, returns anything else.

    An exception class makes a new exception each time.
    """

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = outcomes
        self.calls = 0
        self.arguments: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def __call__(self, *args: object, **kwargs: object) -> object:
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        self.arguments.append((args, kwargs))
        if isinstance(outcome, BaseException) or (isinstance(outcome, type) and issubclass(outcome, BaseException)):
            raise outcome
        return outcome


Caller = Callable[[Callable[[Callable[..., object]], Callable[..., object]], Callable[..., object]], object]


def call_plain(
    decorate: Callable[[Callable[..., object]], Callable[..., object]], script: Callable[..., object]
) -> object:
    """Decorate a plain function that runs the script, and call it."""

    @decorate
    def query() -> object:
        return script()

    return query()


def call_coroutine(
    decorate: Callable[[Callable[..., object]], Callable[..., object]], script: Callable[..., object]
) -> object:
    """Decorate a coroutine function that runs the script, and call it in a loop of its own."""

    @decorate
    async def query() -> object:
        await asyncio.sleep(0)
        return script()

    return asyncio.run(_awaited(query()))


async def _awaited(work: object) -> object:
    assert isinstance(work, Coroutine | Awaitable)
    return await work
