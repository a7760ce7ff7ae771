"""The documents' own stack, with default numbers, under virtual time, on async and on sync functions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from tests.support.retries import Clock, Script
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience import (
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)


class PlainStack:
    """The three policies around a plain function; time passes only in the retry's waits."""

    def __init__(self, script: Callable[[], object], order: str = "breaker retry limiter", **limits: float) -> None:
        self.clock = Clock()
        self.breaker = create_database_circuit_breaker(clock=self.clock)
        layers = {
            "breaker": self.breaker,
            "retry": create_database_retry_policy(clock=self.clock, rng=lambda: 0.0, sleep=self.clock.sleep),
            "limiter": create_database_rate_limiter(clock=self.clock, **limits),
        }
        self.guarded: Callable[[], object] = script
        for name in reversed(order.split()):
            self.guarded = layers[name](self.guarded)

    async def call(self) -> object:
        return self.guarded()

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds


class AsyncStack:
    """The same around a coroutine function; time is the loop's."""

    def __init__(self, script: Callable[[], object], order: str = "breaker retry limiter", **limits: float) -> None:
        async def query() -> object:
            await asyncio.sleep(0)
            return script()

        self.breaker = create_database_circuit_breaker(clock=loop_clock)
        layers = {
            "breaker": self.breaker,
            "retry": create_database_retry_policy(clock=loop_clock, rng=lambda: 0.0),
            "limiter": create_database_rate_limiter(clock=loop_clock, **limits),
        }
        self.guarded = query
        for name in reversed(order.split()):
            self.guarded = layers[name](self.guarded)

    async def call(self) -> object:
        return await self.guarded()

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Stack = type[PlainStack] | type[AsyncStack]
both_stacks = pytest.mark.parametrize("stack", [PlainStack, AsyncStack])


@both_stacks
def test_three_attempts_a_call_and_open_after_five_exhausted_calls(stack: Stack):
    async def main() -> None:
        script = Script(ConnectionError)
        built = stack(script)
        for call in range(1, 6):
            assert built.breaker.state is EnumCircuitState.CLOSED
            with pytest.raises(InfraConnectionError) as caught:
                await built.call()
            assert caught.value.retry_count == 3
            assert script.calls == 3 * call
            assert built.breaker.failure_count == call
        assert built.breaker.state is EnumCircuitState.OPEN

    run(main())


@both_stacks
def test_the_sixth_call_raises_infra_unavailable_without_a_call_or_a_wait(stack: Stack):
    async def main() -> None:
        script = Script(ConnectionError("postgresql://svc:hunter2@db/orders"))
        built = stack(script)
        for _ in range(5):
            with pytest.raises(InfraConnectionError):
                await built.call()
        with pytest.raises(InfraUnavailableError) as caught:
            await built.call()
        error = caught.value
        assert script.calls == 15
        assert error.circuit_state == "open"
        assert error.rejected_by == built.breaker.name
        assert error.retry_after_seconds == pytest.approx(60)
        assert error.context.transport_type == "db"
        assert "Circuit breaker open" in error.message
        assert "hunter2" not in error.model_dump_json()

    run(main())


async def opened(stack: Stack, script: Script) -> PlainStack | AsyncStack:
    built = stack(script)
    for _ in range(5):
        with pytest.raises(InfraConnectionError):
            await built.call()
    return built


@both_stacks
def test_after_sixty_seconds_one_probe_closes_the_circuit(stack: Stack):
    async def main() -> None:
        script = Script(*[ConnectionError] * 15, "rows")
        built = await opened(stack, script)
        await built.advance(59)
        with pytest.raises(InfraUnavailableError):
            await built.call()
        await built.advance(1)
        assert built.breaker.state is EnumCircuitState.HALF_OPEN
        assert await built.call() == "rows"
        assert built.breaker.state is EnumCircuitState.CLOSED
        assert script.calls == 16

    run(main())


@both_stacks
def test_a_probe_that_exhausts_its_attempts_opens_the_circuit_again(stack: Stack):
    async def main() -> None:
        script = Script(ConnectionError)
        built = await opened(stack, script)
        await built.advance(60)
        with pytest.raises(InfraConnectionError):
            await built.call()
        assert built.breaker.state is EnumCircuitState.OPEN
        with pytest.raises(InfraUnavailableError):
            await built.call()
        assert script.calls == 18

    run(main())


def test_half_open_admits_one_probe_among_a_hundred_callers():
    async def main() -> None:
        script = Script(*[ConnectionError] * 15, "rows")
        built = await opened(AsyncStack, script)
        await built.advance(60)
        results = await asyncio.gather(*(built.call() for _ in range(100)), return_exceptions=True)
        assert results.count("rows") == 1
        assert sum(isinstance(result, InfraUnavailableError) for result in results) == 99
        assert script.calls == 16

    run(main())


