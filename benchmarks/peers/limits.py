"""The sliding window counter in memory: it has no token bucket, and its other windows cost more, or reset at once."""

from __future__ import annotations

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage as AsyncMemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter as AsyncWindow
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter as Window

from benchmarks.peers.peer import KEY_BURST, KEY_SECONDS, Decorator, Peer, Take, rejecting


def limiter(rate: float, burst: int) -> Decorator:
    item = RateLimitItemPerSecond(burst, max(1, round(burst / rate)))
    hit, hit_async = Window(MemoryStorage()).hit, AsyncWindow(AsyncMemoryStorage()).hit
    return rejecting(lambda: hit(item, "orders"), lambda: hit_async(item, "orders"))


def keyed_limiter(_keys: int) -> Take:
    window, item = AsyncWindow(AsyncMemoryStorage()), RateLimitItemPerSecond(KEY_BURST, KEY_BURST * KEY_SECONDS)

    async def take(key: str) -> bool:
        return await window.hit(item, key)

    return take


PEER = Peer(
    label="limits",
    module="limits.aio.strategies",
    distributions=("limits",),
    limiter=limiter,
    keyed_limiter=keyed_limiter,
    notes={"limiter": "a sliding window of whole seconds, no token bucket", "keyed_limiter": "unbounded; a window"},
)
