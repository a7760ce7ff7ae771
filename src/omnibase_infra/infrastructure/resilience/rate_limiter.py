"""Rate limiters: token buckets by the rule in `rules/token_bucket.py`.

The state of a bucket is one float. It lies in a list of one: whoever pops it owns the bucket until it is put back.
Both are single atomic operations, so threads never see half a decision, and the happy path needs no lock.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypedDict, TypeVar, Unpack

from omnibase_infra.enums import (
    EnumInfraTransportType,
    EnumOnLimit,
    EnumOnStoreFailure,
    EnumPolicyKind,
    EnumRateLimitStrategy,
    EnumResilienceEvent,
)
from omnibase_infra.errors import InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import (
    FOREVER,
    checked_count,
    checked_name,
    checked_seconds,
    refused,
)
from omnibase_infra.infrastructure.resilience.decorate import (
    NamedByUse,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.observers import emit
from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule
from omnibase_infra.infrastructure.resilience.translate import translate, translating_async, translating_sync
from omnibase_infra.utils.util_ambient import clock_for, origin_of, sleep_of
from omnibase_infra.utils.util_correlation import correlation_id_var
from omnibase_infra.utils.util_show_value import short_hash, show_value

if TYPE_CHECKING:
    from omnibase_infra.errors import ModelInfraErrorContext
    from omnibase_infra.infrastructure.resilience.shared_state.shared_limit import Grant
    from omnibase_infra.models.resilience import ModelPolicySnapshot, ModelRateLimitConfig

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_LOST_AFTER: Final = 1_000
"""Looks after which a popped float counts as lost: its owner was killed within the few bytecodes that hold it.

