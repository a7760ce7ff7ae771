"""Generators and async generators: guarded until the first item is out, then passed through in every respect."""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import AsyncGenerator, Callable, Generator, Iterator

import pytest
from tests.support.policies import POLICIES
from tests.support.virtual_time import run

from omnibase_infra.errors import InfraConnectionError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)

Log = list[object]


def conversation(log: Log) -> Generator[int, str, str]:
    """Yields numbers, notes what it is sent and thrown, survives a ValueError, returns a word."""
    number = 0
    try:
        while True:
            try:
                log.append((yield number))
            except ValueError as thrown:
                log.append(thrown)
                number += 100
            except KeyError as thrown:
                log.append(thrown)
                return "stopped"
            number += 1
    finally:
        log.append("closed")


async def async_conversation(log: Log) -> AsyncGenerator[int, str]:
    number = 0
    try:
        while True:
            try:
                log.append((yield number))
            except ValueError as thrown:
                log.append(thrown)
                number += 100
            except KeyError as thrown:
                log.append(thrown)
                return
            number += 1
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        log.append("closed")


@pytest.fixture(params=POLICIES)
def decorate(request: pytest.FixtureRequest) -> Callable[..., Callable[..., object]]:
    if request.param == "limiter":
        return create_database_rate_limiter()
    return POLICIES[request.param]()


def test_items_come_in_order_and_the_return_value_gets_through(decorate: Callable[..., Callable[..., object]]) -> None:
    @decorate
    def rows(n: int) -> Generator[int, None, str]:
        yield from range(n)
        return "end"

    seen: list[int] = []

    def consumer() -> Iterator[int]:
        seen.append((yield from rows(3)))  # type: ignore[misc]

    assert list(consumer()) == [0, 1, 2]
    assert seen == ["end"]


@pytest.mark.parametrize("name", POLICIES)
def test_an_empty_generator_is_a_success_with_its_return_value(name: str) -> None:
    @POLICIES[name]()
    def empty() -> Generator[int, None, str]:
        return "nothing"
        yield

    with pytest.raises(StopIteration) as end:
        next(empty())
    assert end.value.value == "nothing"


@pytest.mark.parametrize("name", POLICIES)
def test_an_empty_async_generator_just_ends(name: str) -> None:
    @POLICIES[name]()
    async def empty() -> AsyncGenerator[int]:
        return
        yield

    async def main() -> list[int]:
        return [item async for item in empty()]

    assert run(main()) == []


def test_nothing_runs_before_the_first_item_is_asked_for(decorate: Callable[..., Callable[..., object]]) -> None:
    log: Log = []
    stream = decorate(conversation)(log)
    assert isinstance(stream, types.GeneratorType)
    stream.close()
    assert log == []
    never = decorate(async_conversation)(log)
    assert isinstance(never, types.AsyncGeneratorType)
    run(never.aclose())
    assert log == []


def test_send_and_throw_reach_the_generator(decorate: Callable[..., Callable[..., object]]) -> None:
    log: Log = []
    stream = decorate(conversation)(log)
    assert isinstance(stream, types.GeneratorType)
    oops, over = ValueError("oops"), KeyError("over")
    assert next(stream) == 0
    assert stream.send("a") == 1
    assert stream.throw(oops) == 102
    assert stream.send("b") == 103
    with pytest.raises(StopIteration) as end:
        stream.throw(over)
    assert end.value.value == "stopped"
    assert log == ["a", oops, "b", over, "closed"]


def test_asend_and_athrow_reach_the_async_generator(decorate: Callable[..., Callable[..., object]]) -> None:
    log: Log = []
    oops, over = ValueError("oops"), KeyError("over")

    async def main() -> None:
        stream = decorate(async_conversation)(log)
        assert isinstance(stream, types.AsyncGeneratorType)
        assert await anext(stream) == 0
        assert await stream.asend("a") == 1
        assert await stream.athrow(oops) == 102
        assert await stream.asend("b") == 103
        with pytest.raises(StopAsyncIteration):
            await stream.athrow(over)

    run(main())
    assert log == ["a", oops, "b", over, "closed"]


def test_what_the_generator_does_not_catch_comes_out_as_the_same_object(
    decorate: Callable[..., Callable[..., object]],
) -> None:
    log: Log = []
    thrown = RuntimeError("not for you")
    stream = decorate(conversation)(log)
    assert isinstance(stream, types.GeneratorType)
    next(stream)
    with pytest.raises(RuntimeError) as caught:
        stream.throw(thrown)
    assert caught.value is thrown
    assert log == ["closed"]

    async def main() -> None:
        stream = decorate(async_conversation)(log)
        assert isinstance(stream, types.AsyncGeneratorType)
        await anext(stream)
        with pytest.raises(RuntimeError) as caught:
            await stream.athrow(thrown)
        assert caught.value is thrown

    run(main())
    assert log == ["closed", "closed"]


