"""Timeouts on every kind of function: what is raised, what passes, what may be left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import ContextVar
from uuid import uuid4

import pytest
from tests.support import virtual_time

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraTimeoutError, ProtocolConfigurationError
from omnibase_infra.infrastructure import resilience
from omnibase_infra.infrastructure.resilience import (
    Timeout,
    add_observer,
    classify,
    create_database_retry_policy,
    create_database_timeout,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.infrastructure.resilience.timeout import TimeoutFactory
from omnibase_infra.utils import correlation_id_var

FACTORIES = [
    ("database", EnumInfraTransportType.DATABASE, 5),
    ("network", EnumInfraTransportType.HTTP, 5),
    ("kafka", EnumInfraTransportType.KAFKA, 10),
    ("vault", EnumInfraTransportType.VAULT, 10),
    ("consul", EnumInfraTransportType.CONSUL, 5),
    ("valkey", EnumInfraTransportType.VALKEY, 1),
    ("grpc", EnumInfraTransportType.GRPC, 5),
]
both_ways = pytest.mark.parametrize("abandon", [False, True], ids=["inline", "abandoning"])
SHORT = 0.01
"""Real seconds, where a thread has to be waited for."""


def caught(work: Callable[[], Awaitable[object]], error: type[BaseException] = InfraTimeoutError) -> BaseException:
    async def main() -> BaseException:
        with pytest.raises(error) as raised:
            await work()
        return raised.value

    return virtual_time.run(main())


@both_ways
def test_a_call_that_takes_too_long_ends_on_time_with_our_own_error(abandon: bool) -> None:
    async def main() -> InfraTimeoutError:
        @Timeout(2.5, name="orders", transport=EnumInfraTransportType.DATABASE, abandon=abandon)
        async def fetch() -> None:
            await asyncio.sleep(3600)

        correlation_id_var.set(current)
        with pytest.raises(InfraTimeoutError) as raised:
            await fetch()
        assert virtual_time.clock() == 2.5
        return raised.value

    current = uuid4()
    error = virtual_time.run(main())
    assert error.message.startswith("Timed out: test_a_call_that_takes_too_long")
    assert error.message.endswith("fetch took longer than the 2.5 s that 'orders' allows")
    assert error.model.context["timeout_seconds"] == 2.5
    assert (error.context.transport_type, error.context.target_name) == (EnumInfraTransportType.DATABASE, "orders")
    assert error.correlation_id == current
    assert type(error.__cause__) is TimeoutError
    assert error.rejected_by is None
    assert error.http_status == 504
    assert classify(error) is EnumFailureKind.TIMEOUT


def test_the_cause_shows_where_the_call_stood() -> None:
    @Timeout(1)
    async def fetch() -> None:
        await asyncio.sleep(3600)

    cancelled = caught(fetch).__cause__.__cause__
    assert isinstance(cancelled, asyncio.CancelledError)
    frames = []
    traceback = cancelled.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert frames[-2:] == ["fetch", "sleep"]


@both_ways
def test_a_call_that_ends_in_time_returns_and_raises_its_own(abandon: bool) -> None:
    @Timeout(2, abandon=abandon)
    async def double(x: int, *, fail: bool = False) -> int:
        await asyncio.sleep(1)
        if fail:
            raise ConnectionResetError
        return 2 * x

    assert virtual_time.run(double(4)) == 8
    assert type(caught(lambda: double(4, fail=True), ConnectionError)) is ConnectionResetError


@both_ways
@pytest.mark.parametrize("raised", [TimeoutError, asyncio.CancelledError])
def test_the_functions_own_timeouts_and_cancellations_pass_unchanged(
    raised: type[BaseException], abandon: bool
) -> None:
    own = raised("its own")

    @Timeout(2, abandon=abandon)
    async def fetch() -> None:
        await asyncio.sleep(1)
        raise own

    error = caught(fetch, raised)
    assert type(error) is raised
    assert error.args == ("its own",)


@both_ways
def test_an_error_that_the_function_makes_of_its_cancellation_passes_unchanged(abandon: bool) -> None:
    @Timeout(2, abandon=abandon)
    async def fetch() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ConnectionAbortedError from None

    async def main() -> None:
        with pytest.raises(ConnectionAbortedError):
            await fetch()
        await asyncio.sleep(0)  # not cancelled
        assert asyncio.current_task().cancelling() == 0

    virtual_time.run(main())


@both_ways
def test_a_result_that_comes_at_the_last_moment_counts(abandon: bool) -> None:
    @Timeout(2, abandon=abandon)
    async def fetch() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "late"
        return "never"

    async def main() -> None:
        assert await fetch() == "late"
        await asyncio.sleep(0)
        assert asyncio.current_task().cancelling() == 0

    virtual_time.run(main())


def test_an_abandoning_timeout_is_on_time_when_the_cancellation_is_held_up() -> None:
    async def main() -> None:
        ended: list[float] = []

        async def stubborn() -> str:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(10)
            ended.append(virtual_time.clock())
            return "dropped"

        with pytest.raises(InfraTimeoutError):
            await Timeout(0.5, abandon=True).call(stubborn)
        assert virtual_time.clock() < 0.7
        await asyncio.sleep(60)
        assert ended == [10.5]

        with pytest.raises(InfraTimeoutError):
            await Timeout(0.5, abandon=True)(stubborn)()

    virtual_time.run(main())


def test_a_timeout_is_retried_and_counted() -> None:
    calls = 0

    @create_database_retry_policy(3)
    @create_database_timeout(2)
    async def fetch() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(3600)

    assert caught(fetch).message.startswith("Timed out: ")
    assert calls == 3


def test_everyone_who_listens_hears_of_it() -> None:
    heard: list[ModelResilienceEvent] = []
    remove = add_observer(heard.append, inline=True)
    try:
        caught(lambda: Timeout(2, name="orders", transport=EnumInfraTransportType.GRPC).call(asyncio.sleep, 3600))
    finally:
        remove()
    (event,) = heard
    assert event.kind is EnumResilienceEvent.TIMED_OUT
    assert (event.policy, event.name, event.operation) == ("timeout", "orders", "sleep")
    assert (event.transport, event.timeout_seconds) == (EnumInfraTransportType.GRPC, 2)


def test_an_unnamed_timeout_takes_its_transport_and_its_first_function() -> None:
    timeout = create_database_timeout()
    assert timeout.name == "timeout"

    @timeout
    async def fetch() -> None: ...

    timeout(asyncio.sleep)
    assert timeout.name.startswith("db:")
    assert timeout.name.endswith("fetch")


# Generators: until the first item


def test_an_async_generator_is_bounded_until_its_first_item() -> None:
    @Timeout(2)
    async def rows(first: float) -> AsyncGenerator[str]:
        await asyncio.sleep(first)
        yield "a"
        await asyncio.sleep(3600)
        yield "b"

    async def read(first: float) -> list[str]:
        return [row async for row in rows(first)]

    assert virtual_time.run(read(1)) == ["a", "b"]
    caught(lambda: read(3))


def test_a_generator_is_bounded_until_its_first_item() -> None:
    hold = threading.Event()

    @Timeout(SHORT, abandon=True)
    def rows(*, hang: bool) -> Generator[str, str, str]:
        if hang:
            hold.wait()
        sent = yield "a"
        return sent

    def read() -> Generator[str, str, None]:
        assert (yield from rows(hang=False)) == "sent"

    reading = read()
    assert next(reading) == "a"
    with pytest.raises(StopIteration):
        reading.send("sent")
    with pytest.raises(InfraTimeoutError):
        list(rows(hang=True))
    hold.set()


# Plain functions


def test_a_plain_function_is_refused_unless_it_may_be_left_behind() -> None:
    for plain in (lambda: None, len):
        with pytest.raises(TypeError, match="is a plain function, which no timeout can interrupt: abandon=True runs"):
            Timeout(1)(plain)

    with pytest.raises(TypeError, match="plain function"):

        @create_database_timeout()
        def rows() -> Generator[int]:
            yield 1


def test_a_plain_function_runs_in_a_daemon_thread_with_the_callers_context() -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("acme")

    @Timeout(60, abandon=True)
    def fetch(x: int, *, y: int) -> tuple[int, str, threading.Thread]:
        seen = tenant.get()
        tenant.set("not the caller's")
        return x + y, seen, threading.current_thread()

    total, seen, thread = fetch(1, y=2)
    assert (total, seen) == (3, "acme")
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert tenant.get() == "acme"


@pytest.mark.parametrize("raised", [ConnectionResetError, TimeoutError, KeyboardInterrupt])
def test_what_a_plain_function_raises_comes_out_unchanged(raised: type[BaseException]) -> None:
    own = raised("its own")

    @Timeout(60, abandon=True)
    def fetch() -> None:
        raise own

    with pytest.raises(raised) as caught_error:
        fetch()
    assert caught_error.value is own


def test_a_plain_function_that_hangs_is_left_behind_and_what_it_does_later_is_dropped(
    recwarn: pytest.WarningsRecorder,
) -> None:
    hold = threading.Event()

    @Timeout(SHORT, abandon=True)
    def fetch() -> None:
        hold.wait()
        raise ConnectionResetError

    before = set(threading.enumerate())
    with pytest.raises(InfraTimeoutError) as raised:
        fetch()
    assert type(raised.value.__cause__) is TimeoutError
    (left,) = set(threading.enumerate()) - before
    hold.set()
    left.join()
    assert not recwarn


def test_what_a_plain_function_raises_is_free_once_the_caller_lets_go_of_it() -> None:
    class OwnError(Exception):
        pass

    @Timeout(60, abandon=True)
    def fetch() -> None:
        error = OwnError()
        known.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    known: list[weakref.ref[BaseException]] = []
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(OwnError):
            fetch()
        for thread in threading.enumerate():
            if thread.name == "onex-timeout":
                thread.join()
        assert known[0]() is None
    finally:
        gc.enable()


def test_a_plain_function_that_returns_work_still_to_be_done_is_refused() -> None:
    @Timeout(60, abandon=True)
    def fetch() -> object:
        return asyncio.sleep(0)

    with pytest.raises(TypeError, match="whose work would run unprotected"):
        fetch()


# Arguments and presets


@pytest.mark.parametrize("seconds", [None, 0, -1, float("inf"), float("nan"), True, "5"])
def test_a_bound_is_a_finite_number_above_zero(seconds: object) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"seconds = .*: must be a finite number of seconds, above 0"):
        Timeout(seconds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": " "}, "name = "),
        ({"transport": "db"}, "transport = "),
        ({"abandon": 1}, "abandon = 1: must be true or false"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as raised:
        Timeout(1, **arguments)
    assert raised.value.message.startswith(message)


def factory(section: str) -> TimeoutFactory:
    return getattr(resilience, f"create_{section}_timeout")


@pytest.mark.parametrize(("section", "transport", "seconds"), FACTORIES, ids=[row[0] for row in FACTORIES])
def test_a_factory_gives_the_bound_of_an_attempt(
    section: str, transport: EnumInfraTransportType, seconds: float
) -> None:
    timeout = factory(section)()
    assert (timeout.seconds, timeout.transport, timeout.abandon) == (seconds, transport, False)
    assert factory(section)(600, abandon=True).seconds == 600  # beyond the preset's total
    assert factory(section)(600, abandon=True).abandon


def test_a_service_and_the_environment_lie_over_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__TIMEOUT__ATTEMPT", "7")
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__TIMEOUT__ABANDON", "true")
    orders = create_database_timeout(service="orders")
    assert (orders.seconds, orders.abandon, orders.name) == (7, True, "orders")
    assert create_database_timeout(name="own", service="orders").name == "own"
    assert not create_database_timeout().abandon
    assert not create_database_timeout(service="orders", abandon=False).abandon


def test_a_factory_needs_seconds_where_the_preset_has_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__TIMEOUT__ATTEMPT", "false")
    with pytest.raises(ProtocolConfigurationError, match=r"seconds: must be given, since database\.timeout\.attempt"):
        create_database_timeout()
    assert create_database_timeout(3).seconds == 3


def test_a_factory_calls_a_wrong_bound_as_the_caller_does() -> None:
    with pytest.raises(ProtocolConfigurationError) as raised:
        create_database_timeout(0)
    assert raised.value.message.startswith("seconds = 0: must be a finite number, above 0, or None")
