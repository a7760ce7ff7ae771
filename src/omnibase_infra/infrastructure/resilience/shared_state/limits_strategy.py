"""The token bucket for users of `limits`: importing this module registers the strategy ``"token-bucket"`` there.

It works on every Redis and Valkey storage of `limits`: blocking and asyncio, single, Sentinel and Cluster, with
redis-py, valkey-py and coredis. In memory it has storages of its own, ``onex-memory://`` and ``async+onex-memory://``,
which are bounded and do no work in the background.

::

    import omnibase_infra.infrastructure.resilience.shared_state.limits_strategy  # registers
    from limits import parse, storage, strategies

    limiter = strategies.STRATEGIES["token-bucket"](storage.storage_from_string("valkey://localhost:6379"))
    limiter.hit(parse("100/second"), "tenant-7")

A limit of 100/second is a bucket of 100 tokens that fills up in a second.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import ClassVar, Final, Protocol, cast

from limits import strategies
from limits.aio import strategies as async_strategies
from limits.aio.storage import RedisStorage as AsyncRedisStorage
from limits.aio.storage import Storage as AsyncStorage
from limits.limits import RateLimitItem
from limits.storage import RedisStorage, Storage, StorageTypes
from limits.util import WindowStats

from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Request
from omnibase_infra.infrastructure.resilience.shared_state.memory_buckets import MemoryBuckets
from omnibase_infra.infrastructure.resilience.shared_state.script_buckets import AsyncScriptBuckets, ScriptBuckets

NAME: Final = "token-bucket"


class _Buckets(Protocol):
    def take(self, key: str, request: Request) -> Booking: ...


class _AsyncBuckets(Protocol):
    async def take(self, key: str, request: Request) -> Booking: ...


class BucketMemoryStorage(Storage):
    """Token buckets, and nothing else, in the memory of this process."""

    STORAGE_SCHEME: ClassVar[list[str]] = ["onex-memory"]  # type: ignore[misc]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_: float | str | bool) -> None:  # noqa: FBT001, FBT002
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.buckets: Final = MemoryBuckets()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """None: memory does not fail."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counters are for windows."""
        raise NotImplementedError(_ONLY_BUCKETS)

    def get(self, key: str) -> int:
        """Counters are for windows."""
        raise NotImplementedError(_ONLY_BUCKETS)

    def get_expiry(self, key: str) -> float:
        """Counters are for windows."""
        raise NotImplementedError(_ONLY_BUCKETS)

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int | None:
        """Fill every bucket."""
        return self.buckets.reset()

    def clear(self, key: str) -> None:
        """Fill one bucket."""
        self.buckets.clear(key)


class AsyncBucketMemoryStorage(AsyncStorage):
    """Token buckets, and nothing else, in the memory of this process."""

    STORAGE_SCHEME: ClassVar[list[str]] = ["async+onex-memory"]  # type: ignore[misc]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_: float | str | bool) -> None:  # noqa: FBT001, FBT002
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.buckets: Final = MemoryBuckets()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """None: memory does not fail."""
        return ()

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counters are for windows."""
        raise NotImplementedError(_ONLY_BUCKETS)

    async def get(self, key: str) -> int:
        """Counters are for windows."""
        raise NotImplementedError(_ONLY_BUCKETS)

    async def get_expiry(self, key: str) -> float:
        """Counters are for windows."""
        raise NotImplementedError(_ONLY_BUCKETS)

    async def check(self) -> bool:
        """Memory is always there."""
        return True

    async def reset(self) -> int | None:
        """Fill every bucket."""
        return self.buckets.reset()

    async def clear(self, key: str) -> None:
        """Fill one bucket."""
        self.buckets.clear(key)


class TokenBucketRateLimiter(strategies.RateLimiter):
    """The strategy for blocking storages."""

    def __init__(self, storage: StorageTypes) -> None:
        self._buckets: _Buckets
        if isinstance(storage, BucketMemoryStorage):
            self._buckets = storage.buckets
        elif isinstance(storage, RedisStorage):
            self._buckets = ScriptBuckets(storage)
        else:
            raise NotImplementedError(_no_buckets(storage))
        super().__init__(storage)

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take `cost` tokens if they are there."""
        return self._buckets.take(_key(item, identifiers), _request(item, cost)).granted

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether a hit would be granted."""
        return _level(item, self._look(item, identifiers)) >= cost

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """When the bucket is full, seconds since 1970, and the whole tokens in it."""
        return _stats(item, self._look(item, identifiers))

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Fill the bucket."""
        self.storage.clear(_key(item, identifiers))

    def _look(self, item: RateLimitItem, identifiers: tuple[str, ...]) -> Booking:
        return self._buckets.take(_key(item, identifiers), _request(item, 0))


class AsyncTokenBucketRateLimiter(async_strategies.RateLimiter):
    """The strategy for asyncio storages."""

    def __init__(self, storage: StorageTypes) -> None:
        self._buckets: _AsyncBuckets
        if isinstance(storage, AsyncBucketMemoryStorage):
            self._buckets = _Awaited(storage.buckets)
        elif isinstance(storage, AsyncRedisStorage):
            self._buckets = AsyncScriptBuckets(storage)
        else:
            raise NotImplementedError(_no_buckets(storage))
        super().__init__(storage)

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take `cost` tokens if they are there."""
        return (await self._buckets.take(_key(item, identifiers), _request(item, cost))).granted

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether a hit would be granted."""
        return _level(item, await self._look(item, identifiers)) >= cost

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """When the bucket is full, seconds since 1970, and the whole tokens in it."""
        return _stats(item, await self._look(item, identifiers))

    async def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Fill the bucket."""
        await self.storage.clear(_key(item, identifiers))

    async def _look(self, item: RateLimitItem, identifiers: tuple[str, ...]) -> Booking:
        return await self._buckets.take(_key(item, identifiers), _request(item, 0))


class _Awaited:
    """Buckets in memory, with the face of those that are awaited."""

    def __init__(self, buckets: MemoryBuckets) -> None:
        self._buckets = buckets

    async def take(self, key: str, request: Request) -> Booking:
        return self._buckets.take(key, request)


_ONLY_BUCKETS: Final = f"this storage keeps token buckets only: use the strategy {NAME!r}"

_ROUNDING: Final = 1e-6
"""Tokens: far more than the rule's tolerance, far less than one."""


def _no_buckets(storage: object) -> str:
    return f"the strategy {NAME!r} is not implemented for storage of type {type(storage)}"


def _key(item: RateLimitItem, identifiers: tuple[str, ...]) -> str:
    # A key of its own: under another strategy the item's own key holds something else.
    return f"{item.key_for(*identifiers)}/{NAME}"


def _request(item: RateLimitItem, cost: int) -> Request:
    if cost < 0:
        raise refused("cost", cost, "0 or more")
    depth = float(item.get_expiry())
    return Request(cost * depth / item.amount, depth)


def _level(item: RateLimitItem, booking: Booking) -> float:
    return item.amount * (1 - booking.full_in / item.get_expiry()) + _ROUNDING


def _stats(item: RateLimitItem, booking: Booking) -> WindowStats:
    # `limits` tells times as the system's clock does.
    return WindowStats(time.time() + booking.full_in, max(0, int(_level(item, booking))))


cast("MutableMapping[str, type[strategies.RateLimiter]]", strategies.STRATEGIES)[NAME] = TokenBucketRateLimiter
cast("MutableMapping[str, type[async_strategies.RateLimiter]]", async_strategies.STRATEGIES)[NAME] = (
    AsyncTokenBucketRateLimiter
)
