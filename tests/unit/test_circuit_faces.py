"""Contract section 4: what a breaker can guard, in which ways, and who sees it."""

import asyncio
import contextvars
import functools
import inspect
import subprocess
import sys

import pytest
from circuitbreaker import CircuitBreaker as BaseBreaker
from circuitbreaker import CircuitBreakerMonitor
from tests.support import virtual_time
from tests.support.circuits import FACES, Clock, attempt, drive, fail, fresh, make, refused

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    CircuitBreaker,
    InfrastructureCircuitBreaker,
    create_database_circuit_breaker,
)
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig


async def coroutine_function(number: int, /, *, word: str = "w") -> str:
    """Doc."""
    return word * number


def plain(number: int, /, *, word: str = "w") -> str:
    """Doc."""
    return word * number


async def async_generator(number: int):
    """Doc."""
    for item in range(number):
        yield item


def generator(number: int):
    """Doc."""
    yield from range(number)


@pytest.mark.parametrize("fn", [coroutine_function, plain, async_generator, generator])
def test_a_guarded_function_keeps_its_name_docstring_signature_and_kind(fn):
    guarded = make()(fn)
    assert (guarded.__name__, guarded.__qualname__, guarded.__doc__) == (fn.__name__, fn.__qualname__, "Doc.")
    assert inspect.signature(guarded) == inspect.signature(fn)
    for is_kind in (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction):
        assert is_kind(guarded) is is_kind(fn)


class Repository:
    breaker = make()

    def __init__(self):
        self.prefix = "self"

    @breaker
    async def load(self, key):
        return f"{self.prefix} {key}"

    @breaker
    def peek(self, key):
        return f"{self.prefix} {key}"

    @classmethod
    @breaker
    def of_class(cls):
        return cls.__name__

    @breaker
    @staticmethod
    def of_nobody():
        return "static"


class AsyncCallable:
    async def __call__(self, word):
        return word


def test_methods_partials_and_callable_objects_are_guarded_as_one_circuit():
    repository = Repository()
    breaker = Repository.breaker
    guarded_partial = breaker(functools.partial(plain, 2))
    guarded_object = breaker(AsyncCallable())
    assert inspect.iscoroutinefunction(guarded_object)

    def everything():
        yield lambda: drive(repository.load("a"))
        yield lambda: repository.peek("a")
        yield Repository.of_class
        yield Repository.of_nobody
        yield guarded_partial
        yield lambda: drive(guarded_object("word"))
        yield lambda: drive(breaker.call(AsyncCallable(), "word"))
        yield lambda: breaker.call(functools.partial(plain, 2))

    assert [call() for call in everything()] == ["self a", "self a", "Repository", "static", "ww", "word", "word", "ww"]
    breaker.trip()
    for call in everything():
        with pytest.raises(InfraUnavailableError):
            call()
    breaker.reset()


def test_a_generator_is_guarded_until_its_first_item_is_out():
    breaker = make(failure_threshold=1)

    @breaker
    def stream(*, broken_at):
        for item in range(3):
            if item == broken_at:
                raise ConnectionResetError
            yield item

    seen = []
    with pytest.raises(ConnectionResetError):
        seen.extend(stream(broken_at=1))
    assert breaker.closed
    with pytest.raises(ConnectionResetError):
        next(stream(broken_at=0))
    assert breaker.state is EnumCircuitState.OPEN
    with pytest.raises(InfraUnavailableError):
        next(stream(broken_at=None))


def test_call_gives_arguments_and_result_through():
    breaker = make()
    assert breaker.call(plain, 2, word="x") == "xx"
    assert asyncio.run(breaker.call(coroutine_function, 2, word="x")) == "xx"
    assert asyncio.run(breaker.call_async(coroutine_function, 2, word="x")) == "xx"
    assert list(breaker.call_generator(generator, 2)) == [0, 1]

    async def items():
        return [item async for item in breaker.call_async_generator(async_generator, 2)]

    assert asyncio.run(items()) == [0, 1]


def test_a_block_gives_the_breaker_and_swallows_nothing():
    breaker = make()
    with breaker as entered:
        assert entered is breaker
    with pytest.raises(ConnectionRefusedError), breaker:
        raise ConnectionRefusedError
    assert breaker.failure_count == 1


def test_nested_blocks_of_one_breaker_each_take_a_place():
    clock = Clock()
    breaker = make(clock, half_open_max_calls=2, success_threshold=3)
    breaker.trip()
    clock.advance(60)
    with breaker:
        with breaker:
            refused(breaker, "with")
        with breaker:
            refused(breaker, "with")
    assert breaker.closed


