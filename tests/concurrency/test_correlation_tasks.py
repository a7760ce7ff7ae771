"""Hundreds of tasks, each with an id of its own, retried, cancelled and sent to threads: no id is ever mixed up."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import pytest
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraConnectionError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import CorrelationContext, extract_http, get_attempt, get_correlation_id, inject_http

TASKS = 300


def test_three_hundred_retrying_tasks_keep_their_ids_and_numbers() -> None:
    events: list[ModelResilienceEvent] = []

    async def main() -> None:
        rng = random.Random(7)

        @create_database_circuit_breaker(failure_threshold=10**6, clock=clock)
        @create_database_retry_policy(max_attempts=4, retry_budget=None, clock=clock, rng=rng.random)
        @create_database_rate_limiter(1e6, 10**6, clock=clock)
        async def load(mine: UUID, seen: list[int]) -> None:
            assert get_correlation_id() == mine
            seen.append(get_attempt())
            await asyncio.sleep(rng.random())
            assert get_correlation_id() == mine
            assert get_attempt() == len(seen)
            raise ConnectionError

        async def request(mine: UUID) -> None:
            seen: list[int] = []
            with CorrelationContext(extract_http(inject_http(None, mine))):
                with pytest.raises(InfraConnectionError) as caught:
                    await load(mine, seen)
                assert get_attempt() == 1
            assert caught.value.correlation_id == mine
            assert seen == [1, 2, 3, 4]
            assert get_correlation_id() is None

        await asyncio.gather(*(request(uuid4()) for _ in range(TASKS)))

    remove = add_observer(events.append, inline=True)
    try:
        run(main())
    finally:
        remove()
    numbers: dict[UUID | None, list[int | None]] = {}
    for event in events:
        numbers.setdefault(event.correlation_id, []).append(event.attempt)
    assert len(numbers) == TASKS
    assert all(heard == [1, 2, 3, 4] for heard in numbers.values())


@pytest.mark.parametrize("seed", range(10))
def test_tasks_cancelled_at_any_moment_leave_neither_id_nor_number(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)

        @create_database_retry_policy(max_attempts=9, retry_budget=None, clock=clock, rng=rng.random)
        async def load() -> None:
            await asyncio.sleep(rng.random())
            raise ConnectionError

        async def worker() -> tuple[UUID | None, int]:
            try:
                with CorrelationContext():
                    await load()
            except (asyncio.CancelledError, InfraConnectionError):
                return get_correlation_id(), get_attempt()
            raise AssertionError

        tasks = [asyncio.create_task(worker()) for _ in range(100)]
        for task in tasks:
            await asyncio.sleep(rng.random() / 5)
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        begun = [outcome for outcome in done if not isinstance(outcome, asyncio.CancelledError)]
        assert set(begun) == {(None, 1)}
        assert len(begun) > 50

    run(main())


def test_an_attempt_takes_its_id_and_number_into_tasks_and_threads() -> None:
    async def main() -> None:
        def facts() -> tuple[UUID | None, int]:
            return get_correlation_id(), get_attempt()

        async def child() -> tuple[UUID | None, int]:
            await asyncio.sleep(0)
            return facts()

        async def request(mine: UUID) -> None:
            attempts: list[int] = []

            @create_database_retry_policy(min_wait=0, max_wait=0)
            async def load() -> None:
                attempts.append(get_attempt())
                found = await asyncio.gather(child(), asyncio.to_thread(facts), asyncio.create_task(child()))
                assert set(found) == {(mine, len(attempts))}
                if len(attempts) < 3:
                    raise ConnectionError

            with CorrelationContext(mine):
                await load()
            assert attempts == [1, 2, 3]

        await asyncio.gather(*(request(uuid4()) for _ in range(100)))

    asyncio.run(main())
