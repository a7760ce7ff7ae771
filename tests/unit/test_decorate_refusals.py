"""What cannot be guarded is a TypeError, at decoration wherever it can be known then; it never passes silently."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from unittest.mock import MagicMock

import pytest
from tests.support.policies import POLICIES, Policy

from omnibase_infra.infrastructure.resilience.decorate import IS_DEFERRED


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Policy:
    return POLICIES[request.param]()


class Client:
    @contextlib.contextmanager
    def session(self) -> Iterator[int]:
        yield 1

    @contextlib.asynccontextmanager
    async def async_session(self) -> AsyncIterator[int]:
        yield 1


@contextlib.contextmanager
def session(n: int = 1) -> Iterator[int]:
    yield n


@contextlib.asynccontextmanager
async def async_session(n: int = 1) -> AsyncIterator[int]:
    yield n


class OpensSessions:
    @contextlib.contextmanager
    def __call__(self) -> Iterator[int]:
        yield 1


NOT_FOR_ANY_POLICY = [
    (Client, "cannot protect the class Client; decorate its methods"),
    (int, "cannot protect the class int; decorate its methods"),
    (property(lambda self: 1), "cannot protect a property; decorate the function below @property"),
    (functools.cached_property(lambda self: 1), "cannot protect a cached_property; a function, method or other"),
    (functools.partialmethod(len), "cannot protect a partialmethod; a function, method or other callable"),
    (42, "cannot protect a int; a function, method or other callable is needed"),
    (None, "cannot protect a NoneType; a function"),
    ("name", "cannot protect a str; a function"),
    (session, "cannot protect the context manager session; decorate the function that it calls"),
    (async_session, "cannot protect the context manager async_session; decorate the function"),
    (Client().session, "cannot protect the context manager Client.session;"),
    (Client.async_session, "cannot protect the context manager Client.async_session;"),
    (functools.partial(session, 2), "cannot protect the context manager session;"),
    (functools.partial(functools.partial(async_session, 2)), "cannot protect the context manager async_session;"),
    (OpensSessions(), "cannot protect the context manager OpensSessions;"),
    (staticmethod(session), "cannot protect the context manager session;"),
    (classmethod(42), "cannot protect a int;"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("thing", "message"), NOT_FOR_ANY_POLICY)
def test_what_cannot_be_guarded_is_refused_at_decoration(policy: Policy, thing: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        policy(thing)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("thing", [Client, 42, session])
def test_the_call_method_refuses_the_same_things(policy: Policy, thing: object) -> None:
    with pytest.raises(TypeError, match="cannot protect"):
        policy.call(thing)  # type: ignore[arg-type]


async def work() -> int:
    raise AssertionError("never begun")


def items() -> Generator[int]:
    raise AssertionError("never begun")
    yield


async def async_items() -> AsyncGenerator[int]:
    raise AssertionError("never begun")
    yield


class Deferred:
    def __await__(self) -> Generator[None, None, int]:
        raise AssertionError("never begun")


@pytest.mark.parametrize(
    ("make", "named"),
    [(work, "coroutine"), (items, "generator"), (async_items, "async_generator"), (Deferred, "Deferred")],
)
def test_a_plain_function_that_returns_work_still_to_be_done_is_refused_at_its_call(
    policy: Policy, make: Callable[[], object], named: str
) -> None:
    with pytest.raises(TypeError, match=rf"fetch\(\) is a plain function but returned a {named}, whose work would run"):
        policy(fetch_of(make))()


def fetch_of(make: Callable[[], object]) -> Callable[[], object]:
    def fetch() -> object:
        return make()

    fetch.__qualname__ = "fetch"
    return fetch


def test_a_task_returned_by_a_plain_function_is_refused(policy: Policy) -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(TypeError, match="returned a Future"):
            policy(fetch_of(lambda: future))()

    asyncio.run(main())


def test_a_wrapper_that_hides_a_coroutine_function_is_refused_rather_than_left_unguarded(policy: Policy) -> None:
    @functools.wraps(work)
    def logged() -> Coroutine[object, None, int]:
        return work()

    with pytest.raises(TypeError, match="decorate the 'async def' or generator function itself"):
        policy(logged)()


@pytest.mark.parametrize(
    "result", [None, 1, [1], iter([1]), range(3), MagicMock(), open, map(str, [1]), contextlib.nullcontext()]
)
def test_results_that_are_no_work_pass(policy: Policy, result: object) -> None:
    assert policy(fetch_of(lambda: result))() is result


def test_a_generator_expression_is_lazy_data_not_work(policy: Policy) -> None:
    assert list(policy(lambda: (2 * x for x in range(3)))()) == [0, 2, 4]


def test_a_callable_with_attributes_of_its_own_making_is_guarded_like_any_other(policy: Policy) -> None:
    class Dynamic:
        def __getattr__(self, name: str) -> object:
            if name.startswith("__") and name != "__code__":
                raise AttributeError(name)
            return []

        def __call__(self) -> int:
            return 7

    assert policy(Dynamic())() == 7


def test_an_abstract_method_stays_abstract(policy: Policy) -> None:
    class Base(abc.ABC):
        @policy
        @abc.abstractmethod
        def fetch(self) -> int: ...

    assert Base.__abstractmethods__ == {"fetch"}


def test_the_classes_of_results_are_not_all_remembered() -> None:
    for number in range(3_000):
        assert not IS_DEFERRED[type(f"Made{number}", (), {})]
    assert len(IS_DEFERRED) <= 1_000
    assert IS_DEFERRED[Coroutine]
    assert not IS_DEFERRED[int]
