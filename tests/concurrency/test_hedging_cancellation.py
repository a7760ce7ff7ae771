"""A cancelled call cancels its attempts at whatever await it was, and nothing is left of any call."""

from __future__ import annotations

import asyncio
import gc
import random
import threading

import pytest
from tests.support.virtual_time import clock, run

from omnibase_infra.infrastructure.resilience import Hedge, RetryBudget
from omnibase_infra.infrastructure.resilience.deadline import GRACE
from omnibase_infra.models.resilience import ModelRetryBudgetConfig


@pytest.mark.parametrize(
    ("seconds", "attempts"),
    [
        (0.0, 1),  # in the moment in which the first attempt begins
        (0.5, 1),  # in the first attempt
        (1.5, 2),  # in the first hedge
        (2.5, 3),  # in the second
    ],
)
def test_a_cancelled_call_cancels_every_attempt_waits_for_it_and_ends(seconds, attempts):
    begun: list[float] = []
    cleaned_up: list[float] = []

    async def main() -> None:
        @Hedge(1, idempotent=True, max_hedges=2)
        async def query() -> None:
            begun.append(clock())
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0.05)
                cleaned_up.append(clock())

        task = asyncio.create_task(query())
        await asyncio.sleep(0)
        if seconds:
            await asyncio.sleep(seconds)
        task.cancel("by the caller")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("by the caller",)
        assert task.cancelled()
        assert cleaned_up == [pytest.approx(seconds + 0.05)] * attempts
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
    assert len(begun) == attempts


def test_a_caller_who_is_cancelled_while_the_loser_cleans_up_ends_at_once():
    async def main() -> None:
        ended = asyncio.Event()
        calls = 0

        @Hedge(1, idempotent=True)
        async def query() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                return
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0.08)
                ended.set()

        task = asyncio.create_task(query())
        await asyncio.sleep(1.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert clock() == 1.05
        await ended.wait()
        assert clock() == pytest.approx(1.08)

    run(main())


def test_a_caller_who_insists_does_not_wait_for_an_attempt_that_does_not_obey():
    async def main() -> None:
        @Hedge(1, idempotent=True)
        async def query() -> None:
            while True:
                try:
                    await asyncio.sleep(5)
                    return
                except asyncio.CancelledError:
                    pass

        task = asyncio.create_task(query())
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.sleep(GRACE / 2)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert clock() == 1.5 + GRACE / 2
        await asyncio.sleep(10)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@pytest.mark.parametrize("seed", range(20))
def test_hundreds_of_calls_with_random_cancellations_leave_nothing_and_add_up(seed):
    chance = random.Random(seed)

    async def main() -> None:
        budget = RetryBudget(ModelRetryBudgetConfig(ratio=0.5, min_per_second=1), clock=clock)
        policy = Hedge(0.5, 0.8, idempotent=True, max_hedges=2, minimum_calls=20, retry_budget=budget, clock=clock)
        begun = ended = won = 0

        @policy
        async def query() -> int:
            nonlocal begun, ended
            begun += 1
            try:
                await asyncio.sleep(chance.expovariate(2))
                if chance.random() < 0.2:
                    raise ConnectionError
                return begun
            finally:
                ended += 1
                await asyncio.sleep(chance.choice((0, 0.01, 0.2)))

        calls = []
        for _ in range(300):
            await asyncio.sleep(chance.expovariate(50))
            task = asyncio.create_task(query())
            calls.append(task)
            if chance.random() < 0.3:
                asyncio.get_running_loop().call_later(chance.expovariate(2), task.cancel)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        won = sum(isinstance(outcome, int) for outcome in outcomes)
        assert won > 100
        assert {type(outcome) for outcome in outcomes} == {int, ConnectionError, asyncio.CancelledError}
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert begun == ended
        assert policy.hedged == budget.granted
        assert 0 < policy.won <= policy.hedged
        assert begun <= 300 + policy.hedged

    run(main())
    gc.collect()


def test_event_loops_in_several_threads_share_one_hedge():
    policy = Hedge(0, 0.9, idempotent=True, minimum_calls=1_000_000, samples=1_000_000, retry_budget=None)
    failures: list[BaseException] = []

    @policy
    async def query(one: int) -> int:
        await asyncio.sleep(0)
        return one

    async def main() -> None:
        for one in range(50):
            assert await query(one) == one
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    latencies = policy._latencies
    assert latencies is not None
    assert len(latencies.recent) == len(latencies.ordered) == 400
