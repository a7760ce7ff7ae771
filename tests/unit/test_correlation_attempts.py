"""Each attempt of one call has a number, which is current while it runs and gone when the call ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from uuid import UUID

import pytest
from tests.support.retries import Caller, Clock, call_coroutine, call_plain
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import InfrastructureRetryPolicy, create_database_retry_policy
from omnibase_infra.utils import CorrelationContext, attempt_var, get_attempt, get_correlation_id, util_correlation

ONE = UUID("11111111-1111-4111-8111-111111111111")
both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    yield
    assert get_attempt() == 1
    assert get_correlation_id() is None


def policy(**settings: object) -> InfrastructureRetryPolicy:
    clock = Clock()
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"clock": clock, "sleep": clock.sleep, "rng": lambda: 0.0, **settings})


class Seen:
    """Fails until the last of its attempts, and remembers their ids and numbers."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        self.seen: list[tuple[UUID | None, int]] = []

    def __call__(self) -> str:
        self.seen.append((get_correlation_id(), get_attempt()))
        if len(self.seen) < self.attempts:
            raise ConnectionError
        return "rows"


@both_kinds
@pytest.mark.parametrize("watched", [{}, {"before_sleep": lambda state: None}], ids=["plain", "with a strategy"])
def test_each_attempt_sees_one_id_and_its_own_number(call: Caller, watched: dict[str, object]) -> None:
    seen = Seen(3)
    with CorrelationContext(ONE):
        assert call(policy(**watched), seen) == "rows"
        assert get_attempt() == 1
    assert seen.seen == [(ONE, 1), (ONE, 2), (ONE, 3)]


@both_kinds
def test_the_number_is_gone_when_the_call_has_failed(call: Caller) -> None:
    with pytest.raises(InfraConnectionError):
        call(policy(), Seen(99))
    assert get_attempt() == 1


@both_kinds
def test_a_hook_between_two_attempts_sees_the_number_of_the_one_that_failed(call: Caller) -> None:
    seen: list[tuple[int, int]] = []
    call(policy(before_sleep=lambda state: seen.append((state.attempt_number, get_attempt()))), Seen(3))
    assert seen == [(1, 1), (2, 2)]


@both_kinds
def test_a_call_that_succeeds_at_once_sets_nothing(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    from omnibase_infra.infrastructure.resilience import retry_policy

    monkeypatch.setattr(retry_policy, "attempt_var", None)
    assert call(policy(), Seen(1)) == "rows"


@both_kinds
def test_the_innermost_retry_numbers_and_the_outer_number_comes_back(call: Caller) -> None:
    numbers: list[int] = []
    between: list[int] = []

    @policy(max_attempts=2)
    def inner() -> None:
        numbers.append(get_attempt())
        raise ConnectionError

    def outer() -> str:
        try:
            inner()
        except InfraConnectionError:
            between.append(get_attempt())
            if len(between) < 3:
                raise
        return "rows"

    assert call(policy(), outer) == "rows"
    assert numbers == [1, 2, 2, 2, 3, 2]  # an inner first attempt costs nothing: it has the number of the outer one
    assert between == [1, 2, 3]


@pytest.mark.parametrize("at", [0.5, 1.0, 1.5, 3.5], ids=["first wait", "as it ends", "second attempt", "second wait"])
def test_a_cancelled_call_leaves_no_number_in_its_task(at: float) -> None:
    async def main() -> None:
        @create_database_retry_policy(clock=loop_clock, rng=lambda: 0.0)
        async def load() -> None:
            if get_attempt() > 1:
                await asyncio.sleep(1)
            raise ConnectionError

        async def worker() -> int:
            try:
                await load()
            except asyncio.CancelledError:
                return get_attempt()
            return -1

        task = asyncio.create_task(worker())
        await asyncio.sleep(at)
        task.cancel()
        assert await task == 1

    run(main())


def test_a_call_cut_off_by_its_time_limit_leaves_no_number() -> None:
    async def main() -> None:
        @create_database_retry_policy(clock=loop_clock, rng=lambda: 0.0, max_elapsed=2)
        async def load() -> None:
            if get_attempt() > 1:
                await asyncio.sleep(60)
            raise ConnectionError

        with CorrelationContext(ONE):
            with pytest.raises(InfraTimeoutError) as caught:
                await load()
            assert caught.value.retry_count == 2
            assert caught.value.correlation_id == ONE
            assert get_attempt() == 1

    run(main())


def test_a_coroutine_that_is_closed_in_another_context_is_harmless() -> None:
    @policy()
    async def load() -> None:
        if get_attempt() > 1:
            await asyncio.Event().wait()
        raise ConnectionError

    async def main() -> None:
        elsewhere = copy_context()
        coroutine = load()
        next(coroutine.__await__())
        elsewhere.run(coroutine.close)
        assert elsewhere.run(get_attempt) == 1

    asyncio.run(main())
    gc.collect()


def test_the_attempts_of_generators_are_numbered_until_the_first_item() -> None:
    plain: list[int] = []
    coroutine: list[int] = []

    @policy()
    def numbers() -> Iterator[int]:
        plain.append(get_attempt())
        if len(plain) < 3:
            raise ConnectionError
        yield 1

    @policy()
    async def numbers_async() -> AsyncIterator[int]:
        coroutine.append(get_attempt())
        if len(coroutine) < 3:
            raise ConnectionError
        yield 1

    async def main() -> list[int]:
        return [number async for number in numbers_async()]

    assert list(numbers()) == asyncio.run(main()) == [1]
    assert plain == coroutine == [1, 2, 3]


def test_the_number_is_that_of_the_context_variable() -> None:
    token = attempt_var.set(4)
    assert get_attempt() == 4
    attempt_var.reset(token)
    assert util_correlation.attempt_var is attempt_var
