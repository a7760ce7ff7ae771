"""One retry budget for several policies of one target."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import pytest
from tests.support.retries import Clock
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraConnectionError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    RetryBudget,
    create_database_hedge,
    create_database_retry_policy,
    create_network_retry_policy,
)
from omnibase_infra.models.resilience import ModelRetryBudgetConfig


def budget_of(retries: float, *, ratio: float = 0.0, clock: Clock | None = None) -> RetryBudget:
    config = ModelRetryBudgetConfig(ratio=ratio, min_per_second=retries / 10, window=10)
    return RetryBudget(config, name="orders", clock=clock or Clock())


def test_a_budget_tells_its_name_and_its_numbers():
    time = Clock()
    budget = budget_of(2, ratio=0.5, clock=time)
    for _ in range(4):
        budget.count_call()
    assert [budget.spend() for _ in range(5)] == [True] * 4 + [False]
    assert (budget.name, budget.calls, budget.retries, budget.balance) == ("orders", 4, 4, 0)
    assert (budget.granted, budget.refused) == (4, 1)
    time.now += 20
    assert (budget.calls, budget.retries, budget.balance) == (0, 0, 2)
    assert (budget.granted, budget.refused) == (4, 1)


def test_reading_the_numbers_counts_nothing():
    budget = budget_of(2, ratio=1)
    budget.count_call()
    assert [(budget.calls, budget.retries, budget.balance) for _ in range(3)] == [(1, 0, 3)] * 3


def test_a_budget_needs_no_name_but_no_blank_one():
    assert RetryBudget().name is None
    with pytest.raises(ProtocolConfigurationError, match="name = "):
        RetryBudget(name="")


def test_a_name_is_cleaned_of_secrets():
    name = RetryBudget(name="postgresql://svc:hunter2@db/orders").name
    assert name is not None
    assert "hunter2" not in name


def test_a_hedge_spends_what_the_retries_have_left():
    async def main() -> None:
        budget = RetryBudget(ModelRetryBudgetConfig(ratio=0, min_per_second=0.3, window=10), clock=clock)
        sent = 0

        async def query() -> None:
            nonlocal sent
            sent += 1
            await asyncio.sleep(0.1)
            raise ConnectionError

        retried = create_database_retry_policy(3, 0, 0, retry_budget=budget, clock=clock)(query)
        hedge = create_database_hedge(0.05, None, idempotent=True, retry_budget=budget, clock=clock)
        hedged = hedge(query)
        with pytest.raises(InfraConnectionError):
            await retried()  # two of three
        assert (sent, budget.balance) == (3, 1)
        for total in (5, 6, 7):
            with pytest.raises(ConnectionError):
                await hedged()
            assert sent == total
        assert (hedge.hedged, budget.refused) == (1, 2)
        with pytest.raises(InfraConnectionError) as caught:
            await retried()
        assert caught.value.retry_count == 1
        assert isinstance(caught.value.__cause__, ConnectionError)

    run(main())


def test_a_hedge_that_the_budget_refuses_is_not_asked_for_again():
    async def main() -> None:
        budget = RetryBudget(ModelRetryBudgetConfig(ratio=0, min_per_second=0), clock=clock)

        @create_database_hedge(1, None, idempotent=True, max_hedges=5, retry_budget=budget)
        async def query() -> str:
            await asyncio.sleep(10)
            return "rows"

        assert await query() == "rows"
        assert clock() == 10
        assert budget.refused == 1

    run(main())


@pytest.mark.parametrize(("counts_calls", "calls"), [(True, 20), (False, 10)])
def test_a_hedge_within_a_retry_of_the_same_budget_leaves_the_counting_to_it(counts_calls, calls):
    async def main() -> int:
        budget = RetryBudget(clock=clock)

        @create_network_retry_policy(retry_budget=budget, clock=clock)
        @create_database_hedge(idempotent=True, retry_budget=budget, counts_calls=counts_calls, clock=clock)
        async def query() -> None: ...

        for _ in range(10):
            await query()
        return budget.calls

    assert run(main()) == calls


def test_threads_together_never_get_more_than_the_budget_and_lose_no_call():
    time = Clock()
    budget = budget_of(50, ratio=0.1, clock=time)
    gate = threading.Barrier(8)
    granted = [0] * 8

    def work(me: int) -> None:
        gate.wait()
        for _ in range(500):
            budget.count_call()
            granted[me] += budget.spend()
            _ = budget.balance, budget.calls

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.calls == 4000
    assert sum(granted) == budget.granted == budget.retries == 50 + 400
    assert budget.granted + budget.refused == 4000


def test_what_is_spread_evenly_keeps_every_call_and_leaves_the_window_bit_by_bit():
    time = Clock()
    budget = budget_of(0, ratio=1, clock=time)
    for _ in range(97):
        budget.count_call()
    time.now = 10
    left = []
    for _ in range(12):
        left.append(budget.calls)
        time.now += 1
    assert left[0] == 97
    assert left[-1] == 0
    assert all(0 <= before - after <= 10 for before, after in pairwise(left))
