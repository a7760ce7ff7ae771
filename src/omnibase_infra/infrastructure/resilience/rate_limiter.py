"""Rate limiters: by key, of one bucket, and shared by workers; and the factories that read their presets."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final, TypedDict, Unpack

from omnibase_infra.enums import (
    EnumInfraTransportType,
    EnumOnLimit,
    EnumOnStoreFailure,
    EnumPolicyKind,
    EnumRateLimitStrategy,
)
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import checked_count, checked_name
from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule
from omnibase_infra.infrastructure.resilience.shared_rate_limiter import SharedRateLimiter
from omnibase_infra.infrastructure.resilience.token_bucket_limiter import (
    TokenBucketLimiter,
    checked_limits,
    checked_tokens,
    noticeable,
    origin_of_rejections,
    rejection,
)
from omnibase_infra.utils.util_ambient import clock_for, origin_of
from omnibase_infra.utils.util_show_value import short_hash

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelPolicySnapshot

__all__ = [
    "RateLimiter",
    "RateLimiterFactory",
    "SharedRateLimiter",
    "StoreSettings",
    "TokenBucketLimiter",
    "create_api_rate_limiter",
    "create_consul_rate_limiter",
    "create_database_rate_limiter",
    "create_grpc_rate_limiter",
    "create_kafka_rate_limiter",
    "create_network_rate_limiter",
    "create_valkey_rate_limiter",
    "create_vault_rate_limiter",
]

_MAX_KEYS: Final = 1_000_000
"""Keys a `RateLimiter` keeps, at well under 120 bytes each."""

_KEYS_A_SHARD: Final = 2_048
"""Small enough that sweeping or growing one shard stays far below a millisecond."""

_MAX_SHARDS: Final = 256

_ROUND: Final = 60.0
"""Seconds in which traffic, on whatever keys, has every shard swept once."""


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
        self._mask = shards - 1
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
            raise rejection(origin_of_rejections(rate, capacity, self._context, whose), wait)

    def _take(self, key: Hashable, rate: float, capacity: float, tokens: float) -> float | None:
        """Take by the rule; None when granted, else the seconds until it can be."""
        try:
            depth, cost, within = _in_seconds(rate, capacity, tokens)
        except TypeError:  # not to be hashed, so that one of them is no number
            checked_tokens(tokens, checked_limits(rate, capacity).capacity)
            raise
        # A tuple's hash spreads keys that differ in their high bits only, such as ids made from a time.
        shard = self._shards[hash((key,)) & self._mask]
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
                        return noticeable(shard.crowded_until - now, reading)
                full_at = now
            else:
                # After smaller limits, what an earlier rate still owes counts at most as an empty bucket.
                longest = now + depth
                full_at = full_at if full_at < longest else longest
            # `rule.take`, written out: a call less.
            start = full_at if full_at > now else now
            if start - now <= within - cost:
                buckets[key] = start + cost
                return None
            buckets[key] = full_at
            return noticeable(rule.delay(full_at, now, cost, depth), reading)

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


@lru_cache(maxsize=1024, typed=True)
def _in_seconds(rate: float, capacity: float, tokens: float) -> tuple[float, float, float]:
    """Depth and cost of a bucket and its `rule.reach`. A service has few limits: each is checked once.

    Raises:
        ProtocolConfigurationError: When a limit is not usable, or `tokens` is below 1 or beyond the capacity.
    """
    try:
        depth = 1.0 * capacity / rate  # 1.0 does not multiply with a Decimal or a huge int
        cost = 1.0 * tokens / rate
        usable = 1 <= tokens <= capacity and 0 < depth < math.inf and 0 < rate < math.inf
    except (ArithmeticError, TypeError):
        depth = cost = math.nan
        usable = False
    if not usable or tokens is True or rate is True or capacity is True:
        # Asked last, for it brings pydantic with it.
        limits = checked_limits(rate, capacity)
        # Still here: numbers of another kind, such as Decimal.
        depth = limits.capacity / limits.rate
        cost = checked_tokens(tokens, limits.capacity) / limits.rate
    return depth, cost, rule.reach(depth)


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
        profile: str | None = None,
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
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.
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
            profile=profile,
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
    profile: str | None = None,
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
        profile=profile,
        clock=clock,
        sleep=sleep,
        **store,
    )
