"""Bulkheads, one call at a time: places, queue, waits, what a rejection says. Crowds are in tests/concurrency."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Generator
from contextlib import nullcontext

import pytest
from tests.support import virtual_time

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraUnavailableError, ProtocolConfigurationError
from omnibase_infra.infrastructure import resilience
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    add_observer,
    classify,
    create_database_bulkhead,
    create_database_circuit_breaker,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.bulkhead import BulkheadFactory
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

FACTORIES = [
    ("database", EnumInfraTransportType.DATABASE, 10, 20, 1),
    ("network", EnumInfraTransportType.HTTP, 20, 40, 1),
    ("kafka", EnumInfraTransportType.KAFKA, 50, 100, 2),
    ("vault", EnumInfraTransportType.VAULT, 5, 20, 2),
    ("consul", EnumInfraTransportType.CONSUL, 10, 20, 1),
    ("valkey", EnumInfraTransportType.VALKEY, 50, 500, 0.2),
    ("grpc", EnumInfraTransportType.GRPC, 100, 100, 1),
]


def assert_free(bulkhead: Bulkhead) -> None:
    assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)
    assert not bulkhead._called


def test_a_call_has_a_place_until_it_has_ended_however_it_ends() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(2)
        seen = []

        @bulkhead
        async def fetch(error: BaseException | None) -> None:
            seen.append(bulkhead.in_flight)
            await asyncio.sleep(1)
            if error is not None:
                raise error

        for error in (None, ConnectionResetError(), asyncio.CancelledError()):
            with pytest.raises(type(error)) if error else nullcontext():
                await fetch(error)
            assert_free(bulkhead)
        task = asyncio.ensure_future(fetch(None))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait((task,))
        assert_free(bulkhead)
        assert seen == [1, 1, 1, 1]

    virtual_time.run(main())


def test_calls_beyond_the_places_wait_and_those_beyond_the_queue_are_rejected_at_once() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(2, 3, 60, "orders", transport=EnumInfraTransportType.DATABASE)

        @bulkhead
        async def fetch() -> float:
            await asyncio.sleep(1)
            return virtual_time.clock()

        tasks = [asyncio.ensure_future(fetch()) for _ in range(5)]
        await asyncio.sleep(0)
        assert (bulkhead.in_flight, bulkhead.waiting) == (2, 3)
        with pytest.raises(InfraUnavailableError) as caught:
            await fetch()
        assert virtual_time.clock() == 0
        assert caught.value.message == "Bulkhead full: 'orders' runs 2 at once, and lets 3 wait for 60 s"
        assert await asyncio.gather(*tasks) == [1, 1, 2, 2, 3]
        assert_free(bulkhead)

    virtual_time.run(main())


def test_a_call_that_waits_too_long_is_rejected_and_gives_up_its_turn() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 5, 2.5, "orders")
        first = asyncio.ensure_future(bulkhead.call(asyncio.sleep, 10))
        await asyncio.sleep(1)
        with pytest.raises(InfraUnavailableError) as caught:
            await bulkhead.call(asyncio.sleep, 0)
        assert virtual_time.clock() == 3.5
        assert caught.value.message == "Bulkhead full: 'orders' runs 1 at once, and none ended within 2.5 s"
        assert bulkhead.waiting == 0
        await first
        assert_free(bulkhead)

    virtual_time.run(main())


@pytest.mark.parametrize("limits", [{"max_queue": 0}, {"max_wait": 0}], ids=str)
def test_without_a_queue_or_a_wait_a_call_is_rejected_at_once(limits: dict[str, int]) -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, **limits)
        first = asyncio.ensure_future(bulkhead.call(asyncio.sleep, 10))
        await asyncio.sleep(0)
        with pytest.raises(InfraUnavailableError):
            await bulkhead.call(asyncio.sleep, 0)
        with pytest.raises(InfraUnavailableError):
            bulkhead.call(lambda: None)
        assert virtual_time.clock() == 0
        await first
        bulkhead.call(lambda: None)
        assert_free(bulkhead)

    virtual_time.run(main())


def test_a_rejection_is_our_own_and_is_neither_retried_nor_counted() -> None:
    heard: list[ModelResilienceEvent] = []
    remove = add_observer(heard.append, inline=True)
    bulkhead = Bulkhead(1, 0, name="orders", transport=EnumInfraTransportType.DATABASE)
    breaker = create_database_circuit_breaker(1)
    try:

        @breaker
        @create_database_retry_policy(3)
        @bulkhead
        def fetch() -> None: ...

        with bulkhead, pytest.raises(InfraUnavailableError) as caught:
            fetch()
        fetch()
    finally:
        remove()
    error = caught.value
    assert (error.rejected_by, error.retry_after_seconds, error.circuit_state) == ("orders", None, None)
    assert error.context.transport_type is EnumInfraTransportType.DATABASE
    assert error.context.operation.endswith("fetch")
    assert classify(error) is EnumFailureKind.REJECTED
    assert error.__cause__ is error.__context__ is None
    (event,) = heard
    assert (event.kind, event.policy, event.name) == (EnumResilienceEvent.REJECTED, "bulkhead", "orders")


def test_places_are_not_held_through_the_waits_of_a_retry_outside() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 0)
        calls = 0

        @create_database_retry_policy(2, 5, 5)
        @bulkhead
        async def fetch() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise ConnectionResetError

        task = asyncio.ensure_future(fetch())
        await asyncio.sleep(1)
        assert calls == 1
        assert_free(bulkhead)
        await bulkhead.call(asyncio.sleep, 1)
        await task
        assert calls == 2

    virtual_time.run(main())


def test_it_guards_a_block_of_either_kind() -> None:
    async def main() -> None:
        bulkhead = Bulkhead(1, 1, 5)
        async with bulkhead:
            assert bulkhead.in_flight == 1
            with pytest.raises(InfraUnavailableError):
                async with bulkhead:
                    pass
            assert virtual_time.clock() == 5
        with bulkhead:
            assert bulkhead.in_flight == 1
        with pytest.raises(ZeroDivisionError):
            async with bulkhead:
                raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), bulkhead:
            raise ZeroDivisionError
        assert_free(bulkhead)

    virtual_time.run(main())


def test_a_plain_function_waits_on_its_thread() -> None:
    bulkhead = Bulkhead(1, 1, 60)
    order: list[str] = []
    entered, hold = threading.Event(), threading.Event()

    @bulkhead
    def fetch(name: str) -> None:
        order.append(name)
        entered.set()
        hold.wait()

    threads = [threading.Thread(target=fetch, args=(name,)) for name in "ab"]
    threads[0].start()
    entered.wait()
    threads[1].start()
    while bulkhead.waiting == 0:
        pass
    with pytest.raises(InfraUnavailableError, match="lets 1 wait"):
        fetch("c")
    assert order == ["a"]
    hold.set()
    for thread in threads:
        thread.join()
    assert order == ["a", "b"]
    assert_free(bulkhead)


def test_a_plain_function_that_waits_too_long_is_rejected() -> None:
    bulkhead = Bulkhead(1, 1, 0.01)
    with bulkhead, pytest.raises(InfraUnavailableError, match=r"none ended within 0\.01 s"):
        bulkhead.call(lambda: None)
    assert_free(bulkhead)


@pytest.mark.parametrize("called", [False, True])
def test_an_interrupt_of_a_waiting_thread_gives_up_the_turn_and_the_place(
    called: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulkhead = Bulkhead(1, 1, 60)

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if called:
                bulkhead.give_back()
                assert len(bulkhead._called) == 1
            raise KeyboardInterrupt

    assert bulkhead.take_place()
    monkeypatch.setattr(threading, "Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        bulkhead.call(lambda: None)
    if not called:
        bulkhead.give_back()
    assert_free(bulkhead)


def test_a_generator_has_its_place_until_its_first_item() -> None:
    bulkhead = Bulkhead(1, 0)

    @bulkhead
    def rows() -> Generator[int]:
        yield bulkhead.in_flight
        yield bulkhead.in_flight

    @bulkhead
    async def async_rows() -> AsyncGenerator[int]:
        yield bulkhead.in_flight
        yield bulkhead.in_flight

    async def read() -> list[int]:
        return [row async for row in async_rows()]

    assert list(rows()) == asyncio.run(read()) == [1, 0]


def test_a_plain_function_that_returns_work_still_to_be_done_is_refused() -> None:
    bulkhead = Bulkhead(1)
    with pytest.raises(TypeError, match="whose work would run unprotected"):
        bulkhead.call(lambda: asyncio.sleep(0))
    assert_free(bulkhead)


def test_an_exception_is_free_once_the_caller_lets_go_of_it() -> None:
    bulkhead = Bulkhead(1, 0)
    known: list[weakref.ref[BaseException]] = []

    class OwnError(Exception):
        pass

    async def fetch() -> None:
        try:
            raise OwnError
        except OwnError as error:
            known.append(weakref.ref(error))
            raise

    async def main() -> None:
        with pytest.raises(OwnError):
            await bulkhead.call(fetch)
        with bulkhead:
            try:
                await bulkhead.call(fetch)
            except InfraUnavailableError as error:
                known.append(weakref.ref(error))
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
        assert [ref() for ref in known] == [None, None]
    finally:
        gc.enable()


def test_an_unnamed_bulkhead_takes_its_transport_and_its_first_function() -> None:
    bulkhead = create_database_bulkhead()
    assert bulkhead.name == "bulkhead"

    @bulkhead
    def fetch() -> None: ...

    bulkhead(len)
    assert bulkhead.name.startswith("db:")
    assert bulkhead.name.endswith("fetch")


# Arguments and presets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_concurrent": 0}, "max_concurrent = 0: must be a whole number, 1 or more"),
        ({"max_concurrent": 1.5}, "max_concurrent = 1.5: must be a whole number, 1 or more"),
        ({"max_queue": -1}, "max_queue = -1: must be a whole number, 0 or more"),
        ({"max_wait": -0.1}, "max_wait = -0.1: must be a finite number, 0 or more"),
        ({"max_wait": float("inf")}, "max_wait = inf: must be a finite number, 0 or more"),
        ({"name": 1}, "name = 1: must be text that is not blank, or None"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    for build in (Bulkhead, create_database_bulkhead):
        with pytest.raises(ProtocolConfigurationError) as caught:
            build(**{"max_concurrent": 1, **arguments})
        assert caught.value.message.startswith(message)


def test_queue_and_wait_are_the_shipped_ones_unless_given() -> None:
    bulkhead = Bulkhead(3)
    assert (bulkhead.max_concurrent, bulkhead.max_queue, bulkhead.max_wait) == (3, 20, 1)


def factory(section: str) -> BulkheadFactory:
    return getattr(resilience, f"create_{section}_bulkhead")


@pytest.mark.parametrize(
    ("section", "transport", "concurrent", "queue", "wait"), FACTORIES, ids=[row[0] for row in FACTORIES]
)
def test_a_factory_gives_its_transports_numbers_and_arguments_win_one_by_one(
    section: str, transport: EnumInfraTransportType, concurrent: int, queue: int, wait: float
) -> None:
    bulkhead = factory(section)()
    assert (bulkhead.max_concurrent, bulkhead.max_queue, bulkhead.max_wait) == (concurrent, queue, wait)
    assert bulkhead.transport is transport
    assert (factory(section)(7).max_concurrent, factory(section)(7).max_queue) == (7, queue)
    own = factory(section)(max_queue=0, max_wait=9, name="orders")
    assert (own.max_concurrent, own.max_queue, own.max_wait, own.name) == (concurrent, 0, 9, "orders")


def test_a_service_and_the_environment_lie_over_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__BULKHEAD__MAX_QUEUE", "7")
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__BULKHEAD__MAX_CONCURRENT", "3")
    orders = create_database_bulkhead(service="orders")
    assert (orders.max_concurrent, orders.max_queue, orders.name) == (3, 7, "orders")
    assert create_database_bulkhead().max_concurrent == 10
