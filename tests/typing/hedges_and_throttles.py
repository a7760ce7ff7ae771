"""What the type checkers see of a hedged or throttled function: exactly the function."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import assert_type

from omnibase_infra.infrastructure.resilience import (
    AdaptiveThrottle,
    Hedge,
    RetryBudget,
    create_database_adaptive_throttle,
    create_database_hedge,
    create_database_retry_policy,
)

budget = RetryBudget(name="orders")


@create_database_retry_policy(retry_budget=budget)
@create_database_hedge(idempotent=True, retry_budget=budget, counts_calls=False)
@create_database_adaptive_throttle()
async def execute_query(sql: str, *, limit: int = 10) -> list[str]:
    return [sql] * limit


@Hedge(0.05, idempotent=True)
async def rows(n: int) -> AsyncGenerator[int, None]:
    yield n


@AdaptiveThrottle(multiplier=1.5)
def plain(key: int) -> str | None:
    return None


hedged: Callable[[int], AsyncGenerator[int, None]] = rows
assert_type(plain(1), str | None)
assert_type(create_database_hedge(idempotent=True), Hedge)
assert_type(create_database_adaptive_throttle(), AdaptiveThrottle)
assert_type((budget.name, budget.calls, budget.retries, budget.balance), tuple[str | None, int, int, float])


async def calls() -> None:
    assert_type(await execute_query("select 1", limit=3), list[str])
    assert_type([row async for row in rows(1)], list[int])
    assert_type(await Hedge(0.1, idempotent=True).call(execute_query, "select 1"), list[str])
