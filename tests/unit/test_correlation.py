"""The current correlation id: coerced, nested, restored, never shared between tasks or threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Iterator
from contextvars import copy_context
from uuid import UUID, uuid4

import pytest

from omnibase_infra.utils import (
    CorrelationContext,
    clear_correlation_id,
    correlation_id_var,
    get_correlation_id,
    set_correlation_id,
)

ONE = UUID("11111111-1111-4111-8111-111111111111")
TWO = UUID("22222222-2222-4222-8222-222222222222")


@pytest.fixture(autouse=True)
def no_current_id() -> Iterator[None]:
    clear_correlation_id()
    yield
    clear_correlation_id()


def test_none_is_current_until_one_is_set() -> None:
    assert get_correlation_id() is None
    set_correlation_id(ONE)
    assert get_correlation_id() == ONE
    assert correlation_id_var.get() == ONE
    clear_correlation_id()
    assert get_correlation_id() is None


@pytest.mark.parametrize("text", [str(ONE), ONE.hex, str(ONE).upper(), f"{{{ONE}}}", ONE.urn])
def test_uuid_strings_are_coerced(text: str) -> None:
    set_correlation_id(text)
    assert get_correlation_id() == ONE


def test_the_token_restores_the_former_id() -> None:
    set_correlation_id(ONE)
    token = set_correlation_id(TWO)
    correlation_id_var.reset(token)
    assert get_correlation_id() == ONE


@pytest.mark.parametrize("bad", ["hunter2-is-no-uuid", "", "123"])
def test_a_malformed_string_is_refused_without_being_echoed(bad: str) -> None:
    with pytest.raises(ValueError, match=r"correlation_id must be a UUID or a UUID string") as caught:
        set_correlation_id(bad)
    assert not bad or bad not in str(caught.value)
    assert caught.value.__cause__ is None
    assert get_correlation_id() is None


def test_another_type_is_refused_by_the_name_of_its_type() -> None:
    with pytest.raises(ValueError, match=r"correlation_id must be .* got int"):
        set_correlation_id(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="correlation_id must be"):
        CorrelationContext("nope")


def test_a_context_sets_and_restores() -> None:
    with CorrelationContext(ONE) as current:
        assert current == ONE == get_correlation_id()
    assert get_correlation_id() is None


def test_nested_contexts_restore_in_order() -> None:
    with CorrelationContext(ONE):
        with CorrelationContext(str(TWO)):
            assert get_correlation_id() == TWO
        assert get_correlation_id() == ONE
    assert get_correlation_id() is None


def test_a_context_without_an_id_keeps_the_current_one() -> None:
    with CorrelationContext(ONE), CorrelationContext() as inner:
        assert inner == ONE


def test_a_context_without_an_id_makes_one_when_none_is_current() -> None:
    with CorrelationContext() as first:
        assert first.version == 4
    with CorrelationContext() as second:
        assert second != first


def test_a_context_restores_after_an_exception() -> None:
    set_correlation_id(ONE)
    with pytest.raises(KeyError), CorrelationContext(TWO):
        raise KeyError
    assert get_correlation_id() == ONE


def test_a_context_may_be_used_again_but_not_entered_twice() -> None:
    context = CorrelationContext(ONE)
    with context:
        pass
    with context:
        with pytest.raises(RuntimeError, match="already entered"), context:
            pass
        assert get_correlation_id() == ONE
    assert get_correlation_id() is None


def test_async_with_sets_and_restores() -> None:
    async def main() -> None:
        async with CorrelationContext(ONE) as current:
            await asyncio.sleep(0)
            assert get_correlation_id() == current == ONE
        assert get_correlation_id() is None

    asyncio.run(main())


def test_tasks_do_not_see_each_others_id() -> None:
    async def one(value: UUID) -> bool:
        async with CorrelationContext(value):
            for _ in range(5):
                await asyncio.sleep(0)
                if get_correlation_id() != value:
                    return False
        return get_correlation_id() is None

    async def main() -> list[bool]:
        return await asyncio.gather(*(one(uuid4()) for _ in range(50)))

    assert all(asyncio.run(main()))


def test_a_task_inherits_the_id_of_its_creator() -> None:
    async def child() -> UUID | None:
        return get_correlation_id()

    async def main() -> None:
        with CorrelationContext(ONE):
            task = asyncio.create_task(child())
        assert await task == ONE

    asyncio.run(main())


def test_a_thread_leaves_no_id_behind() -> None:
    seen: list[UUID | None] = []

    def work() -> None:
        set_correlation_id(TWO)
        seen.append(get_correlation_id())

    set_correlation_id(ONE)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [TWO]
    assert get_correlation_id() == ONE


def test_leaving_in_another_context_is_harmless() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        with CorrelationContext(ONE):
            yield 1
            yield 2

    async def main() -> None:
        generator = numbers()
        assert await anext(generator) == 1
        await asyncio.create_task(generator.aclose())

    asyncio.run(main())
    gc.collect()
    assert copy_context().get(correlation_id_var) is None
