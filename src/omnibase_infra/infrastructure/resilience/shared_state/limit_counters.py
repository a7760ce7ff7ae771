"""The ways in which a store counts calls, under one face: our token bucket, and the windows of `limits`."""

from __future__ import annotations

import time
from asyncio import Semaphore
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from omnibase_infra.enums import EnumRateLimitStrategy
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Place, Request

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.storage import RedisStorage as AsyncRedisStorage
    from limits.aio.strategies import RateLimiter as AsyncWindow
    from limits.storage import RedisStorage
    from limits.strategies import RateLimiter as Window

    from omnibase_infra.models.resilience import ModelRateLimitConfig


class Counter(Protocol):
    """Counts for threads."""

    def take(self, key: str, request: Request) -> Booking:
        """Take tokens, or say when to ask again."""
        ...

    def take_if_connected(self, key: str, request: Request, timeout: float) -> Booking | None:
        """As `take`, in one round trip over a connection that is at hand; None when that cannot be.

        Raises:
            TimeoutError: When no answer has come after `timeout` seconds.
        """
        ...

    def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:
        """Give back what was taken, if nobody has taken since; whether it was."""
        ...

    def clear(self, key: str) -> None:
        """Begin anew."""
        ...


class AsyncCounter(Protocol):
    """Counts for an event loop."""

    async def take(self, key: str, request: Request) -> Booking:
        """Take tokens, or say when to ask again."""
        ...

    async def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:
        """Give back what was taken, if nobody has taken since; whether it was."""
        ...


def counter(config: ModelRateLimitConfig, storage: RedisStorage) -> Counter:
    """The configured strategy on a storage."""
    if config.strategy is EnumRateLimitStrategy.TOKEN_BUCKET:
        from omnibase_infra.infrastructure.resilience.shared_state.script_buckets import ScriptBuckets

        return ScriptBuckets(storage)
    from limits.strategies import STRATEGIES

    strategies: Mapping[str, Callable[[RedisStorage], Window]] = STRATEGIES
    return _WindowCounter(strategies[_IN_LIMITS[config.strategy]](storage), window(config))


def async_counter(config: ModelRateLimitConfig, storage: AsyncRedisStorage, places: Semaphore) -> AsyncCounter:
    """The configured strategy on a storage; calls that need a connection each take one of the `places`."""
    if config.strategy is EnumRateLimitStrategy.TOKEN_BUCKET:
        from omnibase_infra.infrastructure.resilience.shared_state.script_buckets import AsyncScriptBuckets

        return AsyncScriptBuckets(storage, places)
    from limits.aio.strategies import STRATEGIES

    strategies: Mapping[str, Callable[[AsyncRedisStorage], AsyncWindow]] = STRATEGIES
    return _AsyncWindowCounter(strategies[_IN_LIMITS[config.strategy]](storage), window(config), places)


def window(config: ModelRateLimitConfig) -> RateLimitItem:
    """As many calls as the capacity in the time that the rate takes for them; `limits` counts in whole seconds.

    Raises:
        ProtocolConfigurationError: When either is no whole number.
    """
    from limits import RateLimitItemPerSecond

    seconds = round(config.capacity / config.rate)
    if config.capacity % 1 or seconds < 1 or abs(seconds * config.rate - config.capacity) > _ROUNDING * config.capacity:
        raise ProtocolConfigurationError(
            f"capacity = {config.capacity:g}: with strategy '{config.strategy}' must be a whole number of calls, and "
            f"what the rate, {config.rate:g}/s, allows in whole seconds",
            parameter="capacity",
        )
    return RateLimitItemPerSecond(int(config.capacity), seconds)


_ROUNDING: Final = 1e-9

_IN_LIMITS: Final = {
    EnumRateLimitStrategy.FIXED_WINDOW: "fixed-window",
    EnumRateLimitStrategy.MOVING_WINDOW: "moving-window",
    EnumRateLimitStrategy.SLIDING_WINDOW: "sliding-window-counter",
}


class _WindowCounter:
    """A refusal costs a second round trip: only then is asked when the window moves on."""

    def __init__(self, strategy: Window, item: RateLimitItem) -> None:
        self._strategy = strategy
        self._item = item

    def take(self, key: str, request: Request) -> Booking:
        if self._strategy.hit(self._item, key, cost=_calls(request)):
            return Booking(granted=True)
        return _refused(self._strategy.get_window_stats(self._item, key).reset_time)

    def take_if_connected(self, key: str, request: Request, timeout: float) -> Booking | None:  # noqa: ARG002
        return None  # only its client knows

    def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:  # noqa: ARG002
        return False

    def clear(self, key: str) -> None:
        self._strategy.clear(self._item, key)


class _AsyncWindowCounter:
    """As the one for threads."""

    def __init__(self, strategy: AsyncWindow, item: RateLimitItem, places: Semaphore) -> None:
        self._strategy = strategy
        self._item = item
        self._places = places

    async def take(self, key: str, request: Request) -> Booking:
        async with self._places:
            if await self._strategy.hit(self._item, key, cost=_calls(request)):
                return Booking(granted=True)
            return _refused((await self._strategy.get_window_stats(self._item, key)).reset_time)

    async def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:  # noqa: ARG002
        return False


def _calls(request: Request) -> int:
    return round(request.cost / request.unit)


def _refused(reset_time: float) -> Booking:
    # `limits` tells times as the system's clock does.
    return Booking(granted=False, wait=max(0.0, reset_time - time.time()))