def test_closing_closes_the_generator_inside(decorate: Callable[..., Callable[..., object]]) -> None:
    log: Log = []
    stream = decorate(conversation)(log)
    assert isinstance(stream, types.GeneratorType)
    next(stream)
    stream.close()
    assert log == ["closed"]
    with pytest.raises(StopIteration):
        next(stream)


def test_closing_closes_the_async_generator_inside_and_waits_for_it(
    decorate: Callable[..., Callable[..., object]],
) -> None:
    log: Log = []

    async def main() -> None:
        stream = decorate(async_conversation)(log)
        assert isinstance(stream, types.AsyncGeneratorType)
        await anext(stream)
        await stream.aclose()
        assert log == ["closed"]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main())


def test_an_early_break_closes_the_generator_inside(decorate: Callable[..., Callable[..., object]]) -> None:
    log: Log = []
    for _ in decorate(conversation)(log):  # type: ignore[attr-defined]
        break
    gc.collect()
    assert log == ["closed"]

    async def main() -> None:
        async for _ in decorate(async_conversation)(log):  # type: ignore[attr-defined]
            break
        await asyncio.sleep(1)  # the loop closes what was dropped, as it does for any async generator

    run(main())
    assert log == ["closed", "closed"]


def test_a_generator_that_ignores_its_closing_is_reported_as_ever(
    decorate: Callable[..., Callable[..., object]],
) -> None:
    @decorate
    def stubborn() -> Generator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 2

    stream = stubborn()
    assert isinstance(stream, types.GeneratorType)
    next(stream)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        stream.close()


@pytest.mark.parametrize("name", POLICIES)
def test_a_failure_after_the_first_item_passes_through_unjudged(name: str) -> None:
    policy = POLICIES[name]()
    begun = 0

    @policy
    def rows() -> Generator[int]:
        nonlocal begun
        begun += 1
        yield 1
        raise ConnectionError("lost on the way")

    stream = rows()
    assert next(stream) == 1
    with pytest.raises(ConnectionError, match="lost on the way") as caught:
        next(stream)
    assert type(caught.value) is ConnectionError
    assert begun == 1
    if name == "breaker":
        assert policy.state == "closed"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", POLICIES)
def test_a_failure_of_an_async_generator_after_its_first_item_passes_through_unjudged(name: str) -> None:
    policy = POLICIES[name]()
    begun = 0

    @policy
    async def rows() -> AsyncGenerator[int]:
        nonlocal begun
        begun += 1
        yield 1
        raise ConnectionError("lost on the way")

    async def main() -> None:
        stream = rows()
        assert await anext(stream) == 1
        with pytest.raises(ConnectionError, match="lost on the way") as caught:
            await anext(stream)
        assert type(caught.value) is ConnectionError

    run(main())
    assert begun == 1
    if name == "breaker":
        assert policy.state == "closed"  # type: ignore[union-attr]


def test_a_retried_generator_begins_anew_until_its_first_item_is_out() -> None:
    retry = create_database_retry_policy(3, 0, 0, sleep=lambda _: None)
    begun = 0

    @retry
    async def rows() -> AsyncGenerator[int]:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ConnectionError("not yet")
        yield begun
        yield begun + 1

    async def main() -> list[int]:
        return [item async for item in rows()]

    assert run(main()) == [3, 4]


def test_a_generator_that_never_gives_an_item_exhausts_the_retry() -> None:
    @create_database_retry_policy(3, 0, 0, sleep=lambda _: None)
    def rows() -> Generator[int]:
        raise ConnectionError("never")
        yield

    with pytest.raises(InfraConnectionError) as caught:
        next(rows())
    assert caught.value.retry_count == 3


def test_an_open_circuit_refuses_a_generator_at_its_first_item() -> None:
    breaker = create_database_circuit_breaker(1, clock=lambda: 0.0)
    breaker.trip()
    stream = breaker(conversation)([])
    with pytest.raises(InfraUnavailableError):
        next(stream)


def test_cancelling_the_consumer_before_the_first_item_records_nothing() -> None:
    breaker = create_database_circuit_breaker(1, clock=lambda: 0.0)
    log: Log = []

    @breaker
    async def rows() -> AsyncGenerator[int]:
        try:
            await asyncio.sleep(3600)
            yield 1
        finally:
            log.append("closed")

    async def main() -> None:
        task = asyncio.ensure_future(anext(rows()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert log == ["closed"]
    assert breaker.state == "closed"


def test_each_call_has_a_stream_of_its_own(decorate: Callable[..., Callable[..., object]]) -> None:
    policy = create_database_circuit_breaker()

    @policy
    def rows(start: int) -> Generator[int]:
        yield start
        yield start + 1

    first, second = rows(0), rows(10)
    assert [next(first), next(second), next(first), next(second)] == [0, 10, 1, 11]