def in_another_context(call, *arguments):
    return contextvars.Context().run(call, *arguments)


def test_a_block_left_in_another_context_gives_its_place_back():
    clock = Clock()
    breaker = make(clock, success_threshold=2)
    breaker.trip()
    clock.advance(60)
    in_another_context(breaker.__enter__)
    refused(breaker)
    in_another_context(breaker.__exit__, None, None, None)
    assert attempt(breaker) == "ok"
    assert breaker.closed


def test_a_block_left_in_another_context_counts_its_failure():
    breaker = make(failure_threshold=2)
    for _ in range(2):
        in_another_context(breaker.__enter__)
        in_another_context(breaker.__exit__, ConnectionError, ConnectionError(), None)
    assert breaker.state is EnumCircuitState.OPEN


@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["success", "failure"])
def test_a_late_block_left_in_another_context_neither_decides_a_probe_nor_takes_its_place(error):
    clock = Clock()
    breaker = make(clock, half_open_max_calls=1)
    in_another_context(breaker.__enter__)
    breaker.trip()
    clock.advance(60)
    with breaker:
        in_another_context(breaker.__exit__, type(error), error, None)
        assert breaker.state is EnumCircuitState.HALF_OPEN
        refused(breaker)
    assert breaker.closed


def test_a_block_settled_for_another_one_is_not_settled_twice():
    clock = Clock()
    breaker = make(clock, half_open_max_calls=2, success_threshold=4)
    breaker.trip()
    clock.advance(60)
    with breaker:
        in_another_context(breaker.__enter__)
        in_another_context(breaker.__exit__, None, None, None)
    assert breaker.circuit.generation.probes == 0
    assert breaker.circuit.generation.successes == 2
    assert not breaker._blocks


def test_the_documents_circuit_breaker_is_the_same_machine_with_its_own_defaults():
    assert CircuitBreaker is InfrastructureCircuitBreaker
    breaker = CircuitBreaker(ModelCircuitBreakerConfig())
    assert (breaker.failure_threshold, breaker.success_threshold, breaker.recovery_timeout) == (5, 2, 60)
    assert CircuitBreaker().config == breaker.config
    assert breaker.transport is None

    breaker(plain)
    assert breaker.name == "plain"
    assert asyncio.run(CircuitBreaker(config=ModelCircuitBreakerConfig()).call(coroutine_function, 1)) == "w"


def test_an_unnamed_breaker_is_shown_under_its_transport_and_its_first_functions_name():
    breaker = make()
    assert (breaker.name, str(breaker)) == (None, "unnamed_CircuitBreaker")
    breaker(Repository.peek)
    breaker(plain)
    assert breaker.name == str(breaker) == "db:Repository.peek"
    assert CircuitBreakerMonitor.get("db:Repository.peek") is breaker


def test_two_unnamed_breakers_are_two_circuits_even_on_functions_of_one_name():
    first, second = make(failure_threshold=1), make(failure_threshold=1)
    fail(first)
    assert (first.name, second.closed) == ("db:attempt.<locals>.act", True)
    fail(second)
    first.reset()
    assert (first.closed, second.closed) == (True, False)


def test_the_monitor_sees_a_breaker_that_is_only_called():
    breaker = make()

    def only_called():
        return "ok"

    breaker.call(only_called)
    assert CircuitBreakerMonitor.get(breaker.name) is breaker


def test_the_monitor_sees_names_and_states(monkeypatch):
    monkeypatch.setattr(CircuitBreakerMonitor, "circuit_breakers", {})
    clock = Clock()
    breaker = make(clock, name=fresh("monitored"), failure_threshold=1)
    assert isinstance(breaker, BaseBreaker)
    assert CircuitBreakerMonitor.get(breaker.name) is breaker

    def seen():
        return breaker in CircuitBreakerMonitor.get_closed(), breaker in CircuitBreakerMonitor.get_open()

    assert seen() == (True, False)
    fail(breaker)
    assert seen() == (False, True)
    assert not CircuitBreakerMonitor.all_closed()
    assert "OPEN until" in str(refused(breaker).__cause__)
    clock.advance(60)
    assert seen() == (False, False)
    breaker.isolate()
    assert seen() == (False, True)
    breaker.reset()


