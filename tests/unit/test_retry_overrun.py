"""`max_elapsed` returns on time when an attempt holds its cancellation up, and what is left behind does no more."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from tests.support import virtual_time

from omnibase_infra.enums import EnumResilienceEvent
from omnibase_infra.errors import InfraTimeoutError
from omnibase_infra.infrastructure.resilience import add_observer, create_database_retry_policy
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import correlation_id_var


class Stubborn:
    """Answers its cancellation late, and fails then."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    async def __call__(self) -> None:
        self.began.append(virtual_time.clock())
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(10)
        finally:
            self.ended.append(virtual_time.clock())
        raise ConnectionResetError


def test_the_caller_gets_its_error_on_time_and_no_attempt_follows() -> None:
    heard: list[ModelResilienceEvent] = []

    async def main() -> None:
        # A clock that stands still would let the loop go on: being left behind is what ends it.
        policy = create_database_retry_policy(5, max_elapsed=2, clock=lambda: 0.0, rng=lambda: 0.0)
        correlation_id_var.set(current)
        with pytest.raises(InfraTimeoutError) as caught:
            await policy.call(query)
        assert 2 <= virtual_time.clock() < 2.5
        assert caught.value.retry_count == 1
        assert caught.value.correlation_id == current
        assert type(caught.value.__cause__) is TimeoutError
        await asyncio.sleep(60)

    query, current = Stubborn(), uuid4()
    remove = add_observer(heard.append, inline=True)
    try:
        virtual_time.run(main())
    finally:
        remove()
    assert (query.began, query.ended) == ([0], [12])
    assert [event.kind for event in heard] == [EnumResilienceEvent.RETRY_GAVE_UP]


def test_an_attempt_that_is_left_behind_in_a_stubborn_wait_is_not_repeated() -> None:
    async def main() -> None:
        async def nap(_: float) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(10)

        async def query() -> None:
            began.append(virtual_time.clock())
            raise ConnectionResetError

        began: list[float] = []
        policy = create_database_retry_policy(5, max_elapsed=2, clock=lambda: 0.0, rng=lambda: 0.0, sleep=nap)
        with pytest.raises(InfraTimeoutError):
            await policy.call(query)
        await asyncio.sleep(60)
        assert began == [0]

    virtual_time.run(main())


def test_a_cancelled_caller_still_waits_for_its_attempt() -> None:
    async def main() -> None:
        query = Stubborn()
        task = asyncio.ensure_future(create_database_retry_policy(max_elapsed=60).call(query))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert query.began == [0]
        assert query.ended == [11]

    virtual_time.run(main())
