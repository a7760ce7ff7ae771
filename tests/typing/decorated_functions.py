"""What the type checkers see of a decorated function: exactly the function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Literal, assert_type

from omnibase_infra.infrastructure.resilience import (
    TokenBucketLimiter,
    create_api_rate_limiter,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)


@create_database_circuit_breaker()
@create_database_retry_policy()
@create_database_rate_limiter()
async def execute_query(sql: str, *, limit: int = 10) -> list[str]:
    return [sql] * limit


@create_database_circuit_breaker(failure_threshold=3, recovery_timeout=30, name="typed")
async def with_a_breaker(key: int) -> Literal["row"]:
    return "row"


@create_database_retry_policy(max_attempts=5, min_wait=0.1, max_wait=1)
async def with_a_retry(key: int) -> str | None:
    return None


@create_api_rate_limiter(requests_per_second=10.0, burst_capacity=20)
async def with_a_limiter(key: int) -> tuple[int, str]:
    return key, ""


@TokenBucketLimiter(10, 20)
async def with_a_bucket() -> None:
    pass


@create_database_circuit_breaker()
@create_database_retry_policy()
@create_database_rate_limiter()
def plain(sql: str, *, limit: int = 10) -> list[str]:
    return [sql] * limit


@create_database_circuit_breaker()
@create_database_retry_policy()
@create_database_rate_limiter()
def rows(n: int) -> Generator[int, str, bytes]:
    sent = yield n
    return sent.encode()


@create_database_circuit_breaker()
@create_database_retry_policy()
@create_database_rate_limiter()
async def async_rows(n: int) -> AsyncGenerator[int, str]:
    yield n


@create_database_retry_policy()
def iterated(n: int) -> Iterator[int]:
    yield n


@create_database_retry_policy()
async def async_iterated(n: int) -> AsyncIterator[int]:
    yield n


async def awaited_results() -> None:
    assert_type(await execute_query("SELECT 1", limit=3), list[str])
    assert_type(await with_a_breaker(1), Literal["row"])
    assert_type(await with_a_retry(1), str | None)
    assert_type(await with_a_limiter(key=1), tuple[int, str])
    assert_type(await with_a_bucket(), None)
    assert_type(plain("SELECT 1"), list[str])


async def tasks_are_typed() -> None:
    task = asyncio.create_task(execute_query("SELECT 1"))
    assert_type(task, asyncio.Task[list[str]])
    assert_type(await asyncio.gather(with_a_limiter(1), with_a_retry(2)), tuple[tuple[int, str], str | None])
    assert_type(await asyncio.wait_for(execute_query("SELECT 1"), 1), list[str])
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(with_a_retry(1)), asyncio.Task[str | None])


async def generators_keep_what_they_yield_take_and_return() -> None:
    assert_type(rows(1), Generator[int, str, bytes])
    assert_type(async_rows(1), AsyncGenerator[int, str])
    assert_type(list(iterated(1)), list[int])
    assert_type([row async for row in async_iterated(1)], list[int])


def a_decorated_function_fits_where_the_function_fitted() -> None:
    fits: Callable[[str], Coroutine[object, None, list[str]]] = execute_query
    assert_type(asyncio.run(fits("SELECT 1")), list[str])


async def wrong_arguments_are_still_wrong() -> None:
    await execute_query(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await execute_query("SELECT 1", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    plain(limit=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await with_a_limiter(other=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
