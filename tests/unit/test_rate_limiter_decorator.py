"""The bucket as a decorator: every kind of function, rejecting, waiting, translating."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.support import virtual_time
from tests.support.retries import Clock

from omnibase_infra.enums import EnumInfraTransportType, EnumOnLimit
from omnibase_infra.errors import InfraConnectionError, InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import TokenBucketLimiter


def rejecting(capacity: float = 1, *, translate: bool = False, name: str | None = None) -> TokenBucketLimiter:
    return TokenBucketLimiter(
        10, capacity, name, clock=Clock(), translate=translate, transport=EnumInfraTransportType.DATABASE
    )


def test_a_coroutine_function_is_rejected_beyond_the_limit_and_not_called() -> None:
    calls: list[int] = []

    @rejecting(2)
    async def fetch(number: int) -> int:
        """Fetch it."""
        calls.append(number)
        return number * 2

    async def main() -> None:
        assert [await fetch(1), await fetch(number=2)] == [2, 4]
        with pytest.raises(InfraRateLimitedError) as caught:
            await fetch(3)
        error = caught.value
        assert error.retry_after_seconds == pytest.approx(0.1)
        assert error.context.operation == fetch.__qualname__
        assert error.context.transport_type is EnumInfraTransportType.DATABASE
        assert error.context.target_name == error.rejected_by == f"db:{fetch.__qualname__}"

    assert inspect.iscoroutinefunction(fetch)
    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch it.")
    assert list(inspect.signature(fetch).parameters) == ["number"]
    asyncio.run(main())
    assert calls == [1, 2]


def test_a_plain_function_is_rejected_beyond_the_limit_and_not_called() -> None:
    calls: list[int] = []

    @rejecting()
    def fetch(number: int) -> int:
        calls.append(number)
        return number * 2

    assert not inspect.iscoroutinefunction(fetch)
    assert fetch(1) == 2
    with pytest.raises(InfraRateLimitedError) as caught:
        fetch(2)
    assert caught.value.context.operation == fetch.__qualname__
    assert calls == [1]


def test_methods_class_methods_and_static_methods_share_the_bucket_of_their_limiter() -> None:
    limiter = rejecting(3)

    class Repository:
        @limiter
        def load(self) -> str:
            return "load"

        @classmethod
        @limiter
        def build(cls) -> str:
            return cls.__name__

        @limiter
        @staticmethod
        def check() -> str:
            return "check"

    repository = Repository()
    assert [repository.load(), Repository.build(), repository.check()] == ["load", "Repository", "check"]
    for call in (repository.load, Repository.build, Repository.check):
        with pytest.raises(InfraRateLimitedError):
            call()


def test_partials_and_callable_objects_are_limited() -> None:
    class Loader:
        async def __call__(self, number: int) -> int:
            return number

    add = rejecting()(functools.partial(lambda one, two: one + two, 1))
    load = rejecting()(Loader())

    async def main() -> None:
        assert await load(5) == 5
        with pytest.raises(InfraRateLimitedError):
            await load(5)

    assert add(2) == 3
    with pytest.raises(InfraRateLimitedError):
        add(2)
    asyncio.run(main())


def test_a_generator_takes_one_token_at_its_first_item_however_many_it_yields() -> None:
    @rejecting()
    def rows() -> Iterator[int]:
        yield from range(3)

    assert inspect.isgeneratorfunction(rows)
    unread = rows()
    assert list(rows()) == [0, 1, 2]
    with pytest.raises(InfraRateLimitedError):
        next(unread)


def test_an_async_generator_takes_one_token_at_its_first_item_however_many_it_yields() -> None:
    @rejecting()
    async def rows() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def main() -> None:
        assert [row async for row in rows()] == [0, 1, 2]
        with pytest.raises(InfraRateLimitedError):
            await anext(rows())

    assert inspect.isasyncgenfunction(rows)
    asyncio.run(main())


def test_call_limits_one_call_of_any_function() -> None:
    limiter = rejecting(2)

    async def fetch(number: int) -> int:
        return number

    assert limiter.call(divmod, 7, 2) == (3, 1)
    assert asyncio.run(limiter.call(fetch, number=4)) == 4
    with pytest.raises(InfraRateLimitedError):
        limiter.call(len, "abc")


@pytest.mark.parametrize("target", [TokenBucketLimiter, 5, property(len)], ids=["class", "number", "property"])
def test_what_cannot_be_limited_is_refused_at_decoration(target: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="cannot protect"):
        rejecting()(target)


def test_a_plain_function_that_returns_a_coroutine_is_refused_because_its_work_would_run_unlimited() -> None:
    async def work() -> None:
        raise AssertionError("must not run")

    @rejecting()
    def hand_out() -> object:
        return work()

    with pytest.raises(TypeError, match="is a plain function but returned a coroutine"):
        hand_out()


def test_an_unnamed_limiter_takes_the_name_of_the_first_function_it_guards() -> None:
    def first() -> None: ...
    def second() -> None: ...

    unnamed, named = rejecting(), rejecting(name="orders")
    bare = TokenBucketLimiter(1, 1)
    for limiter in (unnamed, named, bare):
        limiter(first)
        limiter(second)
    assert unnamed.name == f"db:{first.__qualname__}"
    assert named.name == "orders"
    assert bare.name == first.__qualname__


def test_on_limit_takes_the_word_and_the_enum() -> None:
    for on_limit in ("wait", EnumOnLimit.WAIT):
        clock = Clock()
        read = TokenBucketLimiter(10, 1, on_limit=on_limit, clock=clock, sleep=clock.sleep)(lambda: "row")
        assert [read() for _ in range(3)] == ["row"] * 3
        assert clock.waits == pytest.approx([0.1, 0.1])


def test_a_waiting_coroutine_function_is_served_when_its_token_is_due() -> None:
    async def main() -> None:
        @TokenBucketLimiter(10, 2, on_limit="wait", clock=virtual_time.clock)
        async def fetch() -> float:
            return virtual_time.clock()

        assert [await fetch() for _ in range(5)] == pytest.approx([0, 0, 0.1, 0.2, 0.3])

    virtual_time.run(main())


def test_waiting_ends_in_a_rejection_when_the_timeout_cannot_be_enough() -> None:
    async def main() -> None:
        limiter = TokenBucketLimiter(10, 1, on_limit="wait", timeout=0.25, clock=virtual_time.clock)

        @limiter
        async def fetch() -> float:
            return virtual_time.clock()

        answers = await asyncio.gather(*(fetch() for _ in range(5)), return_exceptions=True)
        assert answers[:3] == pytest.approx([0, 0.1, 0.2])
        for error in answers[3:]:
            assert isinstance(error, InfraRateLimitedError)
            assert error.rejected_by == limiter.name
        assert virtual_time.clock() <= 0.25
        assert not limiter._queue

    virtual_time.run(main())


def test_a_waiting_plain_function_is_rejected_when_the_timeout_cannot_be_enough() -> None:
    clock = Clock()
    read = TokenBucketLimiter(10, 1, on_limit="wait", timeout=0.05, clock=clock, sleep=clock.sleep)(lambda: "row")
    assert read() == "row"
    with pytest.raises(InfraRateLimitedError) as caught:
        read()
    assert caught.value.retry_after_seconds == pytest.approx(0.1)
    assert clock.waits == []


@pytest.mark.parametrize("settings", [{}, {"translate": False}, {"translate": True}], ids=str)
def test_failures_pass_through_untouched_unless_translation_is_asked_for(settings: dict[str, bool]) -> None:
    lost = ConnectionResetError("password=hunter2")
    limiter = TokenBucketLimiter(10, 10, transport=EnumInfraTransportType.DATABASE, clock=Clock(), **settings)

    @limiter
    async def fetch() -> None:
        raise lost

    @limiter
    def read() -> None:
        raise lost

    for attempt in (lambda: asyncio.run(fetch()), read):
        with pytest.raises(ConnectionError) as caught:
            attempt()
        if settings.get("translate"):
            assert type(caught.value) is InfraConnectionError
            assert caught.value.__cause__ is lost
            assert caught.value.rejected_by is None
            assert caught.value.context.transport_type is EnumInfraTransportType.DATABASE
            assert "hunter2" not in str(caught.value)
        else:
            assert caught.value is lost


def test_translation_leaves_the_callers_errors_and_our_own_untouched() -> None:
    inner = rejecting(1, name="inner")
    own = ValueError("bad id")

    @rejecting(10, translate=True)
    def refuse() -> None:
        raise own

    @rejecting(10, translate=True, name="outer")
    @inner
    async def fetch() -> None: ...

    async def main() -> None:
        await fetch()
        with pytest.raises(InfraRateLimitedError) as caught:
            await fetch()
        assert caught.value.rejected_by == "inner"

    with pytest.raises(ValueError, match="bad id") as caught:
        refuse()
    assert caught.value is own
    asyncio.run(main())


def test_a_failing_call_has_spent_its_token() -> None:
    limiter = rejecting(2)

    @limiter
    async def fetch() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        asyncio.run(fetch())
    assert limiter.tokens == 1.0


def test_a_call_may_call_itself() -> None:
    limiter = rejecting(3)

    @limiter
    async def descend(levels: int) -> int:
        return await descend(levels - 1) + 1 if levels else 0

    assert asyncio.run(descend(2)) == 2
    with pytest.raises(InfraRateLimitedError):
        asyncio.run(descend(0))


def test_a_timeout_without_waiting_is_refused_instead_of_ignored() -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"timeout: only a limiter with on_limit='wait' waits"):
        TokenBucketLimiter(1, 1, timeout=2.0)
