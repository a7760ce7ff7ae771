"""The retry budget: retries stay within a share of the calls, above a floor."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from tests.support.retries import Caller, Clock, Script, call_coroutine, call_plain

from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    RetryBudget,
    create_database_retry_policy,
    create_kafka_retry_policy,
)
from omnibase_infra.infrastructure.resilience.rules.budget import Budget, balance, spend
from omnibase_infra.models.resilience import ModelRetryBudgetConfig

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])


def policy(clock: Clock, **settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"clock": clock, "sleep": lambda seconds: None, "rng": lambda: 0.0, **settings})


def small(clock: Clock, *, ratio: float = 0.0, floor: float = 0.2, window: float = 10) -> RetryBudget:
    return RetryBudget(ModelRetryBudgetConfig(ratio=ratio, min_per_second=floor, window=window), clock=clock)


def fail(guarded: Callable[..., object]) -> int:
    with pytest.raises(InfraConnectionError) as caught:
        guarded()
    assert caught.value.retry_count is not None
    return caught.value.retry_count


def test_a_budget_is_on_by_default():
    built = policy(Clock())
    assert built.budget is not None
    assert built.budget.config == ModelRetryBudgetConfig(ratio=0.1, min_per_second=10, window=10)
    assert policy(Clock()).budget is not built.budget


def test_by_default_a_full_outage_is_met_with_the_floor_and_a_tenth_of_the_calls():
    script = Script(ConnectionError)
    guarded = policy(Clock())(script)
    for _ in range(1000):
        fail(guarded)
    assert script.calls == 1000 + 10 * 10 + 1000 // 10


def test_without_a_budget_every_call_gets_all_its_attempts():
    script = Script(ConnectionError)
    guarded = policy(Clock(), retry_budget=None)(script)
    for _ in range(1000):
        fail(guarded)
    assert script.calls == 3000


@both_kinds
def test_a_spent_budget_ends_the_call_with_the_real_last_error(call: Caller):
    clock = Clock()
    budget = small(clock, floor=0.1)
    last = TimeoutError("the last")
    with pytest.raises(InfraTimeoutError) as caught:
        call(policy(clock, retry_budget=budget), Script(ConnectionError, last))
    assert caught.value.__cause__ is last
    assert caught.value.retry_count == 2
    assert caught.value.rejected_by is None


@both_kinds
def test_the_budget_is_asked_before_the_wait_and_a_refused_retry_waits_for_nothing(call: Caller):
    clock, told = Clock(), []
    retry = policy(clock, retry_budget=small(clock, floor=0.1), sleep=clock.sleep, before_sleep=told.append)
    with pytest.raises(InfraConnectionError):
        call(retry, Script(ConnectionError))
    assert (clock.waits, len(told)) == ([1], 1)


@pytest.mark.parametrize(
    "settings",
    [{"max_attempts": 1}, {"max_elapsed": 0.5}, {"retry": lambda state: False}, {"stop": lambda state: True}],
)
def test_nothing_is_spent_on_a_retry_that_is_not_made(settings):
    clock = Clock()
    budget = small(clock)
    fail(policy(clock, retry_budget=budget, **settings)(Script(ConnectionError)))
    assert budget.balance == 2


def test_a_shared_budget_is_spent_by_all_its_policies():
    clock = Clock()
    budget = small(clock)  # two retries
    orders = policy(clock, retry_budget=budget)(Script(ConnectionError))
    events = create_kafka_retry_policy(retry_budget=budget, clock=clock, sleep=lambda seconds: None)(
        Script(ConnectionError)
    )
    assert budget.balance == 2
    assert [fail(orders), fail(events), fail(orders)] == [3, 1, 1]
    assert budget.balance == 0


def test_a_budget_of_its_own_may_be_given_as_settings():
    config = ModelRetryBudgetConfig(ratio=0, min_per_second=0.2, window=10)
    guarded = policy(Clock(), retry_budget=config)(Script(ConnectionError))
    assert [fail(guarded), fail(guarded)] == [3, 1]


def test_successful_calls_earn_retries_by_the_ratio():
    clock = Clock()
    budget = small(clock, ratio=0.1, floor=0)
    guarded = policy(clock, retry_budget=budget)(Script("rows"))
    for _ in range(50):
        guarded()
    assert budget.balance == pytest.approx(5)


def test_reading_the_balance_counts_no_call():
    clock = Clock()
    budget = small(clock, ratio=1, floor=0)
    assert [budget.balance for _ in range(5)] == [0] * 5
    budget.count_call()
    assert [budget.balance for _ in range(5)] == [1] * 5


def test_a_budget_of_nothing_allows_no_retry():
    clock = Clock()
    guarded = policy(clock, retry_budget=small(clock, floor=0))(Script(ConnectionError))
    assert fail(guarded) == 1


def test_spent_retries_come_back_when_they_have_left_the_window():
    clock = Clock()
    budget = small(clock)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    clock.now = 8.9
    assert not budget.spend()
    clock.now = 10.1
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_calls_that_have_left_the_window_earn_no_retries():
    clock = Clock()
    budget = small(clock, ratio=0.1, floor=0)
    for _ in range(100):
        budget.count_call()
    assert budget.balance == pytest.approx(10)
    clock.now = 10.1
    assert budget.balance == 0


def test_a_long_healthy_stretch_earns_no_more_than_its_last_window():
    clock = Clock()
    budget = small(clock, ratio=0.1, floor=0)
    for _ in range(360_000):  # an hour at 100 calls a second, with nobody asking
        budget.count_call()
    clock.now = 3600
    assert budget.balance == pytest.approx(0.1 * 100 * 10)


def test_calls_count_from_when_the_budget_was_made_not_from_the_clocks_own_beginning():
    clock = Clock(1e6)
    budget = small(clock, ratio=0.1, floor=0)
    for _ in range(100):
        budget.count_call()
    clock.now += 5
    assert budget.balance == pytest.approx(10)


def test_the_calls_of_a_healthy_stretch_leave_the_window_one_after_another():
    state = Budget(ratio=1.0, min_per_second=0.0, window=10.0, asked_at=0.0)
    left = [balance(state, 10_000, 1000.0), *(balance(state, 0, 1000.0 + after) for after in range(1, 11))]
    assert left[0] == pytest.approx(100, abs=1)
    assert left[-1] == 0
    assert all(0 <= before - after <= 20 for before, after in pairwise(left))


def test_calls_made_since_a_recent_question_all_count():
    state = Budget(ratio=1.0, min_per_second=0.0, window=10.0, asked_at=0.0)
    for second in range(1, 100):
        assert balance(state, 0, float(second)) == 0
    assert balance(state, 50, 100.0) == 50


def test_a_clock_that_stands_still_counts_every_call():
    state = Budget(ratio=0.5, min_per_second=0.0, window=10.0, asked_at=5.0)
    assert balance(state, 10, 5.0) == 5
    assert spend(state, 0, 5.0)
    assert balance(state, 0, 5.0) == 4
