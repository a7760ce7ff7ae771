"""What most services put together: circuitbreaker over tenacity over aiolimiter."""

from __future__ import annotations

from benchmarks.peers import aiolimiter, circuitbreaker, tenacity
from benchmarks.peers.peer import ASYNC_ONLY, BURST, RATE, Decorator, Peer, stacked


def stack() -> Decorator:
    return stacked(circuitbreaker.breaker(60.0), tenacity.retry(), aiolimiter.waiting_limiter(RATE, BURST))


PEER = Peer(
    label="popular parts",
    module="tenacity, circuitbreaker, aiolimiter",
    distributions=("tenacity", "circuitbreaker", "aiolimiter"),
    stack=stack,
    kinds={"stack": ASYNC_ONLY},
    notes={"stack": "tenacity, circuitbreaker, aiolimiter: no lock, no half-open limit, no budget; the limiter waits"},
)
