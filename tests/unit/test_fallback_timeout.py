"""Contract section 8: `fetch_with_timeout_fallback`, with sub-second time-outs, in any thread, without signals."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from omnibase_infra.enums import EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import (
    InfraConnectionError,
    InfraTimeoutError,
    InfraUnavailableError,
    ProtocolConfigurationError,
)
from omnibase_infra.infrastructure.resilience import add_observer, fetch_with_timeout_fallback
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.presets import load_presets
from omnibase_infra.utils import CorrelationContext, get_correlation_id

SOON = 0.005
DEGRADED = {
    "data": "cached",
    "source": "fallback",
    "degraded": True,
    "warning": "Primary source timed out, using fallback data",
}


@pytest.fixture
def hang() -> Iterator[Callable[[], str]]:
    """A primary function that answers only when the test is over."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def primary() -> str:
        threads.append(threading.current_thread())
        over.wait()
        return "late"

    yield primary
    over.set()
    for thread in threads:
        thread.join()


def raising(error: BaseException) -> Callable[[], str]:
    def call() -> str:
        raise error

    return call


def cached() -> str:
    return "cached"


def never() -> str:
    raise AssertionError


def test_an_answer_in_time_is_the_primary_s():
    assert fetch_with_timeout_fallback(lambda: 7, never) == {"data": 7, "source": "primary", "degraded": False}


def test_a_time_out_below_one_second_is_one(hang):
    assert fetch_with_timeout_fallback(hang, cached, timeout_seconds=SOON) == DEGRADED


def test_it_works_outside_the_main_thread(hang):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fetch_with_timeout_fallback, hang, cached, SOON).result() == DEGRADED


def test_no_signal_handler_and_no_alarm_is_touched(hang):
    before = signal.getsignal(signal.SIGALRM)
    fetch_with_timeout_fallback(hang, cached, SOON)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("error", [TimeoutError(), InfraTimeoutError("late"), InfraTimeoutError("", rejected_by="us")])
def test_a_time_out_that_the_primary_raises_itself_is_one_too(error):
    assert fetch_with_timeout_fallback(raising(error), cached) == DEGRADED


def test_a_driver_s_time_out_that_is_no_timeout_error_is_one_too():
    class QueryCanceledError(Exception):
        __module__ = "asyncpg.exceptions"
        sqlstate = "57014"

    late = QueryCanceledError("canceling statement due to statement timeout")
    assert fetch_with_timeout_fallback(raising(late), cached) == DEGRADED


@pytest.mark.parametrize(
    "error", [ValueError("bad"), ConnectionRefusedError(), InfraConnectionError("gone"), InfraUnavailableError("503")]
)
def test_every_other_error_of_the_primary_goes_through_unchanged(error):
    with pytest.raises(type(error)) as caught:
        fetch_with_timeout_fallback(raising(error), never)
    assert caught.value is error
    assert error.__cause__ is None


def test_an_interrupt_within_the_primary_goes_through():
    with pytest.raises(SystemExit):
        fetch_with_timeout_fallback(raising(SystemExit()), never)


def test_when_both_fail_the_time_out_is_raised_chained_through_both(hang):
    own, second = uuid4(), ValueError("hunter2")
    with pytest.raises(InfraTimeoutError) as caught:
        fetch_with_timeout_fallback(hang, raising(second), SOON, own)
    error = caught.value
    assert error.message == "Primary timeout and fallback failed"
    assert error.__cause__ is second
    assert isinstance(second.__cause__, TimeoutError)
    assert error.correlation_id == own
    context = error.context
    assert (context.transport_type, context.operation, context.target_name) == (
        EnumInfraTransportType.DATABASE,
        "fetch",
        "primary-source",
    )
    assert error.model.context["timeout_seconds"] == SOON
    assert "hunter2" not in error.model_dump_json()


def test_the_correlation_id_is_current_in_both_functions_and_nowhere_else(hang):
    own, seen = uuid4(), []

    def primary() -> str:
        seen.append(get_correlation_id())
        raise TimeoutError

    def fallback() -> None:
        seen.append(get_correlation_id())

    fetch_with_timeout_fallback(primary, fallback, correlation_id=str(own))
    assert seen == [own, own]
    assert get_correlation_id() is None
    with CorrelationContext() as current:
        fetch_with_timeout_fallback(primary, fallback)
    assert seen[2:] == [current, current]


def test_the_thread_that_is_left_behind_is_a_daemon_and_its_late_error_is_dropped():
    over = threading.Event()
    left: list[threading.Thread] = []

    def primary() -> None:
        left.append(threading.current_thread())
        over.wait()
        raise ValueError("nobody hears this")

    assert fetch_with_timeout_fallback(primary, cached, SOON)["degraded"]
    over.set()
    left[0].join()  # an unhandled exception in a thread would fail the test as a warning
    assert left[0].daemon


def test_the_waiting_time_comes_from_the_preset_unless_it_is_given(hang, monkeypatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DEFAULTS__FALLBACK__TIMEOUT_SECONDS", str(SOON))
    try:
        assert fetch_with_timeout_fallback(hang, cached) == DEGRADED
    finally:
        monkeypatch.undo()
        load_presets()


def test_an_endless_wait_is_allowed():
    assert fetch_with_timeout_fallback(cached, never, math.inf)["source"] == "primary"


@pytest.mark.parametrize("seconds", [0, -1, math.nan, True, "5"])
def test_a_time_out_that_is_none_is_refused_before_anything_is_called(seconds):
    with pytest.raises(ProtocolConfigurationError, match=r"timeout_seconds = .*: must be a number of seconds, above 0"):
        fetch_with_timeout_fallback(never, never, seconds)


async def coroutine() -> None:
    pass


@pytest.mark.parametrize("functions", [(coroutine, cached), (cached, coroutine)])
def test_coroutine_functions_are_refused(functions):
    with pytest.raises(TypeError, match="coroutine is a coroutine function; with_fallback serves those"):
        fetch_with_timeout_fallback(*functions)


def test_functions_that_turn_out_async_are_refused():
    def disguised() -> object:
        return coroutine()

    with pytest.raises(TypeError, match="returned a coroutine"):
        fetch_with_timeout_fallback(disguised, cached)
    with pytest.raises(InfraTimeoutError) as caught:
        fetch_with_timeout_fallback(raising(TimeoutError()), disguised)
    assert isinstance(caught.value.__cause__, TypeError)


def test_the_event_names_the_primary_and_the_kind():
    events: list[ModelResilienceEvent] = []
    stop = add_observer(events.append, inline=True)
    try:
        fetch_with_timeout_fallback(raising(TimeoutError()), cached)
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.transport) == (EnumResilienceEvent.FALLBACK_USED, EnumInfraTransportType.DATABASE)
    assert event.name.endswith("raising.<locals>.call")


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError])
def test_no_exception_of_the_primary_is_kept_alive(error):
    class Lost(error):
        pass

    gone: list[weakref.ref[Lost]] = []

    def primary() -> None:
        lost = Lost()
        gone.append(weakref.ref(lost))
        try:
            raise lost
        finally:
            del lost

    gc.disable()
    try:
        try:
            fetch_with_timeout_fallback(primary, cached)
        except ConnectionError:
            pass
        for thread in threading.enumerate():
            if thread.name == "onex-fetch":
                thread.join()
        assert gone[0]() is None
    finally:
        gc.enable()


def test_it_may_be_called_from_a_thread_of_an_event_loop(hang):
    async def main() -> object:
        return await asyncio.to_thread(fetch_with_timeout_fallback, hang, cached, SOON)

    assert asyncio.run(main()) == DEGRADED
