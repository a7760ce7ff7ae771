"""A cancelled call ends at once, at whatever await it was, and is never retried."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import tenacity
from tests.support.garbage import garbage_of_async
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    RetryBudget,
    create_database_retry_policy,
)
from omnibase_infra.models.resilience import ModelRetryBudgetConfig
from omnibase_infra.utils import get_correlation_id

EVERYTHING = tenacity.retry_if_exception_type(BaseException)


def policy(**settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"clock": loop_clock, "rng": lambda: 0.0, **settings})


async def cancelled_at(work: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Cancel a call after that many seconds; it must end at once, with the very cancellation."""

    async def call() -> None:
        try:
            await work()
        finally:
            assert get_correlation_id() is None

    task = asyncio.create_task(call())
    await asyncio.sleep(seconds)
    assert not task.done()
    before = loop_clock()
    task.cancel("by the caller")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("by the caller",)
    assert task.cancelled()
    assert loop_clock() == before


SETTINGS = [
    {},
    {"max_elapsed": 1000},
    {"retry": EVERYTHING},
    {"retry": tenacity.retry_always, "max_elapsed": 1000},
    {"retry": lambda state: True, "stop": tenacity.stop_never},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        (0.0, 1),  # in the first attempt
        (9.0, 1),
        (10.5, 1),  # in the first wait
        (12.0, 2),  # in the second attempt
        (21.5, 2),  # in the second wait
        (23.0, 3),  # in the third attempt
    ],
)
def test_a_call_cancelled_in_an_attempt_or_in_a_wait_ends_at_once_and_is_not_retried(settings, seconds, calls):
    async def main() -> None:
        made = 0

        @policy(**settings)
        async def query() -> None:
            nonlocal made
            made += 1
            await asyncio.sleep(10)
            raise ConnectionError

        await cancelled_at(query, seconds)
        await asyncio.sleep(100)
        assert made == calls

    run(main())


@pytest.mark.parametrize("place", ["retry", "wait", "stop", "before_sleep", "sleep"])
def test_a_call_cancelled_in_an_async_strategy_ends_at_once(place: str):
    async def main() -> None:
        made = 0

        async def hang(asked: object) -> bool:
            await asyncio.sleep(3600)
            return True

        @policy(**{place: hang})
        async def query() -> None:
            nonlocal made
            made += 1
            raise ConnectionError

        await cancelled_at(query, 1)
        assert made == 1

    run(main())


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_cancellation_that_the_function_raises_itself_gets_out_unchanged(settings):
    async def main() -> None:
        made = 0
        cancellation = asyncio.CancelledError("from a cancelled channel")

        @policy(**settings)
        async def query() -> None:
            nonlocal made
            made += 1
            if made == 2:
                raise cancellation
            raise ConnectionError

        with pytest.raises(asyncio.CancelledError) as caught:
            await query()
        assert caught.value is cancellation
        assert made == 2

    run(main())


def test_a_cancellation_at_the_very_end_of_max_elapsed_is_not_taken_for_a_timeout():
    async def main() -> None:
        @policy(max_elapsed=5)
        async def query() -> None:
            await asyncio.sleep(3600)

        task = asyncio.create_task(query())
        asyncio.get_running_loop().call_at(5, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_an_outer_timeout_is_the_callers_and_not_the_retrys():
    async def main() -> None:
        made = 0

        @policy(max_elapsed=1000)
        async def query() -> None:
            nonlocal made
            made += 1
            await asyncio.sleep(3600)

        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(5):
                await query()
        assert type(caught.value) is TimeoutError
        assert (made, loop_clock()) == (1, 5)

    run(main())


def test_a_cancelled_wait_has_spent_its_one_retry_and_leaves_the_budget_whole_otherwise():
    async def main() -> None:
        budget = RetryBudget(ModelRetryBudgetConfig(ratio=0, min_per_second=1, window=10), clock=loop_clock)

        @policy(retry_budget=budget)
        async def query() -> None:
            raise ConnectionError

        await cancelled_at(query, 0.5)
        assert budget.balance == 9
        with pytest.raises(ConnectionError):
            await query()
        assert budget.balance == 7

    run(main())


def test_a_cancelled_call_leaves_no_cyclic_garbage():
    async def main() -> None:
        @policy()
        async def query() -> None:
            await asyncio.sleep(0)
            raise ConnectionError

        async def cancelled() -> None:
            task = asyncio.create_task(query())
            await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.wait([task])
            del task

        assert await garbage_of_async(cancelled) == 0

    run(main())


def test_a_call_closed_in_another_context_than_it_ran_in_closes_quietly():
    async def main() -> None:
        @policy()
        async def query() -> None:
            raise ConnectionError

        work = query()
        loop = asyncio.get_running_loop()
        pending: list[object] = []

        async def begin() -> None:
            pending.append(work.send(None))  # up to the wait, as a task would, but in a context of its own

        await loop.create_task(begin())
        work.close()
        assert get_correlation_id() is None

    run(main())
