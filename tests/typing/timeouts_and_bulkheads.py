"""What the type checkers see of a function under a timeout or a bulkhead: exactly the function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import assert_type

from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    Timeout,
    create_database_bulkhead,
    create_database_timeout,
)


@create_database_bulkhead(max_concurrent=5, max_queue=10, max_wait=0.5, service="orders")
@create_database_timeout(2.5, abandon=True)
async def execute_query(sql: str, *, limit: int = 10) -> list[str]:
    return [sql] * limit


@Bulkhead(5)
@Timeout(1, abandon=True)
def plain(key: int) -> str:
    return str(key)


@Timeout(1)
async def rows(n: int) -> AsyncGenerator[int, str]:
    yield n


async def results() -> None:
    assert_type(await execute_query("SELECT 1", limit=3), list[str])
    assert_type(asyncio.create_task(execute_query("SELECT 1")), asyncio.Task[list[str]])
    assert_type(plain(1), str)
    assert_type(rows(1), AsyncGenerator[int, str])
    assert_type(await Timeout(1).call(execute_query, "SELECT 1"), list[str])
    assert_type(Bulkhead(1).call(plain, 1), str)
    assert_type(create_database_timeout().seconds, float)
    assert_type(create_database_bulkhead().in_flight, int)


async def blocks() -> None:
    with Bulkhead(1):
        pass
    async with create_database_bulkhead():
        pass


async def wrong_arguments_are_still_wrong() -> None:
    await execute_query(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain("key")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Timeout(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
