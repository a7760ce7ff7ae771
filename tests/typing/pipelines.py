"""What the type checkers see of a pipeline: the function as it was, and typed policies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import assert_type

from omnibase_infra.infrastructure.resilience import (
    Fallback,
    ResiliencePipeline,
    Timeout,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_resilience,
    create_database_retry_policy,
    create_kafka_resilience,
    create_network_resilience,
    create_stale_cache,
    resilience,
)
from omnibase_infra.models.resilience import ModelPipelineExplanation


@create_database_resilience(service="orders")
async def execute_query(sql: str, *, limit: int = 10) -> list[str]:
    return [sql] * limit


def nothing(key: int) -> bytes:
    return b""


def topic_of(topic: str) -> str:
    return topic


@create_network_resilience(fallback=nothing, breaker_scope="call", total_timeout=40, rate_limiter=None)
async def fetch(key: int) -> bytes:
    return b""


@create_kafka_resilience(
    fallback=create_stale_cache(),
    circuit_breaker=create_database_circuit_breaker(key=topic_of),
    total_timeout=Timeout(60),
)
def send(topic: str) -> int | None:
    return None


@resilience(
    Fallback(value=None),
    Timeout(30),
    create_database_retry_policy(),
    create_database_circuit_breaker(),
    create_database_rate_limiter(),
    Timeout(5),
    name="orders",
)
async def rows(n: int) -> AsyncGenerator[int, str]:
    yield n


class Repository:
    pipeline = create_database_resilience()

    @pipeline
    async def get(self, key: int) -> str:
        return str(key)


def explained(pipeline: ResiliencePipeline) -> ModelPipelineExplanation:
    assert_type(pipeline.describe(), str)
    return pipeline.explain()


async def main() -> None:
    assert_type(await execute_query("select 1", limit=1), list[str])
    assert_type(await fetch(1), bytes)
    assert_type(send("orders"), int | None)
    assert_type(await Repository().get(1), str)
    items: AsyncIterator[int] = rows(1)
    assert_type([item async for item in items], list[int])
    task = asyncio.create_task(execute_query("select 1"))
    assert_type(await task, list[str])
    guarded: Callable[[int], Coroutine[object, None, bytes]] = fetch
    assert_type(await guarded(1), bytes)
    assert_type(await create_database_resilience().call(fetch, 1), bytes)
    assert_type(explained(create_database_resilience()).worst_case_seconds, float | None)
