"""Each policy guards each kind of callable, and leaves it the kind, name, docstring and signature it had."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from unittest.mock import AsyncMock, MagicMock

import pytest
from tests.support.policies import POLICIES, Body, Policy, assert_guarded

from omnibase_infra.infrastructure.resilience import (
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)

Run = Callable[[int], int]
Kind = Callable[[Policy, Body], Run]

KINDS: dict[str, Kind] = {}


def kind(build: Kind) -> Kind:
    KINDS[build.__name__] = build
    return build


def awaited(fn: Callable[[int], Awaitable[int]]) -> Run:
    async def main(x: int) -> int:
        return await fn(x)

    return lambda x: asyncio.run(main(x))


def iterated(fn: Callable[[int], Generator[int]]) -> Run:
    return lambda x: sum(fn(x))


def async_iterated(fn: Callable[[int], AsyncGenerator[int]]) -> Run:
    async def main(x: int) -> int:
        return sum([item async for item in fn(x)])

    return lambda x: asyncio.run(main(x))


class Async:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def __call__(self, x: int) -> int:
        return self.body(x)

    async def method(self, x: int) -> int:
        return self.body(x)


class Sync:
    def __init__(self, body: Body) -> None:
        self.body = body

    def __call__(self, x: int) -> int:
        return self.body(x)

    def method(self, x: int) -> int:
        return self.body(x)


class Items(Sync):
    def __call__(self, x: int) -> Generator[int]:  # type: ignore[override]
        yield self.body(x)


class AsyncItems(Sync):
    async def __call__(self, x: int) -> AsyncGenerator[int]:  # type: ignore[override]
        yield self.body(x)


@kind
def coroutine_function(policy: Policy, body: Body) -> Run:
    @policy
    async def fn(x: int) -> int:
        await asyncio.sleep(0)
        return body(x)

    return awaited(fn)


@kind
def plain_function(policy: Policy, body: Body) -> Run:
    @policy
    def fn(x: int) -> int:
        return body(x)

    return fn


@kind
def keyword_arguments(policy: Policy, body: Body) -> Run:
    @policy
    async def fn(*, x: int, **rest: int) -> int:
        return body(x) + rest["zero"]

    return awaited(lambda x: fn(x=x, zero=0))


@kind
def a_lambda(policy: Policy, body: Body) -> Run:
    return policy(lambda x: 1 * body(x))


@kind
def async_method(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @policy
        async def fetch(self, x: int) -> int:
            return self.factor * body(x)

    return awaited(Repository().fetch)


@kind
def plain_method(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @policy
        def fetch(self, x: int) -> int:
            return self.factor * body(x)

    return Repository().fetch


@kind
def bound_async_method(policy: Policy, body: Body) -> Run:
    return awaited(policy(Async(body).method))


@kind
def bound_plain_method(policy: Policy, body: Body) -> Run:
    return policy(Sync(body).method)


@kind
def class_method_guarded_inside(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @classmethod
        @policy
        async def fetch(cls, x: int) -> int:
            return cls.factor * body(x)

    return awaited(Repository.fetch)


@kind
def class_method_guarded_outside(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @policy  # type: ignore[arg-type]
        @classmethod
        async def fetch(cls, x: int) -> int:
            return cls.factor * body(x)

    return awaited(Repository().fetch)


@kind
def plain_class_method_guarded_outside(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @policy  # type: ignore[arg-type]
        @classmethod
        def fetch(cls, x: int) -> int:
            return cls.factor * body(x)

    return Repository.fetch


@kind
def static_method_guarded_inside(policy: Policy, body: Body) -> Run:
    class Repository:
        @staticmethod
        @policy
        async def fetch(x: int) -> int:
            return body(x)

    return awaited(Repository.fetch)


@kind
def static_method_guarded_outside(policy: Policy, body: Body) -> Run:
    class Repository:
        @policy
        @staticmethod
        async def fetch(x: int) -> int:
            return body(x)

    return awaited(Repository().fetch)


@kind
def plain_static_method_guarded_outside(policy: Policy, body: Body) -> Run:
    class Repository:
        @policy
        @staticmethod
        def fetch(x: int) -> int:
            return body(x)

    return Repository().fetch


@kind
def property_guarded_inside(policy: Policy, body: Body) -> Run:
    class Row:
        def __init__(self, x: int) -> None:
            self.x = x

        @property
        @policy
        def value(self) -> int:
            return body(self.x)

    return lambda x: Row(x).value


@kind
def partial_of_a_coroutine_function(policy: Policy, body: Body) -> Run:
    async def fn(zero: int, x: int) -> int:
        return body(x) + zero

    return awaited(policy(functools.partial(fn, 0)))


@kind
def partial_of_a_plain_function(policy: Policy, body: Body) -> Run:
    def fn(zero: int, x: int) -> int:
        return body(x) + zero

    return policy(functools.partial(fn, 0))


@kind
def partial_of_a_partial(policy: Policy, body: Body) -> Run:
    async def fn(zero: int, none: int, x: int) -> int:
        return body(x) + zero + none

    return awaited(policy(functools.partial(functools.partial(fn, 0), 0)))


@kind
def partial_of_an_async_callable_object(policy: Policy, body: Body) -> Run:
    return awaited(policy(functools.partial(Async(body))))


@kind
def partial_of_a_callable_object(policy: Policy, body: Body) -> Run:
    return policy(functools.partial(Sync(body)))


@kind
def async_callable_object(policy: Policy, body: Body) -> Run:
    return awaited(policy(Async(body)))


@kind
def callable_object(policy: Policy, body: Body) -> Run:
    return policy(Sync(body))


@kind
def generator_function(policy: Policy, body: Body) -> Run:
    @policy
    def fn(x: int) -> Generator[int]:
        yield body(x)

    return iterated(fn)


@kind
def generator_method(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @policy
        def rows(self, x: int) -> Generator[int]:
            yield self.factor * body(x)

    return iterated(Repository().rows)


@kind
def async_generator_function(policy: Policy, body: Body) -> Run:
    @policy
    async def fn(x: int) -> AsyncGenerator[int]:
        yield body(x)

    return async_iterated(fn)


@kind
def async_generator_class_method(policy: Policy, body: Body) -> Run:
    class Repository:
        factor = 1

        @policy  # type: ignore[arg-type]
        @classmethod
        async def rows(cls, x: int) -> AsyncGenerator[int]:
            yield cls.factor * body(x)

    return async_iterated(Repository.rows)


@kind
def partial_of_a_generator_function(policy: Policy, body: Body) -> Run:
    def fn(zero: int, x: int) -> Generator[int]:
        yield body(x) + zero

    return iterated(policy(functools.partial(fn, 0)))


@kind
def callable_object_that_generates(policy: Policy, body: Body) -> Run:
    return iterated(policy(Items(body)))


@kind
def callable_object_that_generates_async(policy: Policy, body: Body) -> Run:
    return async_iterated(policy(AsyncItems(body)))


@kind
def builtin(policy: Policy, body: Body) -> Run:
    fold = policy(functools.reduce)
    return lambda x: fold(lambda _, item: body(item), [0, x])


@kind
def async_mock(policy: Policy, body: Body) -> Run:
    return awaited(policy(AsyncMock(side_effect=body)))


@kind
def magic_mock(policy: Policy, body: Body) -> Run:
    return policy(MagicMock(side_effect=body))


@kind
def types_coroutine(policy: Policy, body: Body) -> Run:
    @types.coroutine
    def fn(x: int) -> Generator[None, None, int]:
        yield
        return body(x)

    return awaited(policy(fn))


@kind
def the_call_method_with_a_coroutine_function(policy: Policy, body: Body) -> Run:
    async def fn(x: int) -> int:
        return body(x)

    return awaited(lambda x: policy.call(fn, x))


@kind
def the_call_method_with_a_plain_function(policy: Policy, body: Body) -> Run:
    return lambda x: policy.call(body, x)


@kind
def the_call_method_with_an_async_callable_object(policy: Policy, body: Body) -> Run:
    return awaited(lambda x: policy.call(Async(body), x))


@kind
def the_call_method_with_a_generator_function(policy: Policy, body: Body) -> Run:
    def fn(x: int) -> Generator[int]:
        yield body(x)

    return iterated(lambda x: policy.call(fn, x))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("callable_kind", KINDS)
def test_the_policy_guards_this_kind_of_callable(name: str, callable_kind: str) -> None:
    body = Body()
    assert_guarded(name, body, KINDS[callable_kind](POLICIES[name](), body))


@pytest.mark.parametrize("callable_kind", [kind for kind in KINDS if not kind.startswith("the_call_method")])
def test_the_three_policies_stack_on_this_kind_of_callable(callable_kind: str) -> None:
    def stack(fn: Callable[..., object]) -> Callable[..., object]:
        breaker = create_database_circuit_breaker(1, clock=lambda: 0.0)
        retry = create_database_retry_policy(3, 0, 0, sleep=lambda _: None)
        limiter = create_database_rate_limiter(1, 3, clock=lambda: 0.0)
        return breaker(retry(limiter(fn)))

    body = Body(failures=2)
    run = KINDS[callable_kind](stack, body)  # type: ignore[arg-type]
    assert run(4) == 8
    assert body.calls == 3


@pytest.mark.parametrize("name", POLICIES)
def test_a_decorated_function_may_call_itself(name: str) -> None:
    policy = POLICIES[name]() if name != "limiter" else create_database_rate_limiter(1, 12, clock=lambda: 0.0)

    @policy
    async def countdown(n: int) -> int:
        return 0 if n == 0 else 1 + await countdown(n - 1)

    @policy
    def sync_countdown(n: int) -> int:
        return 0 if n == 0 else 1 + sync_countdown(n - 1)

    assert asyncio.run(countdown(5)) == 5
    assert sync_countdown(5) == 5
