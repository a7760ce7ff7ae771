"""300 tasks through the whole pipeline against a dependency that hangs, resets, throttles and recovers."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections import Counter

import pytest
from tests.support.virtual_time import VirtualTimeLoop, clock

from omnibase_infra.errors import InfraRateLimitedError, ModelOnexError
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    Fallback,
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    RetryBudget,
    Timeout,
    TokenBucketLimiter,
    resilience,
)
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelRetryBudgetConfig, ModelRetryConfig

TASKS = 300
SECONDS = 30.0
_ENDS = {"answered", "fallback", "caller", "failed", "cancelled"}


class Dependency:
    """Healthy, hanging, resetting and throttling in turn, for times that the seed decides; healthy at last."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.under_way = 0
        self.most_under_way = 0
        self.requests = 0
        self.course = [(at, rng.choice(["healthy", "hangs", "resets", "throttles"])) for at in range(0, 30, 3)]

    def mood(self) -> str:
        return next((mood for at, mood in reversed(self.course) if clock() >= at), "healthy")

    async def answer(self, number: int) -> int:
        self.requests += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.rng.uniform(0.0, 0.2))
            match self.mood():
                case "hangs":
                    await asyncio.sleep(1_000)
                case "resets":
                    raise ConnectionResetError
                case "throttles":
                    raise InfraRateLimitedError("slow down", retry_after_seconds=self.rng.uniform(0.0, 1.0))
                case _:
                    if self.rng.random() < 0.02:
                        raise ValueError("of the caller's own making")
            return number
        finally:
            self.under_way -= 1


async def chaos(seed: int) -> None:
    rng = random.Random(seed)
    dependency = Dependency(rng)
    breaker = InfrastructureCircuitBreaker(
        ModelCircuitBreakerConfig(
            failure_threshold=5, recovery_timeout=2.0, success_threshold=2, half_open_max_calls=2
        ),
        clock=clock,
        rng=rng.random,
    )
    limiter = TokenBucketLimiter(40, 20, on_limit=rng.choice(["wait", "reject"]), timeout=None, clock=clock)
    bulkhead = Bulkhead(8, 10, 0.5)
    total, attempt = Timeout(6.0), Timeout(0.7)
    retry = InfrastructureRetryPolicy(
        ModelRetryConfig(max_attempts=3, min_wait=0.05, max_wait=1.0),
        budget=RetryBudget(ModelRetryBudgetConfig(ratio=0.2, min_per_second=5.0, window=10.0), clock=clock),
        clock=clock,
        rng=rng.random,
    )
    fell_back = 0

    async def instead(number: int) -> int:
        nonlocal fell_back
        fell_back += 1
        await asyncio.sleep(0.01)
        return -number

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these settings waste on purpose
        guard = resilience(Fallback(instead), total, retry, breaker, limiter, bulkhead, attempt)
    guarded = guard(dependency.answer)

    async def call(number: int) -> str:
        try:
            answer = await guarded(number)
        except ModelOnexError as exc:
            return f"rejected by {exc.rejected_by}" if exc.rejected_by else "failed"
        except ValueError:
            return "caller"
        return "answered" if answer >= 0 else "fallback"

    async def user(number: int) -> str:
        await asyncio.sleep(rng.uniform(0.0, SECONDS))
        task = asyncio.create_task(call(number))
        if rng.random() < 0.2:
            await asyncio.sleep(rng.uniform(0.0, 3.0))
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"

    ends = Counter(await asyncio.gather(*(asyncio.create_task(user(number)) for number in range(1, TASKS + 1))))

    assert ends.total() == TASKS
    assert all(end in _ENDS or end.startswith("rejected by ") for end in ends)
    assert ends["fallback"] <= fell_back <= ends["fallback"] + ends["cancelled"]
    assert dependency.under_way == 0
    assert dependency.most_under_way <= bulkhead.max_concurrent
    assert dependency.requests <= TASKS * retry.max_attempts
    assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)
    assert breaker.circuit.generation.probes == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    # A healthy dependency, its circuit closed again and its bucket full: nothing has been lost for good.
    await asyncio.sleep(60)
    assert limiter.tokens == limiter.capacity
    dependency.course = []
    for _ in range(breaker.success_threshold + 1):
        assert await call(1) in {"answered", "caller"}
    assert breaker.closed
    await asyncio.sleep(60)
    loop = asyncio.get_running_loop()
    assert not [timer for timer in getattr(loop, "_scheduled") if not timer.cancelled()]  # noqa: B009


@pytest.mark.parametrize("seed", range(200))
def test_after_chaos_every_place_token_probe_and_timer_is_back_and_the_counts_add_up(seed: int) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(chaos(seed))
