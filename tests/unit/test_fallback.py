"""Contract section 8, fallback: another answer in place of none, and nothing else changed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from uuid import UUID, uuid4

import pytest
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ProtocolConfigurationError,
)
from omnibase_infra.infrastructure.resilience import (
    Fallback,
    add_observer,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    with_fallback,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import get_correlation_id

ANSWERED = [
    TimeoutError(),
    ConnectionRefusedError(),
    InfraTimeoutError("late"),
    InfraUnavailableError("503"),
    InfraConnectionError("gone"),
]
NOT_ANSWERED = [
    ValueError("the request itself"),
    KeyError("missing"),
    FileNotFoundError(),
    InfraAuthenticationError("401"),
    InfraRateLimitedError("429"),
]
by_type = {"ids": lambda error: type(error).__name__}


def failing(error: BaseException) -> Callable[..., object]:
    def primary(*args: object, **kwargs: object) -> object:
        raise error

    return primary


def failing_async(error: BaseException) -> Callable[..., object]:
    async def primary(*args: object, **kwargs: object) -> object:
        await asyncio.sleep(0)
        raise error

    return primary


def answer() -> str:
    return "cached"


async def answer_async() -> str:
    await asyncio.sleep(0)
    return "cached"


def recorded() -> tuple[list[ModelResilienceEvent], Callable[[], None]]:
    events: list[ModelResilienceEvent] = []
    return events, add_observer(events.append, inline=True)


# with_fallback


@pytest.mark.parametrize("primary", [lambda: "fresh", answer_async])
def test_the_primary_s_answer_is_not_a_fallback(primary):
    result, used = asyncio.run(with_fallback(primary, failing(AssertionError()), uuid4()))
    assert (result, used) == (("cached" if primary is answer_async else "fresh"), False)


@pytest.mark.parametrize("error", ANSWERED, **by_type)
@pytest.mark.parametrize("fallback", [answer, answer_async])
@pytest.mark.parametrize("raising", [failing, failing_async])
def test_no_answer_is_answered_by_the_fallback_of_either_kind(error, fallback, raising):
    assert asyncio.run(with_fallback(raising(error), fallback, uuid4())) == ("cached", True)


@pytest.mark.parametrize("error", NOT_ANSWERED, **by_type)
def test_every_other_error_goes_through_and_the_fallback_is_not_called(error):
    with pytest.raises(type(error)) as caught:
        asyncio.run(with_fallback(failing_async(error), failing(AssertionError()), uuid4()))
    assert caught.value is error
    assert error.__cause__ is None


def test_an_open_circuit_is_answered_by_the_fallback():
    breaker = create_database_circuit_breaker(1)
    breaker.trip()
    assert asyncio.run(with_fallback(breaker(answer_async), lambda: "other", uuid4())) == ("other", True)


def test_a_local_rate_limit_is_not_answered_unless_throttling_is_asked_for():
    limiter = create_database_rate_limiter(1, 1, clock=lambda: 0.0)
    limited = limiter(answer)
    limited()
    with pytest.raises(InfraRateLimitedError):
        Fallback(value="other")(limited)()
    assert Fallback(value="other", on=EnumFailureKind.THROTTLED)(limited)() == "other"


def test_a_rejection_of_ours_that_says_timeout_is_answered():
    spent = InfraTimeoutError("no time is left", rejected_by="deadline")
    assert Fallback(value=1).call(failing(spent)) == 1


def test_the_correlation_id_is_current_in_both_calls_and_in_their_errors_and_gone_afterwards():
    own = uuid4()
    seen: list[UUID | None] = []

    async def primary() -> str:
        seen.append(get_correlation_id())
        raise TimeoutError

    async def fallback() -> str:
        seen.append(get_correlation_id())
        raise InfraUnavailableError("the cache is down too")

    async def main() -> None:
        with pytest.raises(InfraUnavailableError) as caught:
            await with_fallback(primary, fallback, str(own))
        assert caught.value.correlation_id == own
        assert get_correlation_id() is None

    asyncio.run(main())
    assert seen == [own, own]


def test_the_event_of_with_fallback_names_the_primary_and_the_id():
    own = uuid4()
    events, stop = recorded()
    try:
        asyncio.run(with_fallback(failing_async(TimeoutError()), answer, own))
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.policy, event.correlation_id) == (EnumResilienceEvent.FALLBACK_USED, "fallback", own)
    assert (event.failure_kind, event.error_type) == (EnumFailureKind.TIMEOUT, "TimeoutError")
    assert event.operation is not None
    assert event.operation.endswith("primary")


# A failing fallback


@pytest.mark.parametrize("raising", [failing, failing_async])
def test_a_failing_fallback_raises_its_own_error_chained_to_the_first(raising):
    first, second = TimeoutError(), ValueError("cache")
    with pytest.raises(ValueError, match="cache") as caught:
        asyncio.run(with_fallback(raising(first), raising(second), uuid4()))
    assert caught.value is second
    assert second.__cause__ is first


@pytest.mark.parametrize("raising", [failing, failing_async])
def test_the_decorator_chains_a_failing_fallback_too(raising):
    first, second = TimeoutError(), ValueError("cache")
    guarded = Fallback(raising(second))(raising(first))
    with pytest.raises(ValueError, match="cache"):
        asyncio.run(awaited(guarded))
    assert second.__cause__ is first


async def awaited(fn: Callable[..., object]) -> object:
    result = fn()
    return await result if asyncio.iscoroutine(result) else result


def test_a_fallback_s_own_cause_stays_and_the_first_failure_stands_behind_it():
    first, driver = TimeoutError(), ConnectionError("cache")

    def fallback() -> object:
        raise InfraConnectionError("the cache is gone") from driver

    with pytest.raises(InfraConnectionError) as caught:
        Fallback(fallback).call(failing(first))
    assert caught.value.__cause__ is driver
    assert driver.__cause__ is first


@pytest.mark.parametrize("again", ["itself", "its cause"])
def test_a_fallback_that_raises_the_first_failure_again_makes_no_circle(again):
    cause = ConnectionError()
    first = TimeoutError()
    first.__cause__ = cause
    raised = first if again == "itself" else cause
    with pytest.raises(type(raised)) as caught:
        Fallback(failing(raised)).call(failing(first))
    assert caught.value is raised
    assert (first.__cause__, cause.__cause__) == (cause, None)


# Cancellation


@pytest.mark.parametrize("face", ["helper", "decorator"])
def test_cancellation_never_falls_back(face):
    called = False

    def fallback() -> None:
        nonlocal called
        called = True

    async def primary() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        work = with_fallback(primary, fallback, uuid4()) if face == "helper" else Fallback(fallback)(primary)()
        task = asyncio.ensure_future(work)
        await asyncio.sleep(1)
        task.cancel("by the caller")
        with pytest.raises(asyncio.CancelledError, match="by the caller"):
            await task
        assert task.cancelled()

    run(main())
    assert not called


@pytest.mark.parametrize("face", ["helper", "decorator"])
def test_a_cancelled_fallback_ends_at_once(face):
    async def fallback() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        primary = failing_async(TimeoutError())
        work = with_fallback(primary, fallback, uuid4()) if face == "helper" else Fallback(fallback)(primary)()
        task = asyncio.ensure_future(work)
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert get_correlation_id() is None

    run(main())


# The decorator


def test_the_fallback_gets_the_call_s_arguments():
    @Fallback(lambda key, *, limit: (key, limit))
    def fetch(key: str, *, limit: int) -> object:
        raise ConnectionError

    assert fetch("k", limit=3) == ("k", 3)


def test_a_constant_answers_even_none():
    assert Fallback(value=None).call(failing(TimeoutError())) is None
    assert Fallback(value="empty").call(failing(TimeoutError()), 1, key=2) == "empty"


@pytest.mark.parametrize("fallback", [answer, answer_async])
def test_an_async_function_takes_fallbacks_of_either_kind(fallback):
    assert asyncio.run(awaited(Fallback(fallback)(failing_async(TimeoutError())))) == "cached"


async def streamed() -> AsyncGenerator[int]:
    yield 1


@pytest.mark.parametrize("fallback", [answer_async, streamed])
def test_a_plain_function_refuses_an_async_fallback_when_decorated(fallback):
    with pytest.raises(TypeError, match="is a plain function: an async fallback can only serve an async one"):
        Fallback(fallback)(answer)


def test_a_fallback_that_turns_out_async_for_a_plain_function_is_refused():
    def disguised() -> object:
        return answer_async()

    with pytest.raises(TypeError, match="returned a coroutine"):
        Fallback(disguised).call(failing(TimeoutError()))


def test_a_generator_that_fails_before_its_first_item_is_answered_by_other_items():
    @Fallback(lambda n: [n, n])
    def rows(n: int) -> Generator[int]:
        raise ConnectionError
        yield n

    @Fallback(value=())
    async def async_rows(n: int) -> AsyncGenerator[int]:
        raise ConnectionError
        yield n

    async def collected() -> list[int]:
        return [row async for row in async_rows(1)]

    assert list(rows(2)) == [2, 2]
    assert asyncio.run(collected()) == []


def test_the_kinds_to_answer_can_be_chosen():
    lenient = Fallback(value=1, on=[EnumFailureKind.CALLER, EnumFailureKind.AUTHENTICATION])
    assert lenient.call(failing(ValueError())) == 1
    assert lenient.call(failing(InfraAuthenticationError("401"))) == 1
    with pytest.raises(TimeoutError):
        lenient.call(failing(TimeoutError()))


MIXED = [EnumFailureKind.TIMEOUT, EnumFailureKind.ABANDONED]


@pytest.mark.parametrize("kind", [EnumFailureKind.ABANDONED, EnumFailureKind.REJECTED, "timeout", (), 3, [None], MIXED])
def test_kinds_that_nothing_may_answer_are_refused(kind):
    with pytest.raises(ProtocolConfigurationError, match=r"on = .*: must be one or several EnumFailureKind: conn"):
        Fallback(value=1, on=kind)


@pytest.mark.parametrize("settings", [{}, {"function": answer, "value": 1}])
def test_exactly_one_of_function_and_value_is_given(settings):
    with pytest.raises(ProtocolConfigurationError, match="function: give either a function or value="):
        Fallback(**settings)


@pytest.mark.parametrize("function", ["hunter2", 3, dict])
def test_a_fallback_that_is_no_function_is_refused(function):
    with pytest.raises(
        ProtocolConfigurationError, match=r"function = .*: must be a function; a constant goes to value="
    ):
        Fallback(function)


def test_the_event_tells_policy_name_transport_and_kind():
    events, stop = recorded()
    try:
        Fallback(value=1, transport=EnumInfraTransportType.DATABASE).call(failing(ConnectionRefusedError()))
        Fallback(value=1, name="menu").call(lambda: 2)
    finally:
        stop()
    (event,) = events
    assert (event.policy, event.transport, event.failure_kind, event.error_type) == (
        "fallback",
        EnumInfraTransportType.DATABASE,
        EnumFailureKind.CONNECTION,
        "ConnectionRefusedError",
    )
    assert event.name == f"db:{event.operation}"


def test_an_open_circuit_s_event_says_unavailable():
    events, stop = recorded()
    breaker = create_database_circuit_breaker(1)
    breaker.trip()
    try:
        assert Fallback(value=1).call(breaker(answer)) == 1
    finally:
        stop()
    fallback = next(event for event in events if event.policy == "fallback")
    assert (fallback.failure_kind, fallback.error_type) == (EnumFailureKind.UNAVAILABLE, "InfraUnavailableError")


@pytest.mark.parametrize("fallback", [answer, failing(ValueError("cache"))])
def test_no_exception_is_kept_alive(fallback):
    class LostError(ConnectionError):
        pass

    def primary() -> object:
        error = LostError()
        gone.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gone: list[weakref.ref[LostError]] = []

    async def asynchronous() -> object:
        return primary()

    gc.disable()
    try:
        for call in (
            lambda: Fallback(fallback).call(primary),
            lambda: asyncio.run(awaited(Fallback(fallback)(asynchronous))),
            lambda: asyncio.run(with_fallback(asynchronous, fallback, uuid4())),
        ):
            try:
                call()
            except ValueError as error:
                error.__cause__ = error.__context__ = None
                error.__traceback__ = None
            assert gone[-1]() is None
    finally:
        gc.enable()
