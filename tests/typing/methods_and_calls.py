"""What the type checkers see of decorated methods, of `call`, and of the policies used by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import assert_type

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind
from omnibase_infra.infrastructure.resilience import (
    CircuitBreaker,
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    RateLimiter,
    TokenBucketLimiter,
    classify,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)

breaker = create_database_circuit_breaker()
retry = create_database_retry_policy()
limiter = create_database_rate_limiter()

assert_type(breaker, InfrastructureCircuitBreaker)
assert_type(retry, InfrastructureRetryPolicy)
assert_type(limiter, TokenBucketLimiter)
assert_type(CircuitBreaker(), InfrastructureCircuitBreaker)


class Repository:
    @breaker
    @retry
    @limiter
    async def fetch(self, key: int, *, strict: bool = True) -> str:
        return str(key)

    @retry
    def fetch_now(self, key: int) -> bytes:
        return b""

    @classmethod
    @breaker
    async def connect(cls, host: str) -> bool:
        return bool(host)

    @staticmethod
    @limiter
    async def ping(host: str) -> float:
        return float(len(host))

    @breaker
    async def rows(self, n: int) -> AsyncGenerator[int]:
        yield n

    @property
    @retry
    def size(self) -> int:
        return 0


class Fetch:
    async def __call__(self, key: int) -> str:
        return str(key)


async def methods() -> None:
    repository = Repository()
    assert_type(await repository.fetch(1, strict=False), str)
    assert_type(asyncio.create_task(repository.fetch(1)), asyncio.Task[str])
    assert_type(repository.fetch_now(1), bytes)
    assert_type(await Repository.connect("db"), bool)
    assert_type(await Repository.ping("db"), float)
    assert_type([row async for row in repository.rows(3)], list[int])
    assert_type(repository.size, int)
    await repository.fetch("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def add(a: int, b: int = 0) -> int:
    return a + b


async def add_async(a: int, b: int = 0) -> int:
    return a + b


async def calls() -> None:
    assert_type(breaker.call(add, 1, b=2), int)
    assert_type(await breaker.call(add_async, 1, b=2), int)
    assert_type(await breaker.call_async(add_async, 1), int)
    assert_type(retry.call(add, 1), int)
    assert_type(await retry.call(add_async, 1), int)
    assert_type(limiter.call(add, 1), int)
    assert_type(await limiter.call(add_async, 1), int)
    breaker.call(add, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def other_callables() -> None:
    assert_type(await breaker(Fetch())(1), str)
    assert_type(retry(lambda: 1.5)(), float)
    assert_type(await retry(partial(add_async, 1))(), int)


async def by_hand() -> None:
    with breaker as entered:
        assert_type(entered, InfrastructureCircuitBreaker)
    async with breaker as entered:
        assert_type(entered, InfrastructureCircuitBreaker)
    assert_type(breaker.state, EnumCircuitState)
    assert_type(breaker.failure_threshold, int)
    assert_type(breaker.recovery_timeout, float)
    assert_type(breaker.failure_count, int)
    assert_type(limiter.acquire(), bool)
    assert_type(await limiter.acquire_async(timeout=1), bool)
    assert_type(limiter.wait(timeout=1), bool)
    assert_type(limiter.tokens, float)
    assert_type(RateLimiter().acquire("user", 1, 1), bool)
    assert_type(retry.max_attempts, int)
    assert_type(classify(ValueError()), EnumFailureKind)
