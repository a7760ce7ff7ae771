"""That each library really does the work it is timed at: run before every measurement, and it stops one that cheats.

Nothing here is timed.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from benchmarks.peers.peer import ATTEMPTS, FAILURES, Decorator, Peer, PlainCall


class UnequalWorkError(AssertionError):
    """A library did something else than what its figure would be compared with."""


class Dependency:
    """What is called: fails as long as it is told to, and counts."""

    def __init__(self, *, down: bool = False, seconds: float = 0.0) -> None:
        self.calls = 0
        self.down = down
        self.seconds = seconds

    async def call(self, number: int) -> int:
        self.calls += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.down:
            raise ConnectionError
        return number

    def function(self) -> Callable[[int], Awaitable[int]]:
        """A coroutine function of its own: some libraries take no bound methods."""

        async def query(number: int) -> int:
            return await self.call(number)

        return query

    def plain(self) -> PlainCall:
        def query(number: int) -> int:
            self.calls += 1
            if self.down:
                raise ConnectionError
            return number

        return query


@contextmanager
def no_waits() -> Iterator[list[float]]:
    """`asyncio.sleep` returns at once, for every library alike; what was asked for is kept."""
    asked: list[float] = []
    original = asyncio.sleep

    async def at_once(delay: float, result: object = None) -> object:
        asked.append(delay)
        return result

    asyncio.sleep = at_once
    try:
        yield asked
    finally:
        asyncio.sleep = original


async def outcome(guarded: PlainCall, number: int = 0) -> BaseException | None:
    """What the call raised, None when it went well."""
    try:
        found = guarded(number)
        if inspect.isawaitable(found):
            await found
    except Exception as error:
        return error.with_traceback(None)
    return None


def _require(peer: Peer, feature: str, said: str, *, holds: bool) -> None:
    if not holds:
        raise UnequalWorkError(f"{peer.label}, {feature}: {said}")


async def check(peer: Peer) -> None:
    """Try every function of a library once.

    Raises:
        UnequalWorkError: When one of them does not do what `Peer` says.
    """
    for feature in ("retry", "budgeted_retry"):
        await _check_retry(peer, feature)
    if peer.breaker is not None:
        await _check_breaker(peer, "breaker", peer.breaker(60.0))
    for feature in ("stack", "separate_stack", "full_stack", "timeout", "bulkhead"):
        await _check_success(peer, feature)
    await _check_limits(peer)
    if peer.keyed_limiter is not None:
        await _check_keyed_limiter(peer)
    if peer.keyed_breaker is not None:
        await _check_breaker(peer, "keyed_breaker", peer.keyed_breaker(100))


async def _check_retry(peer: Peer, feature: str) -> None:
    build = getattr(peer, feature)
    if build is None:
        return
    with no_waits() as waits:
        dependency = Dependency(down=True)
        error = await outcome(build()(dependency.function()))
    _require(peer, feature, "raises nothing", holds=error is not None)
    _require(peer, feature, f"{dependency.calls} attempts", holds=dependency.calls == ATTEMPTS)
    _require(peer, feature, f"waits {waits}", holds=not any(waits))
    dependency = Dependency()
    await build()(dependency.function())(0)
    _require(peer, feature, "repeats a success", holds=dependency.calls == 1)


async def _check_breaker(peer: Peer, feature: str, decorator: Decorator) -> None:
    dependency = Dependency(down=True)
    asynchronous = peer.has(feature)
    guarded = decorator(dependency.function() if asynchronous else dependency.plain())
    for _ in range(FAILURES + 3):
        error = await outcome(guarded)
        _require(peer, feature, "swallows the failure", holds=error is not None)
    _require(peer, feature, f"{dependency.calls} calls until open", holds=dependency.calls == FAILURES)


async def _check_success(peer: Peer, feature: str) -> None:
    build = getattr(peer, feature)
    if build is None:
        return
    dependency = Dependency()
    argument = {"timeout": (0.05,), "bulkhead": (2,)}.get(feature, ())
    guarded = build(*argument)(dependency.function())
    for number in range(20):
        found = await guarded(number)
        _require(peer, feature, "loses the result", holds=found == number)
    dependency.seconds = 0.5
    if feature == "timeout":
        _require(peer, feature, "lets a hung call be", holds=await outcome(guarded) is not None)
    if feature == "bulkhead":
        calls = [asyncio.create_task(outcome(guarded)) for _ in range(3)]
        await asyncio.sleep(0.1)
        rejected = [each for each in calls if each.done() and each.result() is not None]
        _require(peer, feature, f"{len(rejected)} of 3 rejected", holds=len(rejected) == 1)
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def _check_limits(peer: Peer) -> None:
    if peer.limiter is not None:
        guarded = peer.limiter(0.1, 5)(Dependency().function())
        errors = [await outcome(guarded) for _ in range(8)]
        granted = errors.count(None)
        _require(peer, "limiter", f"{granted} of 8 granted at a burst of 5", holds=granted == 5)
    if peer.waiting_limiter is not None:
        guarded = peer.waiting_limiter(100.0, 5)(Dependency().function())
        begin = asyncio.get_running_loop().time()
        errors = await asyncio.gather(*(outcome(guarded) for _ in range(10)))
        taken = asyncio.get_running_loop().time() - begin
        _require(peer, "waiting_limiter", f"rejects: {set(map(repr, errors))}", holds=not any(errors))
        _require(peer, "waiting_limiter", f"10 calls in {taken:.3f} s", holds=taken >= 0.035)


async def _check_keyed_limiter(peer: Peer) -> None:
    take = peer.keyed_limiter(100)
    granted = dict.fromkeys("abc", 0)
    for _ in range(8):
        for key in granted:
            found = take(key)
            granted[key] += bool(await found if inspect.isawaitable(found) else found)
    _require(peer, "keyed_limiter", f"granted {granted}", holds=set(granted.values()) == {5})
