"""A decorated callable keeps its name, docstring, signature, attributes and kind."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator

import pytest
from tests.support.policies import POLICIES

from omnibase_infra.infrastructure.resilience import create_database_rate_limiter


def _fetch(sql: str, *, limit: int = 10) -> list[str]:
    """Fetch rows."""
    return [sql] * limit


async def _fetch_async(sql: str, *, limit: int = 10) -> list[str]:
    """Fetch rows."""
    return [sql] * limit


def _rows(sql: str, *, limit: int = 10) -> Generator[str]:
    """Fetch rows."""
    yield from [sql] * limit


async def _rows_async(sql: str, *, limit: int = 10) -> AsyncGenerator[str]:
    """Fetch rows."""
    for _ in range(limit):
        yield sql


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("fn", [_fetch, _fetch_async, _rows, _rows_async])
def test_name_docstring_signature_annotations_and_kind_are_kept(name: str, fn: Callable[..., object]) -> None:
    decorated = POLICIES[name]()(fn)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, attribute) == getattr(fn, attribute)
    assert inspect.signature(decorated) == inspect.signature(fn)
    assert inspect.unwrap(decorated) is fn
    for test in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert test(decorated) == test(fn)


@pytest.mark.parametrize("name", POLICIES)
def test_attributes_of_a_function_are_kept_and_those_of_an_object_are_its_own(name: str) -> None:
    def tagged(x: int) -> int:
        return x

    tagged.route = "/x"  # type: ignore[attr-defined]
    assert POLICIES[name]()(tagged).route == "/x"  # type: ignore[attr-defined]
    assert "state" not in vars(POLICIES[name]()(Described()))


class Described:
    """Fetches by name."""

    def __init__(self) -> None:
        self.state = "its own"

    async def __call__(self, key: str, default: int = 0) -> int:
        return default


class Streams:
    def __call__(self) -> Generator[int]:
        yield 1


@pytest.mark.parametrize("name", POLICIES)
def test_a_callable_object_gives_its_class_s_name_and_its_signature(name: str) -> None:
    described = Described()
    decorated = POLICIES[name]()(described)
    assert (decorated.__name__, decorated.__qualname__) == ("Described", "Described")
    assert (decorated.__doc__, decorated.__module__) == ("Fetches by name.", __name__)
    assert inspect.signature(decorated) == inspect.signature(described)
    assert inspect.iscoroutinefunction(decorated)
    assert decorated.__wrapped__ is described  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", POLICIES)
def test_a_partial_is_shown_as_the_function_it_calls_with_the_signature_that_is_left(name: str) -> None:
    partial = functools.partial(_fetch_async, "SELECT 1")
    decorated = POLICIES[name]()(partial)
    assert (decorated.__name__, decorated.__doc__, decorated.__module__) == ("_fetch_async", "Fetch rows.", __name__)
    assert inspect.signature(decorated) == inspect.signature(partial)
    assert inspect.iscoroutinefunction(decorated)


@pytest.mark.parametrize("name", POLICIES)
def test_a_class_method_guarded_from_outside_stays_one(name: str) -> None:
    class Base:
        @POLICIES[name]()  # type: ignore[arg-type]
        @classmethod
        def make(cls) -> str:
            """Make one."""
            return cls.__name__

    class Child(Base):
        pass

    assert isinstance(inspect.getattr_static(Base, "make"), classmethod)
    assert Child.make() == "Child"
    assert Child.make.__doc__ == "Make one."


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (_rows, "db:_rows"),
        (functools.partial(_rows, "x"), "db:_rows"),
        (functools.partial(functools.partial(_rows_async, "x")), "db:_rows_async"),
        (functools.partial(_fetch, "x"), "db:_fetch"),
        (Described(), "db:Described"),
        (Streams(), "db:Streams"),
    ],
)
def test_an_unnamed_policy_shows_the_function_by_its_qualified_name_whatever_its_kind(
    fn: Callable[..., object], name: str
) -> None:
    limiter = create_database_rate_limiter()
    limiter(fn)
    assert limiter.name == name
