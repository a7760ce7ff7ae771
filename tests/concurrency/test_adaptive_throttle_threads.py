"""Threads and tasks share one adaptive throttle, and no call is lost or counted twice."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import AdaptiveThrottle


def test_threads_lose_no_call():
    policy = AdaptiveThrottle(window=1000, clock=lambda: 0.0, rng=lambda: 0.3)
    gate = threading.Barrier(8)
    passed, rejected = [0] * 8, [0] * 8

    def work(me: int) -> None:
        @policy
        def query(fails: bool) -> None:
            passed[me] += 1
            if fails:
                raise ConnectionError

        gate.wait()
        for number in range(1000):
            try:
                query(number % 4 != 0)
            except ConnectionError:
                pass
            except InfraUnavailableError:
                rejected[me] += 1
            _ = policy.rejection_probability

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) + sum(rejected) == policy.requests == 8000
    assert sum(rejected) > 0


@pytest.mark.parametrize("seed", range(20))
def test_hundreds_of_tasks_with_random_cancellations_add_up(seed):
    chance = random.Random(seed)

    async def main() -> None:
        policy = AdaptiveThrottle(2, 1e6, 1e-5, clock=clock, rng=chance.random)
        good = bad = 0

        @policy
        async def query() -> None:
            nonlocal good, bad
            await asyncio.sleep(chance.random())
            if chance.random() < 0.6:
                bad += 1
                raise ConnectionError
            good += 1

        tasks = []
        for _ in range(400):
            await asyncio.sleep(chance.expovariate(200))
            task = asyncio.create_task(query())
            tasks.append(task)
            if chance.random() < 0.3:
                asyncio.get_running_loop().call_later(chance.random(), task.cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [type(outcome) for outcome in outcomes]
        rejected = kinds.count(InfraUnavailableError)
        assert rejected > 0
        assert kinds.count(asyncio.CancelledError) > 0
        assert policy.requests == good + bad + rejected
        assert policy.accepts == good

    run(main())
