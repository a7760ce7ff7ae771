"""What every circuit breaker test needs: a clock to turn, one call through any face, and calls held in mid-flight."""

from __future__ import annotations

import asyncio
import itertools
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Final, cast

import pytest

from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import InfrastructureCircuitBreaker, create_database_circuit_breaker

Act = Callable[[], object]


_numbers = itertools.count(1)


def fresh(name: str) -> str:
    """A name that no other test has: a named circuit lives as long as the process."""
    return f"{name} {next(_numbers)}"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def make(clock: Clock | None = None, **settings: object) -> InfrastructureCircuitBreaker:
    """A database circuit breaker on a clock that stands still, without jitter."""
    return create_database_circuit_breaker(**{"clock": clock or Clock(), "rng": lambda: 0.0, **settings})


def drive(work: Coroutine[object, object, object]) -> object:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise AssertionError("the coroutine suspended")


def _generator(breaker: InfrastructureCircuitBreaker, act: Act) -> object:
    def items() -> Generator[object]:
        yield act()

    return next(iter(list(breaker(items)())))


def _async_generator(breaker: InfrastructureCircuitBreaker, act: Act) -> object:
    async def items() -> AsyncGenerator[object]:
        yield act()

    async def all_items() -> list[object]:
        return [item async for item in breaker(items)()]

    return next(iter(cast("list[object]", drive(all_items()))))


def _with(breaker: InfrastructureCircuitBreaker, act: Act) -> object:
    with breaker:
        return act()


async def _async_with(breaker: InfrastructureCircuitBreaker, act: Act) -> object:
    async with breaker:
        return act()


async def _async(act: Act) -> object:
    return act()


CALLS: Final[dict[str, Callable[[InfrastructureCircuitBreaker, Act], object]]] = {
    "function": lambda breaker, act: breaker(act)(),
    "coroutine function": lambda breaker, act: drive(breaker(_async)(act)),
    "generator": _generator,
    "async generator": _async_generator,
    "call": lambda breaker, act: breaker.call(act),
    "await call": lambda breaker, act: drive(breaker.call(_async, act)),
    "with": _with,
    "async with": lambda breaker, act: drive(_async_with(breaker, act)),
}
"""The ways to have a call guarded."""

FACES: Final = tuple(CALLS)


def attempt(breaker: InfrastructureCircuitBreaker, face: str = "call", outcome: object = "ok") -> object:
    """Make one guarded call; `outcome` is its result, or what it raises."""

    def act() -> object:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return CALLS[face](breaker, act)


def fail(breaker: InfrastructureCircuitBreaker, times: int = 1, error: BaseException | None = None) -> None:
    """Make calls that fail; the error that comes out must be the one that was raised."""
    for _ in range(times):
        raised = error or ConnectionRefusedError("refused")
        try:
            attempt(breaker, outcome=raised)
        except BaseException as seen:
            if seen is not raised:
                raise


def refused(breaker: InfrastructureCircuitBreaker, face: str = "call") -> InfraUnavailableError:
    """The error of a call that must be refused."""
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as caught:
        attempt(breaker, face)
    return caught.value


@types.coroutine
def _suspension() -> Generator[None]:
    yield


async def _suspended() -> str:
    await _suspension()
    return "late"


class Flight:
    """A guarded call in mid-flight, to be ended at will."""

    def __init__(self, breaker: InfrastructureCircuitBreaker) -> None:
        self._work = breaker.call(_suspended)
        self._work.send(None)

    def land(self) -> None:
        with suppress(StopIteration):
            self._work.send(None)

    def crash(self, error: BaseException | None = None) -> None:
        raised = error or ConnectionResetError("reset")
        with suppress(type(raised)):
            self._work.throw(raised)

    def cancel(self) -> None:
        self.crash(asyncio.CancelledError())
