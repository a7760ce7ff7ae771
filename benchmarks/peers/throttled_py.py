"""GCRA, the token bucket's twin: its own token bucket counts on a clock of whole seconds."""

from __future__ import annotations

import inspect
from datetime import timedelta

import throttled
from throttled import asyncio as throttled_async

from benchmarks.peers.peer import KEY_BURST, KEY_SECONDS, Decorator, Peer, PlainCall, Take


def _decorator(rate: float, burst: int, wait: float | None) -> Decorator:
    def decorate(fn: PlainCall) -> PlainCall:
        flavour = throttled_async if inspect.iscoroutinefunction(fn) else throttled
        whole = rate if rate >= 1 else 1
        quota = flavour.per_duration(timedelta(seconds=whole / rate), limit=int(whole), burst=burst)
        return flavour.Throttled(key="orders", using="gcra", quota=quota, store=flavour.MemoryStore(), timeout=wait)(fn)

    return decorate


def limiter(rate: float, burst: int) -> Decorator:
    return _decorator(rate, burst, None)


def waiting_limiter(rate: float, burst: int) -> Decorator:
    return _decorator(rate, burst, 3600.0)


def keyed_limiter(keys: int) -> Take:
    limited = throttled_async.Throttled(
        using="gcra",
        quota=throttled_async.per_duration(timedelta(seconds=KEY_SECONDS), limit=1, burst=KEY_BURST),
        store=throttled_async.MemoryStore(options={"MAX_SIZE": 2 * keys}),
    )

    async def take(key: str) -> bool:
        return not (await limited.limit(key)).limited

    return take


PEER = Peer(
    label="throttled-py",
    module="throttled",
    distributions=("throttled-py",),
    limiter=limiter,
    waiting_limiter=waiting_limiter,
    keyed_limiter=keyed_limiter,
    notes={
        "limiter": "",
        "waiting_limiter": "each waiter sleeps and asks again; no order",
        "keyed_limiter": "drops limited keys when full",
    },
)
