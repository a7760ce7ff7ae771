"""One rate limit for many workers: asks the store, leases from it, and goes on without it when it must."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from omnibase_infra.enums import EnumOnStoreFailure, EnumRateLimitStrategy
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule
from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Place, Request
from omnibase_infra.infrastructure.resilience.shared_state.helper_threads import HelperThreads
from omnibase_infra.infrastructure.resilience.shared_state.limit_counters import (
    AsyncCounter,
    Counter,
    async_counter,
    counter,
    window,
)
from omnibase_infra.infrastructure.resilience.shared_state.limit_storages import LoopStorage, storages_for, within
from omnibase_infra.infrastructure.resilience.shared_state.memory_buckets import MemoryBuckets
from omnibase_infra.infrastructure.resilience.shared_state.store_health import StoreHealth

if TYPE_CHECKING:
    from limits.storage import RedisStorage

    from omnibase_infra.enums import EnumInfraTransportType
    from omnibase_infra.models.resilience import ModelRateLimitConfig

_LONGEST_DEPTH: Final = 1e9
"""Seconds: what the store's clock can count without losing a microsecond, some thirty years."""


class Grant(NamedTuple):
    """An answer, and what it takes to give the tokens back.

    Attributes:
        granted: Whether the tokens are the caller's.
        wait: Seconds until they may be used; when not granted, until it is worth asking again.
        tokens: How many.
        place: Where they are booked; None when they cannot be given back.
        is_local: Whether in this worker's own bucket.
    """

    granted: bool
    wait: float = 0.0
    tokens: float = 0.0
    place: Place | None = None
    is_local: bool = False


_AT_ONCE: Final = Grant(granted=True)


