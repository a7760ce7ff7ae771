"""A leaky bucket around the call, as its documentation has it."""

from __future__ import annotations

from aiolimiter import AsyncLimiter

from benchmarks.peers.peer import ASYNC_ONLY, Decorator, Peer, PlainCall


def waiting_limiter(rate: float, burst: int) -> Decorator:
    limiter = AsyncLimiter(burst, burst / rate)

    def decorate(fn: PlainCall) -> PlainCall:
        async def wrapper(number: int) -> object:
            async with limiter:
                return await fn(number)

        return wrapper

    return decorate


PEER = Peer(
    label="aiolimiter",
    module="aiolimiter",
    distributions=("aiolimiter",),
    waiting_limiter=waiting_limiter,
    kinds={"waiting_limiter": ASYNC_ONLY},
    notes={"waiting_limiter": "one loop, no threads"},
)
