"""The in-memory store; one circuit a factory, or one a key."""

from __future__ import annotations

from purgatory import AsyncCircuitBreakerFactory

from benchmarks.peers.peer import ASYNC_ONLY, FAILURES, Decorator, Peer, PlainCall


def breaker(seconds: float) -> Decorator:
    return AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=seconds)("orders")


def keyed_breaker(_keys: int) -> Decorator:
    factory = AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=60.0)

    def decorate(fn: PlainCall) -> PlainCall:
        async def wrapper(key: str) -> object:
            async with await factory.get_breaker(key):
                return await fn(key)

        return wrapper

    return decorate


PEER = Peer(
    label="purgatory",
    module="purgatory",
    distributions=("purgatory",),
    typed=("from purgatory import AsyncCircuitBreakerFactory", 'AsyncCircuitBreakerFactory()("orders")'),
    breaker=breaker,
    keyed_breaker=keyed_breaker,
    kinds={"breaker": ASYNC_ONLY, "keyed_breaker": ASYNC_ONLY},
    notes={
        "breaker": "no lock, no half-open limit, no generations, wall clock",
        "keyed_breaker": "unbounded, no lock",
    },
)
