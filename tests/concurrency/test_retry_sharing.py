"""One decorated function under many tasks, threads and loops: no state of a call lives on the decorator."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
import tenacity
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run, run_beside_others

from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    RetryBudget,
    add_observer,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.rules.sliding_window import SlidingWindow
from omnibase_infra.models.resilience import ModelRetryBudgetConfig
from omnibase_infra.utils import CorrelationContext, get_correlation_id

TASKS = 500
THREADS = 64


def policy(**settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"retry_budget": None, **settings})


@pytest.fixture
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], None], threads: int = THREADS) -> None:
    """Run `work(number)` in that many threads, begun together; what one of them raises is raised here."""
    failures: list[BaseException] = []
    begin = threading.Barrier(threads)

    def one(number: int) -> None:
        begin.wait()
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    started = [threading.Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(30)
    assert not failures, failures[0]


STRATEGIES = [
    {},
    {"max_elapsed": 1000.0},
    {"retry": tenacity.retry_if_exception_type((ConnectionError, TimeoutError))},
    {"stop": tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(1000)},
]


@pytest.mark.parametrize("settings", STRATEGIES)
def test_five_hundred_concurrent_tasks_never_mix_their_attempts_arguments_or_errors(settings):
    async def main() -> None:
        attempts: Counter[int] = Counter()

        @policy(clock=loop_clock, **settings)
        async def query(number: int) -> int:
            attempts[number] += 1
            await asyncio.sleep(number % 7 / 10)
            wanted = number % 5
            if attempts[number] <= wanted:
                raise (ConnectionError if number % 2 else TimeoutError)(number, attempts[number])
            return number

        async def call(number: int) -> None:
            with CorrelationContext() as current:
                if number % 5 < 3:
                    assert await query(number) == number
                    assert attempts[number] == number % 5 + 1
                    return
                kind = InfraConnectionError if number % 2 else InfraTimeoutError
                with pytest.raises(kind) as caught:
                    await query(number)
                error = caught.value
                assert error.retry_count == attempts[number] == 3
                assert error.__cause__ is not None
                assert error.__cause__.args == (number, 3)
                assert error.correlation_id == current

        await asyncio.gather(*(call(number) for number in range(TASKS)))

    run(main())


@pytest.mark.parametrize("settings", STRATEGIES)
@pytest.mark.usefixtures("switching_often")
def test_sixty_four_threads_never_mix_their_attempts_arguments_or_errors(settings):
    attempts: dict[int, int] = dict.fromkeys(range(THREADS), 0)

    @policy(sleep=lambda seconds: None, **settings)
    def query(number: int) -> int:
        attempts[number] += 1
        if attempts[number] % 10 <= number % 5:
            raise (ConnectionError if number % 2 else TimeoutError)(number, attempts[number])
        return number

    def call(number: int) -> None:
        for turn in range(1, 6):
            attempts[number] = 0
            if number % 5 < 3:
                assert query(number) == number, turn
                assert attempts[number] == number % 5 + 1
                continue
            with pytest.raises((InfraConnectionError, InfraTimeoutError)) as caught:
                query(number)
            assert isinstance(caught.value, InfraConnectionError if number % 2 else InfraTimeoutError)
            assert caught.value.retry_count == 3
            assert caught.value.__cause__ is not None
            assert caught.value.__cause__.args == (number, 3)

    in_threads(call)


@pytest.mark.usefixtures("switching_often")
def test_two_event_loops_at_once_share_one_decorated_function():
    @policy(clock=lambda: asyncio.get_running_loop().time(), max_elapsed=100)
    async def query(number: int, calls: list[int]) -> int:
        calls.append(number)
        await asyncio.sleep(1)
        if len(calls) < 3:
            raise ConnectionError
        return number

    async def main(number: int) -> None:
        for _ in range(20):
            calls: list[int] = []
            assert await query(number, calls) == number
            assert calls == [number] * 3

    in_threads(lambda number: run_beside_others(main(number)), threads=4)


@pytest.mark.usefixtures("switching_often")
def test_the_budget_counts_exactly_under_threads():
    budget = RetryBudget(ModelRetryBudgetConfig(ratio=0.5, min_per_second=1, window=10), clock=lambda: 0.0)
    granted: list[int] = []

    def call(number: int) -> None:
        got = 0
        for _ in range(50):
            budget.count_call()
            got += budget.spend()
        granted.append(got)

    in_threads(call)
    calls = THREADS * 50
    assert sum(granted) == 10 + calls // 2
    assert budget.balance == 0


@pytest.mark.usefixtures("switching_often")
def test_no_two_threads_spend_the_same_retry():
    class Interrupted(SlidingWindow):
        """Lets another thread run before whatever is booked."""

        __slots__ = ()

        def add(self, now: float, *counts: int) -> list[int]:
            time.sleep(0)
            return super().add(now, *counts)

    budget = RetryBudget(ModelRetryBudgetConfig(ratio=0, min_per_second=10, window=10), clock=lambda: 0.0)
    budget._state.counts = Interrupted(10, width=2)
    granted: list[int] = []
    in_threads(lambda number: granted.append(sum(budget.spend() for _ in range(10))))
    assert sum(granted) == 100


def test_a_full_outage_under_concurrent_tasks_costs_the_budget_and_no_more():
    async def main() -> None:
        calls = 0

        @create_database_retry_policy(clock=loop_clock)
        async def query() -> None:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            raise ConnectionError

        results = await asyncio.gather(*(query() for _ in range(TASKS)), return_exceptions=True)
        assert all(isinstance(result, InfraConnectionError) for result in results)
        assert calls == TASKS + 100 + TASKS // 10

    run(main())


def test_the_correlation_ids_of_concurrent_calls_stay_apart():
    async def main() -> None:
        seen: dict[int, set[object]] = {number: set() for number in range(TASKS)}

        @policy(clock=loop_clock)
        async def query(number: int) -> None:
            await asyncio.sleep(number % 3)
            seen[number].add(get_correlation_id())
            raise ConnectionError

        async def call(number: int) -> None:
            with pytest.raises(InfraConnectionError) as caught:
                await query(number)
            assert seen[number] == {None, caught.value.correlation_id}
            assert get_correlation_id() is None

        await asyncio.gather(*(call(number) for number in range(TASKS)))
        ids = set().union(*seen.values())
        assert len(ids) == TASKS + 1

    unsubscribe = add_observer(lambda event: None, inline=True)  # an id is made when somebody listens
    try:
        run(main())
    finally:
        unsubscribe()