@both_stacks
def test_a_call_that_recovers_within_its_attempts_is_a_success_for_the_breaker(stack: Stack):
    async def main() -> None:
        script = Script(ConnectionError, ConnectionError, "rows")
        built = stack(script)
        assert await built.call() == "rows"
        assert built.breaker.failure_count == 0

    run(main())


@both_stacks
def test_with_the_retry_outside_the_breaker_counts_attempts_and_ends_the_retrying_when_it_opens(stack: Stack):
    async def main() -> None:
        script = Script(ConnectionError)
        built = stack(script, "retry breaker limiter")
        with pytest.raises(InfraConnectionError):
            await built.call()
        assert built.breaker.failure_count == 3
        with pytest.raises(InfraUnavailableError) as caught:
            await built.call()
        assert caught.value.circuit_state == "open"
        assert script.calls == built.breaker.failure_count == 5
        with pytest.raises(InfraUnavailableError):
            await built.call()
        assert script.calls == 5

    run(main())


ORDERS = [" ".join(order) for order in itertools.permutations(["breaker", "retry", "limiter"])]


@pytest.mark.parametrize("order", ORDERS)
@both_stacks
def test_a_rejection_by_the_local_limiter_is_neither_retried_nor_a_failure_in_any_order(stack: Stack, order: str):
    async def main() -> None:
        script = Script("rows")
        built = stack(script, order, queries_per_second=0.05, burst_capacity=1)
        assert await built.call() == "rows"
        for _ in range(20):
            with pytest.raises(InfraRateLimitedError) as caught:
                await built.call()
            assert caught.value.rejected_by is not None
            assert caught.value.retry_count is None
        assert script.calls == 1
        assert built.breaker.state is EnumCircuitState.CLOSED
        assert built.breaker.failure_count == 0

    run(main())


@pytest.mark.parametrize("order", ORDERS)
@both_stacks
def test_a_rejection_by_the_limiter_in_mid_retry_leaves_the_failure_count_alone(stack: Stack, order: str):
    async def main() -> None:
        built = stack(Script(ConnectionError), order, queries_per_second=1e-6, burst_capacity=1)
        with pytest.raises((InfraRateLimitedError, InfraConnectionError)):
            await built.call()
        counted = built.breaker.failure_count
        for _ in range(20):
            with pytest.raises(InfraRateLimitedError):
                await built.call()
        assert built.breaker.failure_count == counted
        assert built.breaker.state is EnumCircuitState.CLOSED

    run(main())


@pytest.mark.parametrize("order", [order for order in ORDERS if order.index("retry") < order.index("limiter")])
@both_stacks
def test_the_limiter_inside_the_retry_takes_a_token_an_attempt(stack: Stack, order: str):
    async def main() -> None:
        script = Script(ConnectionError)
        built = stack(script, order, queries_per_second=1e-6, burst_capacity=2)
        with pytest.raises(InfraRateLimitedError):
            await built.call()
        assert script.calls == 2

    run(main())


@pytest.mark.parametrize("order", ORDERS)
@both_stacks
def test_errors_of_the_caller_pass_every_order_untouched_and_never_open_the_circuit(stack: Stack, order: str):
    async def main() -> None:
        raised = ValueError("no such column")
        script = Script(raised)
        built = stack(script, order)
        for _ in range(20):
            with pytest.raises(ValueError, match="no such column") as caught:
                await built.call()
            assert caught.value is raised
        assert script.calls == 20
        assert built.breaker.failure_count == 0

    run(main())


@pytest.mark.parametrize("order", ORDERS)
@both_stacks
def test_a_wrong_password_is_told_at_once_and_never_opens_the_circuit(stack: Stack, order: str):
    failure = type("InvalidPasswordError", (Exception,), {"__module__": "asyncpg.exceptions", "sqlstate": "28P01"})

    async def main() -> None:
        script = Script(failure)
        built = stack(script, order)
        for _ in range(20):
            with pytest.raises(InfraAuthenticationError):
                await built.call()
        assert script.calls == 20
        assert built.breaker.failure_count == 0

    run(main())


def test_a_cancelled_call_of_the_stack_records_nothing():
    async def main() -> None:
        built = AsyncStack(Script(ConnectionError))
        with pytest.raises(InfraConnectionError):
            await built.call()
        task = asyncio.ensure_future(built.call())
        await asyncio.sleep(0.5)  # in the wait after its first attempt
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert built.breaker.failure_count == 1

    run(main())