class SharedLimit:
    """The limit of one name. Safe under threads, tasks, event loops and forks; never raises for what the store does.

    Args:
        config: Its numbers, with a `storage_uri` that is a store's.
        name: By which the workers know it.
        transport: Transport of the guarded calls, for events.
        clock: Monotonic time in seconds, of this worker's own part.

    Raises:
        ProtocolConfigurationError: When the store's URI, or the numbers for its strategy, cannot be used.
    """

    def __init__(
        self,
        config: ModelRateLimitConfig,
        name: str,
        transport: EnumInfraTransportType | None,
        clock: Callable[[], float],
    ) -> None:
        if config.storage_uri is None:
            raise ProtocolConfigurationError("storage_uri: is required", parameter="storage_uri")
        self._config = config
        self._name = name
        self._transport = transport
        self._clock = clock
        self._key = f"rate-limit:{name}"
        self._unit = 1 / config.rate
        self._depth = config.capacity / config.rate
        if not self._depth <= _LONGEST_DEPTH:
            raise ProtocolConfigurationError(
                f"rate = {config.rate:g}: must fill the capacity, {config.capacity:g}, within {_LONGEST_DEPTH:g} s",
                parameter="rate",
            )
        self._own_unit = self._unit * config.workers
        self._own_depth = max(self._depth, self._own_unit)  # its part of the capacity, and at least one token
        self._leases = config.lease > 1 and config.strategy is EnumRateLimitStrategy.TOKEN_BUCKET
        uri = config.storage_uri.get_secret_value()
        # Until the next look at a store, connecting to it may take.
        connect_timeout = max(config.store_timeout, config.store_retry_interval)
        self._storages = storages_for(uri, config.store_timeout, connect_timeout)
        if config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET:
            window(config)
        if "+cluster" not in uri:  # whose client connects when it is made
            self._try_uri()
        self._counter: tuple[RedisStorage, Counter] | None = None
        self._counters: WeakKeyDictionary[LoopStorage, AsyncCounter] = WeakKeyDictionary()
        self._begin()
        _everyone.add(self)

    @property
    def store_is_up(self) -> bool:
        """Whether the last that was heard of the store was an answer."""
        return self._health.is_up

    @property
    def level(self) -> float:
        """Tokens in the bucket, as this worker last heard of it: no round trip."""
        return rule.level(self._full_at, self._clock(), self._config.rate, self._config.capacity)

    def take(self, tokens: float, patience: float = 0.0) -> Grant:
        """Take tokens, or book a place for them that comes within `patience` seconds. Blocks for one round trip."""
        if self._stock and self._spend(tokens):
            return _AT_ONCE
        extra = self._begin_lease() if self._leases else 0
        try:
            if self._health.may_try():
                grant = self._ask(tokens, self._request(tokens, patience, extra))
                if grant is not None:
                    return grant
        finally:
            if extra:
                self._is_leasing = False
        return self._without_store(tokens, patience)

    async def take_async(self, tokens: float, patience: float = 0.0) -> Grant:
        """As `take`. A caller cancelled during the round trip may have spent its tokens, as if it had made its call."""
        if self._stock and self._spend(tokens):
            return _AT_ONCE
        extra = self._begin_lease() if self._leases else 0
        try:
            if self._health.may_try():
                grant = await self._ask_async(tokens, self._request(tokens, patience, extra))
                if grant is not None:
                    return grant
        finally:
            if extra:
                self._is_leasing = False
        return self._without_store(tokens, patience)

    def give_back(self, grant: Grant) -> None:
        """Give back tokens that are not used, unless somebody has booked after them."""
        place = grant.place
        if place is None or self._gave_back_locally(grant, place):
            return

        def work() -> None:
            try:
                self._blocking().give_back(self._key, grant.tokens * self._unit, self._depth, place)
            except Exception as error:
                self._health.lost(error)

        self._helpers.run(work)

    async def give_back_async(self, grant: Grant) -> None:
        """As `give_back`."""
        if grant.place is None or self._gave_back_locally(grant, grant.place):
            return
        held = await self._storages.of_loop()
        try:
            with within(self._storages.timeout):
                await self._of_loop(held).give_back(self._key, grant.tokens * self._unit, self._depth, grant.place)
        except Exception as error:
            self._health.lost(error)

    def reset(self) -> None:
        """Begin anew, for every worker. Raises what the store's client does."""
        with self._lock:  # first, so that no lease from before outlives what comes next
            self._stock = 0
            self._resets += 1
        self._blocking().clear(self._key)
        self._health.answered()
        self._local.clear(self._key)
        self._full_at = self._clock()

    def close(self) -> None:
        """Close the connections of threads; the next call makes new ones."""
        self._storages.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop too."""
        await self._storages.aclose()

    def forget(self) -> None:
        """In a forked worker: what is leased, and who holds a lock, stays with the parent."""
        self._begin()

    def _begin(self) -> None:
        config = self._config
        self._lock = threading.Lock()
        self._stock = 0
        self._is_leasing = False
        self._resets: int = 0
        self._full_at = self._heard_at = self._clock()
        self._helpers = HelperThreads(self._storages.timeout)
        self._local: MemoryBuckets = MemoryBuckets(max_keys=1, clock=self._clock)
        self._health: StoreHealth = StoreHealth(
            "rate_limiter", self._name, self._transport, config.store_retry_interval, self._clock
        )

    def _try_uri(self) -> None:
        try:
            self._storages.prepare()
        except Exception as error:
            # The client's own sentence may quote the URI, which may hold a password.
            reason = type(error).__qualname__
        else:
            return
        raise ProtocolConfigurationError(f"storage_uri: the client refuses it ({reason})", parameter="storage_uri")

    def _blocking(self) -> Counter:
        storage = self._storages.blocking()
        with self._lock:
            known = self._counter
            if known is None or known[0] is not storage:
                self._counter = known = (storage, counter(self._config, storage))
            return known[1]

    def _of_loop(self, held: LoopStorage) -> AsyncCounter:
        found = self._counters.get(held)
        if found is None:
            self._counters[held] = found = async_counter(self._config, held.storage, held.places)
        return found

    def _ask(self, tokens: float, request: Request) -> Grant | None:
        """The store's answer; None when it gave none in time.

        Over a connection that is at hand, that is when the answer is read. Else a helper thread connects first: nothing
        bounds how long looking up a name and greeting a server take together.
        """
        known, resets = self._counter, self._resets
        if known is not None and known[0] is self._storages.made:
            try:
                booking = known[1].take_if_connected(self._key, request, self._storages.timeout)
            except Exception as error:
                self._health.lost(error)
                return None
            if booking is not None:
                return self._noted(booking, tokens, resets)

        def work() -> Grant | None:
            try:
                booking = self._blocking().take(self._key, request)
            except Exception as error:
                self._health.lost(error)
                return None
            return self._noted(booking, tokens, resets)

        return self._helpers.run(work)

    async def _ask_async(self, tokens: float, request: Request) -> Grant | None:
        """The store's answer; None when it gave none in time."""
        held: LoopStorage | None = None
        began, resets = self._clock(), self._resets
        try:
            held = await self._storages.of_loop()
            if held.was_left and held.is_connecting:
                return None
            with within(self._storages.timeout):
                if not held.is_connected:
                    await held.connect()
                booking = await self._of_loop(held).take(self._key, request)
            return self._noted(booking, tokens, resets)
        except Exception as error:
            if held is not None and held.is_connecting:
                held.was_left = True  # it goes on, and is used once it is there
            elif not isinstance(error, TimeoutError) or self._heard_at <= began:
                if held is not None:
                    held.is_connected = False
                self._health.lost(error)
            # Else others were answered meanwhile: this event loop asks for more than it can read in time.
        return None

    def _request(self, tokens: float, patience: float, extra: int) -> Request:
        return Request(tokens * self._unit, self._depth, patience, self._unit, extra)

    def _spend(self, tokens: float) -> bool:
        """Take from what was leased."""
        with self._lock:
            if tokens > self._stock or tokens % 1:
                return False
            self._stock -= int(tokens)
            return True

    def _begin_lease(self) -> int:
        """How many tokens more to take. One caller at a time: so a worker never holds more than one lease."""
        with self._lock:
            if self._is_leasing or self._stock:
                return 0
            self._is_leasing = True
            return self._config.lease - 1

    def _noted(self, booking: Booking, tokens: float, resets: int) -> Grant:
        self._health.answered()
        self._heard_at = now = self._clock()
        self._full_at = now + booking.full_in
        if booking.extra:
            with self._lock:
                if resets == self._resets:  # else they lay in a bucket that is no more
                    self._stock += booking.extra
        if booking.granted:
            # In step, so that a store that is lost does not hand every worker a second burst.
            self._local.note(self._key, (tokens + booking.extra) * self._own_unit, self._own_depth)
        return Grant(booking.granted, booking.wait, tokens, booking.place)

    def _without_store(self, tokens: float, patience: float) -> Grant:
        if self._config.on_store_failure is EnumOnStoreFailure.OPEN:
            return _AT_ONCE
        if self._config.on_store_failure is EnumOnStoreFailure.CLOSED:
            return Grant(granted=False, wait=self._health.retry_seconds)
        cost = tokens * self._own_unit
        # Beyond what a worker's part holds: let it pass from a full bucket, which then fills up the longer.
        beyond = max(0.0, cost - self._own_depth)
        booking = self._local.take(self._key, Request(cost, self._own_depth, max(beyond, patience)))
        return Grant(booking.granted, max(0.0, booking.wait - beyond), tokens, booking.place, is_local=True)

    def _gave_back_locally(self, grant: Grant, place: Place) -> bool:
        if grant.is_local:
            self._local.give_back(self._key, grant.tokens * self._own_unit, self._own_depth, place)
        return grant.is_local


_everyone: Final[WeakSet[SharedLimit]] = WeakSet()


def _forget_all() -> None:
    for limit in list(_everyone):
        limit.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
