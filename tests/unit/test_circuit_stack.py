"""Contract section 7: the documents' stack, seen from the breaker, on async and on sync functions."""

import asyncio
import inspect
import random

import pytest
from tests.support import virtual_time
from tests.support.circuits import Clock

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraConnectionError, InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)

OPEN, HALF_OPEN, CLOSED = EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN, EnumCircuitState.CLOSED


class Database:
    """A server that can be down, and counts what reaches it."""

    def __init__(self):
        self.down = True
        self.reached = 0

    def query(self):
        self.reached += 1
        if self.down:
            raise ConnectionRefusedError("postgresql://svc:hunter2@db")
        return "row"


class Stack:
    """The three policies in either order around one function, on one clock; `call()` makes one call."""

    def __init__(self, kind, *, retry_outside=False, rate=1e6, **breaker_settings):
        self.clock = Clock()
        self.database = Database()
        self.breaker = create_database_circuit_breaker(clock=self.clock, **breaker_settings)
        self.limiter = create_database_rate_limiter(rate, 1e6 if rate == 1e6 else 3, clock=self.clock)
        retry = create_database_retry_policy(clock=self.clock, rng=lambda: 0.0, sleep=self._sleep(kind))
        policies = [self.limiter, self.breaker, retry] if retry_outside else [self.limiter, retry, self.breaker]

        async def execute_query_async():
            return self.database.query()

        def execute_query():
            return self.database.query()

        fn = execute_query_async if kind == "async" else execute_query
        for policy in policies:
            fn = policy(fn)
        assert inspect.iscoroutinefunction(fn) is (kind == "async")
        self.call = (lambda: asyncio.run(fn())) if kind == "async" else fn

    def _sleep(self, kind):
        def sleep(seconds):
            self.clock.advance(seconds)

        async def sleep_async(seconds):
            self.clock.advance(seconds)

        return sleep_async if kind == "async" else sleep

    def calls(self, times, error):
        for _ in range(times):
            with pytest.raises(error):
                self.call()


both_kinds = pytest.mark.parametrize("kind", ["async", "sync"])


@both_kinds
def test_one_exhausted_batch_of_attempts_is_one_failure(kind):
    stack = Stack(kind)
    for failures in range(1, 5):
        stack.calls(1, InfraConnectionError)
        assert (stack.breaker.failure_count, stack.database.reached) == (failures, 3 * failures)
    assert stack.breaker.state is CLOSED
    stack.calls(1, InfraConnectionError)
    assert (stack.breaker.state, stack.database.reached) == (OPEN, 15)


@both_kinds
def test_twenty_failing_calls_reach_the_server_fifteen_times_and_then_nothing_does(kind):
    stack = Stack(kind)
    stack.calls(5, InfraConnectionError)
    stack.calls(15, InfraUnavailableError)
    assert stack.database.reached == 15


@both_kinds
def test_after_the_recovery_time_one_probe_brings_the_stack_back(kind):
    stack = Stack(kind)
    stack.calls(6, (InfraConnectionError, InfraUnavailableError))
    stack.clock.advance(60)
    assert stack.breaker.state is HALF_OPEN
    stack.database.down = False
    assert stack.call() == "row"
    assert (stack.breaker.state, stack.database.reached) == (CLOSED, 16)


@both_kinds
def test_a_failing_probe_of_the_stack_opens_again(kind):
    stack = Stack(kind)
    stack.calls(5, InfraConnectionError)
    stack.clock.advance(60)
    stack.calls(1, InfraConnectionError)
    stack.calls(1, InfraUnavailableError)
    assert stack.database.reached == 18


@both_kinds
def test_with_the_retry_outside_the_breaker_counts_attempts_and_an_open_circuit_is_not_retried(kind):
    stack = Stack(kind, retry_outside=True)
    stack.calls(1, InfraConnectionError)
    assert stack.breaker.failure_count == 3
    with pytest.raises(InfraUnavailableError) as caught:
        stack.call()
    assert caught.value.rejected_by == stack.breaker.name
    assert (stack.breaker.state, stack.database.reached) == (OPEN, 5)
    before = stack.clock.now
    stack.calls(10, InfraUnavailableError)
    assert (stack.clock.now, stack.database.reached) == (before, 5)


@both_kinds
@pytest.mark.parametrize("retry_outside", [False, True], ids=["retry inside", "retry outside"])
def test_the_local_rate_limiters_rejections_never_count_in_any_order(kind, retry_outside):
    stack = Stack(kind, retry_outside=retry_outside, rate=1e-6, failure_threshold=1)
    stack.database.down = False
    for _ in range(3):
        stack.call()
    stack.calls(20, InfraRateLimitedError)
    assert (stack.breaker.state, stack.breaker.failure_count, stack.database.reached) == (CLOSED, 0, 3)


@both_kinds
def test_a_probe_that_the_limiter_rejects_gives_its_place_back(kind):
    stack = Stack(kind, rate=1e-6)
    for _ in range(3):
        stack.limiter.acquire()
    stack.breaker.trip()
    stack.clock.advance(60)
    stack.calls(2, InfraRateLimitedError)
    assert stack.breaker.state is HALF_OPEN


def test_the_documented_stack_with_default_numbers_on_virtual_time():
    async def main():
        executions = 0

        @create_database_circuit_breaker(clock=virtual_time.clock)
        @create_database_retry_policy(clock=virtual_time.clock, rng=random.Random(1).random)
        @create_database_rate_limiter(clock=virtual_time.clock)
        async def execute_query(sql: str) -> list[str]:
            nonlocal executions
            executions += 1
            raise ConnectionRefusedError(sql)

        for call in range(1, 6):
            with pytest.raises(InfraConnectionError) as caught:
                await execute_query("SELECT 1")
            assert caught.value.retry_count == 3
            assert executions == 3 * call
        opened = virtual_time.clock()
        with pytest.raises(InfraUnavailableError) as rejected:
            await execute_query("SELECT 1")
        assert rejected.value.circuit_state == "open"
        assert rejected.value.retry_after_seconds == pytest.approx(60)
        assert executions == 15
        await asyncio.sleep(opened + 60.001 - virtual_time.clock())

        probes = [asyncio.create_task(execute_query("SELECT 1")) for _ in range(10)]
        results = await asyncio.gather(*probes, return_exceptions=True)
        kinds = sorted(type(result).__name__ for result in results)
        assert kinds == ["InfraConnectionError"] + ["InfraUnavailableError"] * 9
        assert executions == 18

    virtual_time.run(main())
