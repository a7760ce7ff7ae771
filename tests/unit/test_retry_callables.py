"""Every kind of callable is retried as what it is, and a call leaves nothing behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable

import pytest
import tenacity
from tests.support.garbage import garbage_of, garbage_of_async
from tests.support.retries import Script, call_coroutine, call_plain
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import InfrastructureRetryPolicy, create_database_retry_policy

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])


def policy(**settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"sleep": lambda seconds: None, "rng": lambda: 0.0, **settings})


def test_name_docstring_signature_and_kind_are_kept():
    async def query(sql: str, *, timeout: float = 2.0) -> list[str]:
        """Run it."""
        return [sql]

    guarded = policy()(query)
    assert inspect.iscoroutinefunction(guarded)
    assert inspect.signature(guarded) == inspect.signature(query)
    assert (guarded.__name__, guarded.__doc__, guarded.__qualname__) == ("query", "Run it.", query.__qualname__)


def test_methods_class_methods_and_static_methods_are_retried():
    class Repository:
        calls = 0

        @policy()
        def find(self, key: int) -> tuple[object, int]:
            Repository.calls += 1
            if Repository.calls < 3:
                raise ConnectionError
            return self, key

        @policy()
        @classmethod
        def build(cls, key: int) -> tuple[object, int]:
            return cls, key

        @policy()
        @staticmethod
        def add(key: int) -> int:
            return key

    repository = Repository()
    assert repository.find(7) == (repository, 7)
    assert Repository.calls == 3
    assert Repository.build(8) == (Repository, 8)
    assert Repository.add(9) == 9


def test_partials_and_objects_with_an_async_call_are_retried():
    class Client:
        calls = 0

        async def __call__(self, key: int) -> int:
            self.calls += 1
            if self.calls < 3:
                raise ConnectionError
            return key

    client = Client()
    assert asyncio.run(policy()(client)(7)) == 7
    assert client.calls == 3

    client = Client()
    assert asyncio.run(policy()(functools.partial(client, 8))()) == 8
    assert client.calls == 3


def test_a_stop_iteration_of_a_plain_function_passes_as_it_is():
    for settings in ({}, {"max_elapsed": 60.0}):
        rows = iter(["first"])
        fetch = policy(**settings)(lambda rows=rows: next(rows))
        assert fetch() == "first"
        with pytest.raises(StopIteration):
            fetch()


@both_kinds
@pytest.mark.parametrize("settings", [{}, {"max_elapsed": 60.0}])
def test_an_exit_of_the_program_is_never_retried_whatever_the_strategy_says(call, settings):
    for leaving in (KeyboardInterrupt, SystemExit, GeneratorExit):
        script = Script(leaving)
        with pytest.raises(leaving):
            call(policy(retry=tenacity.retry_if_exception_type(BaseException), **settings), script)
        assert script.calls == 1


@pytest.mark.parametrize("settings", [{}, {"max_elapsed": 60.0}])
def test_a_plain_function_that_returns_a_coroutine_is_refused_not_called_unprotected(settings):
    async def work() -> None:
        """Never begun."""

    def prepare() -> object:
        return work()

    with pytest.raises(TypeError, match="is a plain function but returned a coroutine"):
        policy(**settings)(prepare)()


def test_a_generator_is_retried_until_its_first_item_and_then_passed_through():
    begun = 0

    @policy()
    def rows(sql: str):
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ConnectionError
        received = yield f"{sql} 1"
        yield f"{sql} {received}"
        raise ConnectionError("after the first item")

    stream = rows("select")
    assert inspect.isgeneratorfunction(rows)
    assert next(stream) == "select 1"
    assert begun == 3
    assert stream.send("sent") == "select sent"
    with pytest.raises(ConnectionError, match="after the first item") as caught:
        next(stream)
    assert not isinstance(caught.value, InfraConnectionError)
    assert begun == 3


def test_a_generator_that_never_gets_to_its_first_item_exhausts_the_retries():
    @policy()
    def rows():
        raise ConnectionError
        yield

    with pytest.raises(InfraConnectionError) as caught:
        next(rows())
    assert caught.value.retry_count == 3


def test_an_empty_generator_is_a_success_and_keeps_its_return_value():
    @policy()
    def rows():
        return "nothing"
        yield

    with pytest.raises(StopIteration) as caught:
        next(rows())
    assert caught.value.value == "nothing"


def test_an_async_generator_is_retried_until_its_first_item_and_then_passed_through():
    async def main() -> None:
        begun, closed = 0, []

        @policy(sleep=None, clock=loop_clock)
        async def rows(sql: str):
            nonlocal begun
            begun += 1
            if begun < 3:
                raise ConnectionError
            try:
                received = yield f"{sql} 1"
                try:
                    yield f"{sql} {received}"
                except LookupError:
                    yield "thrown in"
            finally:
                closed.append(begun)

        assert inspect.isasyncgenfunction(rows)
        stream = rows("select")
        assert await anext(stream) == "select 1"
        assert begun == 3
        assert loop_clock() == 2
        assert await stream.asend("sent") == "select sent"
        assert await stream.athrow(LookupError()) == "thrown in"
        await stream.aclose()
        assert closed == [3]
        assert [item async for item in rows("all")] == ["all 1", "all None"]

    run(main())


def test_max_elapsed_bounds_a_generator_that_hangs_before_its_first_item():
    async def main() -> None:
        @policy(max_elapsed=5, clock=loop_clock)
        async def rows():
            await asyncio.sleep(3600)
            yield 1

        with pytest.raises(InfraTimeoutError):
            await anext(rows())
        assert loop_clock() == 5

    run(main())


def test_a_function_that_calls_itself_keeps_each_call_apart():
    depths: list[int] = []

    @policy()
    def descend(depth: int) -> int:
        depths.append(depth)
        if depths.count(depth) < 2:
            raise ConnectionError
        return 0 if depth == 0 else 1 + descend(depth - 1)

    assert descend(3) == 3
    assert [depths.count(depth) for depth in range(4)] == [2, 2, 2, 2]


@pytest.mark.parametrize("settings", [{}, {"max_elapsed": 60.0}, {"stop": tenacity.stop_after_attempt(3)}])
@pytest.mark.parametrize("outcomes", [("rows",), (ConnectionError, "rows"), (ConnectionError,), (ValueError,)])
def test_a_call_leaves_no_cyclic_garbage_however_it_ends(settings, outcomes):
    plain = policy(**settings)(Script(*outcomes))
    script = Script(*outcomes)

    @policy(**settings)
    async def coroutine() -> object:
        return script()

    async def awaited() -> None:
        try:
            await coroutine()
        except (ConnectionError, ValueError):
            pass

    def called() -> None:
        try:
            plain()
        except (ConnectionError, ValueError):
            pass

    assert asyncio.run(garbage_of_async(awaited)) == 0
    assert garbage_of(called) == 0
