"""A pipeline guards every kind of callable, which keeps its kind, name and signature."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import cast

import pytest
from tests.support.virtual_time import clock, run

from omnibase_infra.enums import EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import (
    Fallback,
    ResiliencePipeline,
    Timeout,
    add_observer,
    create_database_bulkhead,
    create_database_circuit_breaker,
    create_database_hedge,
    create_database_rate_limiter,
    create_database_retry_policy,
    create_stale_cache,
    resilience,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

Body = Callable[[int], int]


def no_sleep(_: float) -> None:
    """Wait for nothing."""


def whole() -> ResiliencePipeline:
    """The usual order, under which the third attempt counts."""
    return resilience(
        Timeout(30),
        create_database_retry_policy(3, 0, 0, sleep=no_sleep),
        create_database_circuit_breaker(5),
        create_database_rate_limiter(),
        create_database_bulkhead(),
        Timeout(5),
        name="orders",
    )


def with_a_fallback() -> ResiliencePipeline:
    return resilience(Fallback(lambda *_: [-1]), *whole().policies)


class Failing:
    """Doubles its argument, after two failures."""

    def __init__(self, failures: int = 2) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self, x: int) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionResetError
        return 2 * x


def plain(pipeline: ResiliencePipeline, body: Body) -> int:
    @pipeline
    def query(x: int) -> int:
        return body(x)

    return query(4)


def coroutine(pipeline: ResiliencePipeline, body: Body) -> int:
    @pipeline
    async def query(x: int) -> int:
        return body(x)

    assert inspect.iscoroutinefunction(query)
    return asyncio.run(query(4))


def method(pipeline: ResiliencePipeline, body: Body) -> int:
    class Repository:
        factor = 1

        @pipeline
        async def query(self, x: int) -> int:
            return self.factor * body(x)

    return asyncio.run(Repository().query(4))


def class_method(pipeline: ResiliencePipeline, body: Body) -> int:
    class Repository:
        factor = 1

        @pipeline
        @classmethod
        def query(cls, x: int) -> int:
            return cls.factor * body(x)

    return cast("Callable[[int], int]", Repository.query)(4)


def partial(pipeline: ResiliencePipeline, body: Body) -> int:
    async def query(factor: int, x: int) -> int:
        return factor * body(x)

    return asyncio.run(pipeline(functools.partial(query, 1))(4))


def callable_object(pipeline: ResiliencePipeline, body: Body) -> int:
    class Query:
        async def __call__(self, x: int) -> int:
            return body(x)

    guarded = pipeline(Query())
    assert inspect.iscoroutinefunction(guarded)
    return asyncio.run(guarded(4))


def generator(pipeline: ResiliencePipeline, body: Body) -> int:
    @pipeline
    def rows(x: int) -> Generator[int]:
        yield body(x)

    assert inspect.isgeneratorfunction(rows)
    return next(iter(list(rows(4))))


def async_generator(pipeline: ResiliencePipeline, body: Body) -> int:
    @pipeline
    async def rows(x: int) -> AsyncGenerator[int]:
        yield body(x)

    assert inspect.isasyncgenfunction(rows)

    async def main() -> list[int]:
        return [row async for row in rows(4)]

    return next(iter(asyncio.run(main())))


def called(pipeline: ResiliencePipeline, body: Body) -> int:
    return pipeline.call(body, 4)


def awaited(pipeline: ResiliencePipeline, body: Body) -> int:
    async def query(x: int) -> int:
        return body(x)

    async def main() -> int:
        return await pipeline.call(query, 4)

    return asyncio.run(main())


KINDS = [
    *(plain, coroutine, method, class_method, partial, callable_object, generator, async_generator, called, awaited)
]


@pytest.mark.parametrize("make", [whole, with_a_fallback])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_callable_is_retried_until_it_succeeds(
    kind: Callable[[ResiliencePipeline, Body], int], make: Callable[[], ResiliencePipeline]
) -> None:
    body = Failing()
    assert kind(make(), body) == 8
    assert body.calls == 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_callable_raises_the_onex_error_in_the_end(
    kind: Callable[[ResiliencePipeline, Body], int],
) -> None:
    body = Failing(99)
    with pytest.raises(InfraConnectionError) as caught:
        kind(whole(), body)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert body.calls == 3


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in (generator, async_generator)])
def test_a_fallback_answers_for_a_stream_with_its_items(kind: Callable[[ResiliencePipeline, Body], int]) -> None:
    assert kind(with_a_fallback(), Failing(99)) == -1


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_the_caller_pass_through_untouched(kind: Callable[[ResiliencePipeline, Body], int]) -> None:
    error = ValueError("yours")

    def body(_: int) -> int:
        raise error

    with pytest.raises(ValueError, match="yours") as caught:
        kind(whole(), body)
    assert caught.value is error


@pytest.mark.parametrize("make", [whole, with_a_fallback])
def test_name_documentation_and_signature_are_kept(make: Callable[[], ResiliencePipeline]) -> None:
    async def query(sql: str, *, limit: int = 10) -> list[str]:
        """Ask the database."""
        return [sql] * limit

    guarded = make()(query)
    assert (guarded.__name__, guarded.__doc__) == ("query", "Ask the database.")
    assert guarded.__qualname__ == query.__qualname__
    assert inspect.signature(guarded) == inspect.signature(query)


def test_one_pipeline_guards_many_functions_as_one_circuit() -> None:
    pipeline = resilience(create_database_circuit_breaker(1))

    @pipeline
    async def one() -> None:
        raise ConnectionResetError

    @pipeline
    def other() -> int:
        return 1

    with pytest.raises(InfraConnectionError):
        asyncio.run(one())
    with pytest.raises(Exception, match="Circuit breaker open"):
        other()


def test_the_fallback_s_event_names_a_partial_by_its_function() -> None:
    async def query(_: int) -> int:
        raise ConnectionResetError

    seen: list[str | None] = []

    def observe(event: ModelResilienceEvent) -> None:
        if event.kind is EnumResilienceEvent.FALLBACK_USED:
            seen.append(event.operation)

    remove = add_observer(observe, inline=True)
    try:
        asyncio.run(resilience(Fallback(value=0), create_database_circuit_breaker())(functools.partial(query, 1))())
    finally:
        remove()
    assert seen == [query.__qualname__]


def test_on_a_plain_function_the_total_timeout_keeps_a_further_attempt_from_being_begun() -> None:
    clock_now = [0.0]

    def sleep(seconds: float) -> None:
        clock_now[0] += seconds

    retry = create_database_retry_policy(5, 4, 4, clock=lambda: clock_now[0], sleep=sleep)
    body = Failing(99)
    with pytest.raises(InfraConnectionError):
        resilience(Timeout(10), retry, create_database_circuit_breaker())(body)(1)
    assert body.calls == 3  # at 0, 4 and 8 seconds; a fourth would begin at 12


def test_on_a_plain_function_timeouts_that_may_not_leave_it_behind_are_left_out() -> None:
    assert resilience(Timeout(0.001), create_database_circuit_breaker(), Timeout(0.001))(lambda: 7)() == 7


def test_timeouts_alone_refuse_a_plain_function() -> None:
    with pytest.raises(TypeError, match="is a plain function, which no timeout can interrupt"):
        resilience(Timeout(5))(lambda: None)
    assert resilience(Timeout(5, abandon=True))(lambda: 7)() == 7


def test_a_hedge_refuses_a_plain_function() -> None:
    with pytest.raises(TypeError, match="is a plain function: a hedge needs an async one"):
        resilience(create_database_hedge(idempotent=True))(lambda: None)


@pytest.mark.parametrize("decorate", [lambda pipeline, fn: pipeline(fn), lambda pipeline, fn: pipeline.call(fn)])
def test_a_cache_refuses_a_generator_function(
    decorate: Callable[[ResiliencePipeline, Callable[[], object]], object],
) -> None:
    async def rows() -> AsyncGenerator[int]:
        yield 1

    with pytest.raises(TypeError, match="rows"):
        decorate(resilience(create_stale_cache(), create_database_circuit_breaker()), rows)


@pytest.mark.parametrize("what", [int, property(lambda _: None), 7])
def test_what_cannot_be_guarded_is_refused_at_decoration(what: object) -> None:
    with pytest.raises(TypeError, match="cannot protect"):
        whole()(what)  # type: ignore[arg-type]


def test_a_hang_ends_on_time_and_gives_everything_back() -> None:
    async def hang() -> None:
        await asyncio.sleep(1_000)

    async def main() -> float:
        with pytest.raises(InfraTimeoutError):
            await resilience(create_database_bulkhead(1), Timeout(5))(hang)()
        return clock()

    assert run(main()) == 5