@pytest.mark.parametrize("face", ["function", "call"])
def test_a_sync_fallback_gets_the_calls_arguments_while_the_circuit_is_open(face):
    clock = Clock()
    breaker = make(clock, fallback_function=lambda number, *, word: ("instead", number, word))
    call = breaker(plain) if face == "function" else functools.partial(breaker.call, plain)
    assert call(2, word="x") == "xx"
    breaker.trip()
    assert call(2, word="x") == ("instead", 2, "x")
    clock.advance(60)
    assert call(2, word="x") == "xx"
    breaker.isolate()
    assert call(2, word="x") == ("instead", 2, "x")


async def instead(number, *, word):
    await asyncio.sleep(1)
    return "instead", number, word


@pytest.mark.parametrize(
    "fallback", [instead, lambda number, *, word: ("instead", number, word)], ids=["async", "sync"]
)
@pytest.mark.parametrize("face", ["coroutine function", "await call"])
def test_a_fallback_for_a_coroutine_function_may_be_sync_or_async(face, fallback):
    async def main():
        breaker = make(fallback_function=fallback)
        fn = (
            breaker(coroutine_function)
            if face == "coroutine function"
            else functools.partial(breaker.call, coroutine_function)
        )
        assert await fn(2, word="x") == "xx"
        breaker.trip()
        return await fn(2, word="x")

    assert virtual_time.run(main()) == ("instead", 2, "x")


async def listed(number):
    return ["instead", number]


async def streamed(number):
    yield "instead"
    yield number


IN_PLACE_OF_A_STREAM = {
    "a list": lambda number: ["instead", number],
    "a generator": lambda number: (item for item in ("instead", number)),
    "a coroutine": listed,
    "an async generator": streamed,
}


@pytest.mark.parametrize("answer", ["a list", "a generator"])
def test_a_fallback_for_a_generator_gives_the_items_in_its_place(answer):
    breaker = make(fallback_function=IN_PLACE_OF_A_STREAM[answer])
    assert list(breaker(generator)(2)) == [0, 1]
    breaker.trip()
    assert list(breaker(generator)(2)) == ["instead", 2]


@pytest.mark.parametrize("answer", IN_PLACE_OF_A_STREAM)
def test_a_fallback_for_an_async_generator_gives_the_items_in_its_place(answer):
    breaker = make(fallback_function=IN_PLACE_OF_A_STREAM[answer])

    async def items():
        return [item async for item in breaker(async_generator)(2)]

    assert asyncio.run(items()) == [0, 1]
    breaker.trip()
    assert asyncio.run(items()) == ["instead", 2]


def test_a_fallback_serves_only_this_breakers_own_rejections():
    inner = make()
    inner.trip()
    outer = make(fallback_function=lambda: "instead")
    with pytest.raises(InfraUnavailableError):
        outer.call(inner(lambda: "unreached"))
    with pytest.raises(ConnectionRefusedError):
        attempt(outer, "call", ConnectionRefusedError())


def test_a_fallback_that_raises_is_heard_and_counts_nothing():
    def broken():
        raise ConnectionRefusedError

    breaker = make(fallback_function=broken)
    breaker.trip()
    with pytest.raises(ConnectionRefusedError):
        breaker.call(lambda: "unreached")
    assert breaker.failure_count == 0


def test_an_async_fallback_for_a_plain_function_is_refused_at_decoration():
    with pytest.raises(TypeError, match="plain is a plain function: an async fallback can only serve an async one"):
        make(fallback_function=instead)(plain)
    assert inspect.iscoroutinefunction(make(fallback_function=instead)(coroutine_function))


@pytest.mark.parametrize("unprotectable", [Repository, property(lambda self: 1), 5, None])
def test_what_cannot_be_guarded_is_refused_at_decoration(unprotectable):
    with pytest.raises(TypeError, match="cannot protect"):
        make()(unprotectable)


def test_a_plain_function_that_returns_a_coroutine_is_refused_and_its_place_comes_back():
    clock = Clock()
    breaker = make(clock)
    breaker.trip()
    clock.advance(60)
    with pytest.raises(TypeError, match="returned a coroutine"):
        breaker.call(lambda: coroutine_function(1))
    assert attempt(breaker) == "ok"


def test_importing_and_decorating_starts_no_thread():
    program = (
        "import threading\n"
        "from omnibase_infra.infrastructure.resilience import create_database_circuit_breaker\n"
        "create_database_circuit_breaker()(lambda: 1)()\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("face", FACES)
def test_the_default_clock_and_randomness_work(face):
    breaker = create_database_circuit_breaker(recovery_timeout=0, failure_rate=0.5, recovery_jitter=0.5)
    assert attempt(breaker, face) == "ok"
    breaker.trip()
    assert attempt(breaker, face) == "ok"
    assert breaker.closed
