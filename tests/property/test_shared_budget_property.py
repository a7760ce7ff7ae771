"""One budget for all that repeats calls to a target: in an outage they stay within the share together."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.virtual_time import clock, run

from omnibase_infra.infrastructure.resilience import (
    Hedge,
    RetryBudget,
    create_database_hedge,
    create_database_retry_policy,
    create_network_retry_policy,
)
from omnibase_infra.models.resilience import ModelRetryBudgetConfig

WINDOW = 10.0
# (seconds since the step before, whose calls, how many)
STEPS = st.lists(st.tuples(st.floats(0, 8), st.integers(0, 3), st.integers(1, 20)), min_size=1, max_size=12)


@pytest.fixture(autouse=True, scope="module")
def _unlogged():
    logger = logging.getLogger("omnibase_infra.resilience")
    logger.disabled = True
    yield
    logger.disabled = False


@settings(max_examples=60)
@given(ratio=st.floats(0, 1), floor=st.sampled_from([0.0, 0.1, 1.0, 5.0]), steps=STEPS)
def test_two_retries_and_two_hedges_of_one_target_repeat_no_more_than_the_share_of_all_its_calls(ratio, floor, steps):
    async def main() -> None:
        budget = RetryBudget(
            ModelRetryBudgetConfig(ratio=ratio, min_per_second=floor, window=WINDOW), name="orders", clock=clock
        )
        calls = sent = 0
        repeats: list[float] = []
        spend = budget.spend

        def watched() -> bool:
            granted = spend()
            if granted:
                repeats.append(clock())
                recent = sum(then > clock() - 0.9 * WINDOW for then in repeats)
                assert recent <= floor * WINDOW + ratio * calls + 1e-6
            return granted

        budget.spend = watched

        async def query() -> None:
            nonlocal sent
            sent += 1
            await asyncio.sleep(0.5)
            raise ConnectionError

        first = create_database_retry_policy(4, 0.1, 2, retry_budget=budget, clock=clock)
        second = create_network_retry_policy(retry_budget=budget, clock=clock)
        alone: Hedge = create_database_hedge(0.2, None, idempotent=True, max_hedges=2, retry_budget=budget, clock=clock)
        within = Hedge(0.2, idempotent=True, retry_budget=budget, counts_calls=False, clock=clock)
        faces = (first(query), second(query), alone(query), first(within(query)))

        async def call(face: int) -> None:
            with pytest.raises(ConnectionError):
                await faces[face]()

        async with asyncio.TaskGroup() as tasks:
            for gap, face, times in steps:
                await asyncio.sleep(gap)
                calls += times
                for _ in range(times):
                    tasks.create_task(call(face))
        assert sent == calls + len(repeats)
        assert budget.granted == len(repeats)
        assert within.hedged + alone.hedged <= budget.granted
        assert budget.calls <= calls

    run(main())