Looks, not seconds: a process that was stopped, or whose owner waits for a turn among many threads, has lost nothing.
"""

_QUICK_LOOKS: Final = 20
"""Looks that only let another thread run; those that follow leave the interpreter to the owner for longer."""

_NAP: Final = 0.001
"""Seconds between two of the later looks."""

_MAX_KEYS: Final = 1_000_000
"""Keys a `RateLimiter` keeps, at well under 120 bytes each."""

_KEYS_A_SHARD: Final = 2_048
"""Small enough that sweeping or growing one shard stays far below a millisecond."""

_MAX_SHARDS: Final = 256

_ROUND: Final = 60.0
"""Seconds in which traffic, on whatever keys, has every shard swept once."""

_SHOWN_BITS: Final = 64


class TokenBucketLimiter(NamedByUse):
    """One token bucket, for use as a decorator or by hand, from any number of tasks, event loops and threads.

    Args:
        rate: Tokens per second; any positive number, fractions too (1/86400 is one a day).
        capacity: Tokens in the full bucket, the largest burst; 1 or more.
        name: Shown in errors. An unnamed limiter takes its transport and the first function it guards.
        transport: Transport of the guarded calls.
        on_limit: As a decorator, reject a call beyond the limit, or have it wait in order.
        timeout: With ``on_limit="wait"``, the longest wait in seconds; None for no bound.
        translate: Raise the function's own failures as ONEX errors too.
        clock: Monotonic time in seconds.
        sleep: Replaces `time.sleep` in `wait`.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    default_name: ClassVar[str] = "rate_limiter"
    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.RATE_LIMITER

    def __init__(
        self,
        rate: float,
        capacity: float,
        name: str | None = None,
        *,
        transport: EnumInfraTransportType | None = None,
        on_limit: EnumOnLimit | str = EnumOnLimit.REJECT,
        timeout: float | None = None,
        translate: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = _checked_limits(rate, capacity)
        if on_limit not in list(EnumOnLimit):
            raise refused("on_limit", on_limit, "'reject' or 'wait'")
        self._on_limit = EnumOnLimit(on_limit)
        self._timeout = checked_seconds("timeout", timeout)
        if timeout is not None and self._on_limit is not EnumOnLimit.WAIT:
            raise ProtocolConfigurationError("timeout: only a limiter with on_limit='wait' waits", parameter="timeout")
        self._name = checked_name(name)
        self.transport = transport
        self._translate = translate
        self._clock = clock_for(self, clock)
        self._sleep = sleep_of(sleep)
        # Counted from here, so that a long uptime does not eat the digits that a high rate needs.
        self._origin = origin_of(self._clock)
        self._depth = self.capacity / self.rate
        self._reach = rule.reach(self._depth)
        self._box = [0.0]
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._queued = 0.0
        # Re-entrant: the garbage collector may close an abandoned waiter's coroutine, which leaves, at any allocation.
        self._queue_lock = threading.RLock()
        # Here, so that the first rejection need not wait for the import.
        from omnibase_infra.errors.model_infra_error_context import call_context

        self._call_context = call_context
        if name is not None:
            registry.enlist(self, self._name)

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self._config.rate

    @property
    def capacity(self) -> float:
        """Tokens in the full bucket."""
        return self._config.capacity

    @property
    def on_limit(self) -> EnumOnLimit:
        """What becomes of a call beyond the limit."""
        return self._on_limit

    @property
    def timeout(self) -> float | None:
        """Longest wait of a call beyond the limit, seconds; None for no bound."""
        return self._timeout

    @property
    def translates(self) -> bool:
        """Whether the function's own failures are raised as ONEX errors too."""
        return self._translate

    @property
    def tokens(self) -> float:
        """Tokens in the bucket now."""
        box, full_at = self._withdraw()
        box.append(full_at)
        return rule.level(full_at, self._now(), self.rate, self.capacity)

    def reset(self) -> None:
        """Fill the bucket. Those who wait notice when the wait that they have begun is over."""
        self._withdraw()[0].append(0.0)

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        return ModelPolicySnapshot(
            kind=self.policy_kind,
            name=self.name,
            transport=self.transport,
            numbers={
                "tokens": self.tokens,
                "rate": self.rate,
                "capacity": self.capacity,
                "waiting": len(self._queue),
            },
        )

    def acquire(self, tokens: float = 1) -> bool:
        """Take tokens if they are there and nobody waits for them; never blocks.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        return self._take(self._cost(tokens))

    def check_limit(self, tokens: float = 1) -> None:
        """Take tokens, or raise.

        Raises:
            InfraRateLimitedError: When they are not there; `retry_after_seconds` says exactly when they are.
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        cost = self._cost(tokens)
        if not self._take(cost):
            raise self._rejection("check_limit", cost)

    def wait(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Block until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        It blocks its thread: on an event loop's thread, use `acquire_async`.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        cost, deadline = self._cost(tokens), self._deadline(timeout)
        if self._take(cost):
            return True
        if self._comes_after(deadline, cost):
            return False
        turn = threading.Event()
        waiter = _Waiter(cost, turn.set)
        try:
            if not self._enter(waiter) and not turn.wait(None if deadline is None else deadline - self._now()):
                return False
            while not self._take(cost, waiter):
                if self._comes_after(deadline, cost):
                    return False
                self._sleep(min(self._delay(cost), FOREVER))
            return True
        finally:
            self._leave(waiter)

    async def acquire_async(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Wait until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        A cancelled waiter leaves the queue and has taken nothing.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        cost, deadline = self._cost(tokens), self._deadline(timeout)
        if self._take(cost):
            return True
        if self._comes_after(deadline, cost):
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        waiter = _Waiter(cost, lambda: loop.call_soon_threadsafe(_settle, turn), loop)
        try:
            if not self._enter(waiter):
                try:
                    async with asyncio.timeout(None if deadline is None else deadline - self._now()):
                        await turn
                except TimeoutError:
                    return False
            while not self._take(cost, waiter):
                if self._comes_after(deadline, cost):
                    return False
                await asyncio.sleep(self._delay(cost))
            return True
        finally:
            self._leave(waiter)

    def quick_take(self) -> Callable[[], bool]:
        """A function that takes one token as `acquire` does, in less time: `rules.token_bucket.take` is written out."""
        clock, origin, queue = self._clock, self._origin, self._queue
        cost = 1 / self.rate
        spare = self._reach - cost

        def take() -> bool:
            now = clock() - origin
            box = self._box
            try:
                full_at = box.pop()
            except IndexError:
                box, full_at = self._withdraw()
            start = full_at if full_at > now else now
            if start - now <= spare and not queue:
                box.append(start + cost)
                return True
            box.append(full_at)
            return bool(queue) and self._take(cost)

        return take

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Limit a coroutine function."""
        operation = self._introduce(fn)
        work = translating_async(fn, partial(self._becomes, operation)) if self._translate else fn
        take = self.quick_take()
        cost = 1 / self.rate
        waits = self._on_limit is EnumOnLimit.WAIT

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if not (take() or (waits and await self.acquire_async(timeout=self._timeout))):
                raise self._rejection(operation, cost)
            return await work(*args, **kwargs)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Limit a plain function."""
        operation = self._introduce(fn)
        work = translating_sync(fn, partial(self._becomes, operation)) if self._translate else fn
        take = self.quick_take()
        cost = 1 / self.rate
        waits = self._on_limit is EnumOnLimit.WAIT

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if not (take() or (waits and self.wait(timeout=self._timeout))):
                raise self._rejection(operation, cost)
            result = work(*args, **kwargs)
            refuse_deferred(fn, result)
            return result

        return call

    def _named(self) -> None:
        registry.enlist(self, None)

    def _now(self) -> float:
        return self._clock() - self._origin

    def _cost(self, tokens: object) -> float:
        return _checked_tokens(tokens, self.capacity) / self.rate

    def _deadline(self, timeout: float | None) -> float | None:
        checked = checked_seconds("timeout", timeout)
        return None if checked is None else self._now() + checked

    def _comes_after(self, deadline: float | None, cost: float) -> bool:
        # A take succeeds as much earlier as the reach is longer than the depth.
        return deadline is not None and self._now() + self._delay(cost) - (self._reach - self._depth) > deadline

    def _withdraw(self) -> tuple[list[float], float]:
        """Take the float out of its box, waiting for the thread that has it."""
        looks = 0
        while True:
            box = self._box
            try:
                return box, box.pop()
            except IndexError:
                looks += 1
            if looks <= _LOST_AFTER:
                time.sleep(0 if looks <= _QUICK_LOOKS else _NAP)
                continue
            looks = 0
            with self._queue_lock:
                if self._box is box:
                    # A new box, begun empty of tokens: should the owner live after all, it returns the float to the
                    # old one, where it does no harm.
                    self._box = [self._now() + self._depth]

    def _take(self, cost: float, waiter: _Waiter | None = None) -> bool:
        """Take by the rule; a caller who does not wait never overtakes one who does."""
        if waiter is None and self._queue and self._somebody_waits():
            return False
        box, full_at = self._withdraw()
        booked = None
        try:
            booked = rule.take(full_at, self._now(), cost, self._reach)
        finally:
            box.append(full_at if booked is None else booked)
        return booked is not None

    def _delay(self, cost: float) -> float:
        box, full_at = self._withdraw()
        box.append(full_at)
        reading = self._clock()
        return _noticeable(rule.delay(full_at, reading - self._origin, cost, self._depth), reading)

    def _enter(self, waiter: _Waiter) -> bool:
        """Join the queue; True when it was empty, so that it is the waiter's turn at once."""
        with self._queue_lock:
            self._queue[waiter] = None
            self._queued += waiter.cost
            return len(self._queue) == 1

    def _leave(self, waiter: _Waiter) -> None:
        """Leave the queue, served or not, and let the next one have its turn."""
        with self._queue_lock:
            if waiter not in self._queue:  # passed over, and closed only now
                return
            had_turn = next(iter(self._queue)) is waiter
            self._strike(waiter)
            if had_turn:
                self._call_next()

    def _somebody_waits(self) -> bool:
        """Whether the queue holds anybody once a head whose event loop was closed is passed over."""
        with self._queue_lock:
            head = next(iter(self._queue), None)
            if head is not None and head.loop is not None and head.loop.is_closed():
                self._call_next()
            return bool(self._queue)

    def _call_next(self) -> None:
        while self._queue:
            head = next(iter(self._queue))
            try:
                head.wake()
            except RuntimeError:  # its event loop was closed under it
                self._strike(head)
            else:
                break

    def _strike(self, waiter: _Waiter) -> None:
        del self._queue[waiter]
        self._queued = self._queued - waiter.cost if self._queue else 0.0

    def _becomes(self, operation: str, exc: Exception) -> BaseException:
        return translate(exc, transport=self.transport, operation=operation, target_name=self._name)

    def _rejection(self, operation: str, cost: float) -> InfraRateLimitedError:
        return _rejected(
            partial(_refusal, self.name, self.rate, self.capacity),
            self._delay(self._queued + cost),
            self._call_context(self.transport, operation, self.name),
        )


class _Waiter:
    __slots__ = ("cost", "loop", "wake")

    def __init__(self, cost: float, wake: Callable[[], object], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.cost = cost
        self.wake = wake
        self.loop = loop


class SharedRateLimiter(TokenBucketLimiter):
    """A limit that the workers of a service share over Redis or Valkey; used as a `TokenBucketLimiter`.

    Each decision is one round trip, atomic on the server and by its clock. While the store is out of reach the limiter
    goes on as `on_store_failure` says; it never raises what the store's client does, but for `reset`.

    With ``on_limit="wait"`` a call books its place on the server and sleeps until exactly then: workers are served in
    the order in which they came, and a cancelled call gives its place back unless somebody stands behind it.

    `acquire`, `check_limit` and `wait` block their thread for the round trip: on an event loop's thread, decorate a
    coroutine function or use `acquire_async`, with ``timeout=0`` for one that does not wait.

    Args:
        config: The limit, with the `storage_uri` of a server.
        name: By which the workers share it, and which is shown in errors.
        transport: Transport of the guarded calls.
        on_limit: As a decorator, reject a call beyond the limit, or have it wait in order.
        timeout: With ``on_limit="wait"``, the longest wait in seconds; None for no bound.
        translate: Raise the function's own failures as ONEX errors too.
        clock: Monotonic time in seconds, of this worker's own part.
        sleep: Replaces `time.sleep` in `wait`.

    Raises:
        ProtocolConfigurationError: When an argument is not usable, or the client for the URI is not installed.
    """

    def __init__(
        self,
        config: ModelRateLimitConfig,
        name: str,
        *,
        transport: EnumInfraTransportType | None = None,
        on_limit: EnumOnLimit | str = EnumOnLimit.REJECT,
        timeout: float | None = None,
        translate: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # `limits` and the client of the store are slow to import, and not needed for a limit of one process.
        from omnibase_infra.infrastructure.resilience.shared_state.shared_limit import SharedLimit

        shown = checked_name(name)
        if shown is None:
            raise refused("name", name, "text that is not blank: by it the workers know the limit that they share")
        self._shared = SharedLimit(config, shown, transport, clock)
        super().__init__(
            config.rate,
            config.capacity,
            name,
            transport=transport,
            on_limit=on_limit,
            timeout=timeout,
            translate=translate,
            clock=clock,
            sleep=sleep,
        )
        if self._on_limit is EnumOnLimit.WAIT and config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET:
            raise ProtocolConfigurationError(
                f"on_limit: a call can wait in order for a token bucket only, not with strategy '{config.strategy}'",
                parameter="on_limit",
            )
        self._config = config

    @property
    def config(self) -> ModelRateLimitConfig:
        """The settings."""
        return self._config

    @property
    def tokens(self) -> float:
        """Tokens in the shared bucket, as this worker last heard of it: no round trip. A window does not tell."""
        return self._shared.level

    @property
    def store_is_up(self) -> bool:
        """Whether the last that was heard of the store was an answer."""
        return self._shared.store_is_up

    def reset(self) -> None:
        """Fill the bucket, for every worker.

        Raises:
            InfraConnectionError, InfraTimeoutError, InfraUnavailableError: When the store cannot be reached.
        """
        try:
            self._shared.reset()
        except Exception as exc:
            valkey = EnumInfraTransportType.VALKEY
            raise translate(exc, transport=valkey, operation="reset", target_name=self._name) from exc

    def close(self) -> None:
        """Close the connections that threads have made; those of an event loop are closed with it."""
        self._shared.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and those that threads have made."""
        await self._shared.aclose()

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as this worker knows them."""
        shown = super().snapshot()
        return shown.model_copy(update={"numbers": {**shown.numbers, "store_is_up": float(self.store_is_up)}})

    def acquire(self, tokens: float = 1) -> bool:
        """Take tokens if they are there and nobody waits for them; blocks for the round trip.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        return self._shared.take(self._whole(tokens)).granted

    def check_limit(self, tokens: float = 1) -> None:
        """Take tokens, or raise.

        Raises:
            InfraRateLimitedError: When they are not there; `retry_after_seconds` says when they are.
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        grant = self._shared.take(self._whole(tokens))
        if not grant.granted:
            raise self._refused("check_limit", grant)

    def wait(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Block until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        grant = self._shared.take(self._whole(tokens), self._patience(timeout))
        if grant.granted and grant.wait:
            self._sleep_until(grant)
        return grant.granted

    async def acquire_async(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Wait until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        grant = await self._shared.take_async(self._whole(tokens), self._patience(timeout))
        if grant.granted and grant.wait:
            await self._sleep_until_async(grant)
        return grant.granted

    def quick_take(self) -> Callable[[], bool]:
        """As `acquire`: there is no quicker way than one round trip."""
        return self.acquire

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Limit a coroutine function."""
        operation = self._introduce(fn)
        work = translating_async(fn, partial(self._becomes, operation)) if self._translate else fn
        take, patience = self._shared.take_async, self._patience_of_calls()

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            grant = await take(1, patience)
            if not grant.granted:
                raise self._refused(operation, grant)
            if grant.wait:
                await self._sleep_until_async(grant)
            return await work(*args, **kwargs)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Limit a plain function."""
        operation = self._introduce(fn)
        work = translating_sync(fn, partial(self._becomes, operation)) if self._translate else fn
        take, patience = self._shared.take, self._patience_of_calls()

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            grant = take(1, patience)
            if not grant.granted:
                raise self._refused(operation, grant)
            if grant.wait:
                self._sleep_until(grant)
            result = work(*args, **kwargs)
            refuse_deferred(fn, result)
            return result

        return call

    def _whole(self, tokens: object) -> float:
        checked = _checked_tokens(tokens, self.capacity)
        if checked % 1 and self._config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET:
            raise ProtocolConfigurationError(
                f"tokens must be a whole number with strategy '{self._config.strategy}', not {show_value(tokens)}",
                parameter="tokens",
            )
        return checked

    def _patience(self, timeout: float | None) -> float:
        if self._config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET and timeout != 0:
            raise refused("timeout", timeout, f"0 with strategy '{self._config.strategy}', which keeps no order")
        checked = checked_seconds("timeout", timeout)
        return FOREVER if checked is None else checked

    def _patience_of_calls(self) -> float:
        return self._patience(self._timeout) if self._on_limit is EnumOnLimit.WAIT else 0.0

    def _sleep_until(self, grant: Grant) -> None:
        try:
            self._sleep(grant.wait)
        except BaseException:
            self._shared.give_back(grant)
            raise

    async def _sleep_until_async(self, grant: Grant) -> None:
        try:
            await asyncio.sleep(grant.wait)
        except asyncio.CancelledError:
            await self._shared.give_back_async(grant)
            raise

    def _refused(self, operation: str, grant: Grant) -> InfraRateLimitedError:
        return _rejected(
            partial(_refusal, self.name, self.rate, self.capacity),
            grant.wait,
            self._call_context(self.transport, operation, self.name),
        )


class _Shard:
    __slots__ = ("buckets", "crowded_until", "lock", "sweep_above")

    def __init__(self) -> None:
        self.buckets: dict[Hashable, float] = {}
        self.lock = threading.Lock()
        self.sweep_above = 0
        self.crowded_until = 0.0

    def sweep(self, now: float, most: int) -> dict[Hashable, float]:
        """Drop the buckets that are full again; the caller holds the lock."""
        self.buckets = kept = {key: full_at for key, full_at in self.buckets.items() if full_at > now}
        self.crowded_until = min(kept.values()) if len(kept) >= most else 0.0
        self.sweep_above = min(most, max(_KEYS_A_SHARD // 16, 2 * len(kept)))
        return kept


class RateLimiter:
    """Token buckets by key: one a user, tenant or address, made when first asked for.

    Memory is bounded. A bucket is dropped only when it is full again, so that no key gets rid of its limit by others
    crowding it out; while every bucket is in use and `max_keys` is reached, calls of new keys are rejected.

    What a bucket keeps is the time until it is full. Under new limits that time stays, as far as their depth,
    ``capacity / rate``, holds it.

    Args:
        name: Shown in errors.
        max_keys: Buckets kept at most; spread over shards, each of which takes its share.
        clock: Monotonic time in seconds.

    Raises:
        ProtocolConfigurationError: When `max_keys` is not a whole number, 1 or more.
    """

    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.RATE_LIMITER

    def __init__(
        self, name: str | None = None, *, max_keys: int = _MAX_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = checked_name(name) or "rate_limiter"
        self.max_keys = checked_count("max_keys", max_keys)
        self._clock = clock_for(self, clock)
        self._origin = origin_of(self._clock)
        shards = 1
        while shards < _MAX_SHARDS and shards * 2 * _KEYS_A_SHARD <= max_keys:
            shards *= 2
        self._shards = tuple(_Shard() for _ in range(shards))
        self._most = max_keys // shards
        self._next_swept = 0
        self._sweep_at = _ROUND / shards
        from omnibase_infra.errors.model_infra_error_context import call_context

        self._context = call_context(None, "check_limit", self.name)
        registry.enlist(self, None if name is None else self.name)

    def __len__(self) -> int:
        """Buckets kept now."""
        return sum(len(shard.buckets) for shard in self._shards)

    def reset(self) -> None:
        """Fill the bucket of each key."""
        for shard in self._shards:
            with shard.lock:
                shard.sweep(math.inf, self._most)
        self._sweep_at = self._clock() - self._origin + _ROUND / len(self._shards)

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        numbers = {"keys": len(self), "max_keys": self.max_keys}
        return ModelPolicySnapshot(kind=self.policy_kind, name=self.name, numbers=numbers)

    def acquire(self, key: Hashable, rate: float, capacity: float, tokens: float = 1) -> bool:
        """Take tokens from the key's bucket if they are there; never blocks. New limits take effect at once.

        Raises:
            ProtocolConfigurationError: When a limit is not usable, or `tokens` is below 1 or beyond the capacity.
        """
        return self._take(key, rate, capacity, tokens) is None

    def check_limit(self, key: Hashable, rate: float, capacity: float, tokens: float = 1) -> None:
        """Take tokens from the key's bucket, or raise.

        Raises:
            InfraRateLimitedError: When they are not there. The key appears only as a short hash.
            ProtocolConfigurationError: When a limit is not usable, or `tokens` is below 1 or beyond the capacity.
        """
        wait = self._take(key, rate, capacity, tokens)
        if wait is not None:
            whose = f" for key #{short_hash(key)}"
            raise _rejected(partial(_refusal, self.name, rate, capacity, whose), wait, self._context)

    def _take(self, key: Hashable, rate: float, capacity: float, tokens: float) -> float | None:
        """Take by the rule; None when granted, else the seconds until it can be."""
        try:
            depth = 1.0 * capacity / rate  # 1.0 does not multiply with a Decimal or a huge int
            cost = 1.0 * tokens / rate
            usable = 1 <= tokens <= capacity and 0 < depth < math.inf and 0 < rate < math.inf
            within = rule.reach(depth)
        except (ArithmeticError, TypeError):
            depth = cost = within = math.nan
            usable = False
        if not usable or tokens is True or rate is True or capacity is True:
            limits = _checked_limits(rate, capacity)
            # Still here: numbers of another kind, such as Decimal.
            depth = limits.capacity / limits.rate
            cost = _checked_tokens(tokens, limits.capacity) / limits.rate
            within = rule.reach(depth)
        # A tuple's hash spreads keys that differ in their high bits only, such as ids made from a time.
        shard = self._shards[hash((key,)) % len(self._shards)]
        with shard.lock:
            reading = self._clock()
            now = reading - self._origin
            if now >= self._sweep_at:
                self._sweep_in_turn(shard, now)
            buckets = shard.buckets
            full_at = buckets.get(key)
            if full_at is None:
                if len(buckets) >= shard.sweep_above:
                    if now >= shard.crowded_until:
                        buckets = shard.sweep(now, self._most)
                    if now < shard.crowded_until:
                        return _noticeable(shard.crowded_until - now, reading)
                full_at = now
            else:
                # After smaller limits, what an earlier rate still owes counts at most as an empty bucket.
                full_at = min(full_at, now + depth)
            booked = rule.take(full_at, now, cost, within)
            if booked is None:
                buckets[key] = full_at
                return _noticeable(rule.delay(full_at, now, cost, depth), reading)
            buckets[key] = booked
            return None

    def _sweep_in_turn(self, held: _Shard, now: float) -> None:
        """Sweep the next shard, whoever's call this is: else the buckets of keys that are gone stay with them."""
        self._sweep_at = now + _ROUND / len(self._shards)
        shard = self._shards[self._next_swept % len(self._shards)]
        self._next_swept += 1
        if shard is held:
            shard.sweep(now, self._most)
        elif shard.lock.acquire(blocking=False):
            try:
                shard.sweep(now, self._most)
            finally:
                shard.lock.release()


def _rejected(describe: Callable[[], str], wait: float, context: ModelInfraErrorContext) -> InfraRateLimitedError:
    name = context.target_name or "rate_limiter"
    emit(
        EnumResilienceEvent.REJECTED,
        policy="rate_limiter",
        name=name,
        transport=context.transport_type,
        operation=context.operation,
        correlation_id=correlation_id_var.get(),
        retry_after_seconds=wait,
    )
    return InfraRateLimitedError.of_policy(describe, context=context, retry_after_seconds=wait, rejected_by=name)


def _refusal(name: str, rate: float, capacity: float, whose: str = "") -> str:
    return f"Rate limit exceeded: '{name}' allows {rate:g}/s and bursts of {capacity:g}{whose}"


def _settle(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _noticeable(wait: float, reading: float) -> float:
    """A wait, long enough for the clock to show its end: floats get coarser than the rule's tolerance as they grow."""
    return wait + max(0.0, 2 * math.ulp(reading) - rule.TOLERANCE) if wait else wait


def _checked_limits(rate: float, capacity: float) -> ModelRateLimitConfig:
    from omnibase_infra.models.resilience import ModelRateLimitConfig

    config = ModelRateLimitConfig(rate=rate, capacity=capacity)
    if not config.capacity / config.rate < math.inf:
        raise ProtocolConfigurationError(
            f"rate = {rate}: must fill the capacity, {capacity:g}, in a time that a float can hold", parameter="rate"
        )
    return config


def _checked_tokens(tokens: object, capacity: float) -> float:
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not 1 <= tokens <= capacity:
        # Not "tokens = …", whose value the sanitiser would take for a secret.
        raise ProtocolConfigurationError(
            f"tokens must be a number from 1 to the capacity, {capacity:.15g}, not {show_value(tokens)}",
            parameter="tokens",
        )
    return tokens


class StoreSettings(TypedDict, total=False):
    """How workers share a limit: what `ModelRateLimitConfig` has beside its two numbers. None is the preset's."""

    storage_uri: str | None
    strategy: EnumRateLimitStrategy | str | None
    on_store_failure: EnumOnStoreFailure | str | None
    store_timeout: float | None
    store_retry_interval: float | None
    workers: int | None
    lease: int | None


class RateLimiterFactory:
    """Builds rate limiters from one section of the presets; every ``create_*_rate_limiter`` is one, or calls one."""

    def __init__(self, section: str, transport: EnumInfraTransportType, rate_name: str = "requests_per_second") -> None:
        self._section = section
        self._transport = transport
        self._names = {"rate": rate_name, "capacity": "burst_capacity"}

    def __call__(
        self,
        requests_per_second: float | None = None,
        burst_capacity: float | None = None,
        name: str | None = None,
        *,
        on_limit: EnumOnLimit | str = EnumOnLimit.REJECT,
        timeout: float | None = None,
        translate: bool = False,
        service: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        **store: Unpack[StoreSettings],
    ) -> TokenBucketLimiter:
        """Build a rate limiter from the preset; every argument given here wins over it.

        Args:
            requests_per_second: Calls per second in the long run, above 0.
            burst_capacity: Calls that may come at once, 1 or more.
            name: Shown in errors.
            on_limit: ``"reject"`` a call beyond the limit, or have it ``"wait"`` in order.
            timeout: With ``"wait"``, the longest wait in seconds; None for no bound.
            translate: Raise the function's own failures as ONEX errors too.
            service: Read ``[services.<service>]`` over the transport's preset.
            clock: Monotonic time in seconds.
            sleep: Replaces `time.sleep` where a plain function waits.
            **store: The `storage_uri` of a server makes it a `SharedRateLimiter`, which the workers know by its name,
                else its service. The further settings are those of `ModelRateLimitConfig`.

        Raises:
            ProtocolConfigurationError: When a setting is wrong.
        """
        # Presets bring pydantic models, which are slow to import and not needed before the first factory call.
        from omnibase_infra.models.resilience import ModelRateLimitConfig
        from omnibase_infra.presets import resolve

        given: dict[str, object] = {"rate": requests_per_second, "capacity": burst_capacity, **store}
        overrides = {key: value for key, value in given.items() if value is not None}
        config = resolve(
            self._section,
            "rate_limit",
            ModelRateLimitConfig,
            service=service,
            overrides=overrides,
            names=self._names,
        )
        if config.is_shared:
            shared_name = service if name is None else name
            if shared_name is None:
                raise ProtocolConfigurationError(
                    "name: is required with a storage_uri: by it the workers know the limit that they share",
                    parameter="name",
                )
            return SharedRateLimiter(
                config,
                shared_name,
                transport=self._transport,
                on_limit=on_limit,
                timeout=timeout,
                translate=translate,
                clock=clock,
                sleep=sleep,
            )
        return TokenBucketLimiter(
            config.rate,
            config.capacity,
            name,
            transport=self._transport,
            on_limit=on_limit,
            timeout=timeout,
            translate=translate,
            clock=clock,
            sleep=sleep,
        )


create_api_rate_limiter: Final = RateLimiterFactory("api", EnumInfraTransportType.HTTP)
create_network_rate_limiter: Final = RateLimiterFactory("network", EnumInfraTransportType.HTTP)
create_kafka_rate_limiter: Final = RateLimiterFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_rate_limiter: Final = RateLimiterFactory("vault", EnumInfraTransportType.VAULT)
create_consul_rate_limiter: Final = RateLimiterFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_rate_limiter: Final = RateLimiterFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_rate_limiter: Final = RateLimiterFactory("grpc", EnumInfraTransportType.GRPC)

_database: Final = RateLimiterFactory("database", EnumInfraTransportType.DATABASE, "queries_per_second")


def create_database_rate_limiter(
    queries_per_second: float | None = None,
    burst_capacity: float | None = None,
    name: str | None = None,
    *,
    on_limit: EnumOnLimit | str = EnumOnLimit.REJECT,
    timeout: float | None = None,
    translate: bool = False,
    service: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    **store: Unpack[StoreSettings],
) -> TokenBucketLimiter:
    """As every `RateLimiterFactory`, with the rate under its own name: queries per second."""
    return _database(
        queries_per_second,
        burst_capacity,
        name,
        on_limit=on_limit,
        timeout=timeout,
        translate=translate,
        service=service,
        clock=clock,
        sleep=sleep,
        **store,
    )
