"""Who listens can neither break nor delay a call, and hears all of it without any foreign text."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
    flush_observers,
)
from omnibase_infra.infrastructure.resilience.observers import dispatch, emit, is_listened_to, log
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import CorrelationContext

Kind = EnumResilienceEvent
ONE = UUID("11111111-1111-4111-8111-111111111111")
SECRET = "S3CR3T-hunter2"


@pytest.fixture(autouse=True)
def fresh_audience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, "_audience", dispatch._Audience())
    yield
    assert flush_observers(5), "a test left an observer blocked"


def without_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an application that configured no logging; called by the test, since pytest puts its handlers on last."""
    monkeypatch.setattr(log.LOGGER, "propagate", False)
    monkeypatch.setattr(log.LOGGER, "handlers", [log._SILENT])


@pytest.fixture
def heard() -> list[ModelResilienceEvent]:
    events: list[ModelResilienceEvent] = []
    add_observer(events.append, inline=True)
    return events


class Exporter:
    def __call__(self, event: ModelResilienceEvent) -> None:
        raise KeyError(SECRET)


def tell(name: str = "orders") -> None:
    emit(Kind.REJECTED, policy="rate_limiter", name=name)


def broken(event: ModelResilienceEvent) -> None:
    raise RuntimeError(SECRET)


def retrying(max_attempts: int = 3) -> None:
    @create_database_retry_policy(max_attempts, 0, 0, sleep=lambda _: None, rng=lambda: 0.0)
    async def fetch() -> None:
        raise ConnectionError(SECRET)

    with pytest.raises(InfraConnectionError):
        asyncio.run(fetch())


@pytest.mark.parametrize("inline", [False, True])
def test_an_observer_that_raises_breaks_no_call_and_is_complained_about_once(
    *, inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    add_observer(broken, inline=inline)
    add_observer(lambda event: calls.append(event.name), inline=inline)
    retrying()
    tell("after")
    assert flush_observers(5)
    assert calls[-1] == "after"
    complaints = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in complaints] == [
        "observer broken raised RuntimeError; it stays subscribed"
    ]
    assert SECRET not in caplog.text


def test_each_broken_observer_gets_a_complaint_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    add_observer(broken, inline=True)
    add_observer(Exporter(), inline=True)
    tell()
    tell()
    assert [record.args for record in caplog.records if record.levelname == "ERROR"] == [
        ("broken", "RuntimeError"),
        ("Exporter", "KeyError"),
    ]


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_observer_that_exits_does_not_stop_the_others_from_hearing(raised: BaseException) -> None:
    names: list[str] = []

    def leaving(event: ModelResilienceEvent) -> None:
        raise raised

    add_observer(leaving)
    add_observer(lambda event: names.append(event.name))
    tell("first")
    tell("second")
    assert flush_observers(5)
    assert names == ["first", "second"]


def test_an_interrupt_that_comes_while_an_inline_observer_runs_gets_out() -> None:
    def interrupted(event: ModelResilienceEvent) -> None:
        raise KeyboardInterrupt

    remove = add_observer(interrupted, inline=True)
    with pytest.raises(KeyboardInterrupt):
        tell()
    remove()


def test_an_observer_that_blocks_delays_no_call() -> None:
    released, entered = threading.Event(), threading.Event()
    names: list[str] = []

    def blocking(event: ModelResilienceEvent) -> None:
        entered.set()
        assert released.wait(5)
        names.append(event.name)

    add_observer(blocking)
    retrying()  # ends, though the first event of it is still with the observer
    assert entered.wait(5)
    assert names == []
    assert flush_observers(0) is False
    released.set()
    assert flush_observers(5)
    assert len(names) == 3


def test_observers_run_on_a_thread_of_their_own_unless_inline() -> None:
    threads: dict[str, threading.Thread] = {}
    add_observer(lambda event: threads.update(own=threading.current_thread()))
    add_observer(lambda event: threads.update(inline=threading.current_thread()), inline=True)
    tell()
    assert threads["inline"] is threading.current_thread()
    assert flush_observers(5)
    assert threads["own"].name == "onex-observers"
    assert threads["own"].daemon


def test_events_arrive_in_order() -> None:
    names: list[str] = []
    add_observer(lambda event: names.append(event.name))
    for n in range(100):
        tell(str(n))
    assert flush_observers(5)
    assert names == [str(n) for n in range(100)]


def test_flush_waits_for_what_was_told_and_says_at_once_when_there_was_nothing() -> None:
    assert flush_observers(5) is True


def test_a_removed_observer_hears_nothing_any_more_not_even_what_waits_for_it() -> None:
    released, entered = threading.Event(), threading.Event()
    names: list[str] = []

    def blocking(event: ModelResilienceEvent) -> None:
        entered.set()
        assert released.wait(5)

    add_observer(blocking)
    remove = add_observer(lambda event: names.append(event.name))
    tell("waits")
    assert entered.wait(5)
    remove()
    released.set()
    tell("after")
    assert flush_observers(5)
    assert names == []


def test_removing_takes_off_one_subscription_and_may_be_repeated() -> None:
    names: list[str] = []

    def note(event: ModelResilienceEvent) -> None:
        names.append(event.name)

    remove = add_observer(note, inline=True)
    add_observer(note, inline=True)
    tell()
    remove()
    remove()
    tell("once")
    assert names == ["orders", "orders", "once"]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_observers_subscribed_and_removed_by_many_threads_at_once_are_counted_exactly() -> None:
    start = threading.Barrier(8)
    for _ in range(1000):  # so that a removal takes long enough to meet another
        add_observer(lambda event: None, inline=True)

    def subscribe() -> None:
        start.wait()
        for _ in range(20):
            remove = add_observer(lambda event: None, inline=True)
            add_observer(lambda event: None, inline=True)
            remove()

    threads = [threading.Thread(target=subscribe) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dispatch._audience.observers) == 1160


def test_beyond_the_backlog_events_are_dropped_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "_BACKLOG", 3)
    released, entered = threading.Event(), threading.Event()
    names: list[str] = []

    def slow(event: ModelResilienceEvent) -> None:
        entered.set()
        assert released.wait(5)
        names.append(event.name)

    add_observer(slow)
    tell("first")
    assert entered.wait(5)
    for n in range(6):
        tell(str(n))
    released.set()
    monkeypatch.setattr(dispatch, "_BACKLOG", 1000)
    assert flush_observers(5)
    assert names == ["first", "0", "1", "2"]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["observers are slower than events come in; events are dropped"]


def test_without_a_thread_to_be_had_a_call_goes_on_and_events_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names: list[str] = []
    add_observer(lambda event: names.append(event.name))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", exhausted)
        tell("early")
    tell("late")
    assert flush_observers(5)
    assert names == ["early", "late"]


def test_an_event_that_comes_up_while_the_thread_is_started_is_no_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    add_observer(lambda event: names.append(event.name))
    really_start = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name == "onex-observers":
            tell("from a finaliser")
        really_start(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    caller = threading.Thread(target=tell, daemon=True)
    caller.start()
    caller.join(5)
    assert not caller.is_alive()
    assert flush_observers(5)
    assert names == ["from a finaliser", "orders"]


def test_after_a_fork_the_child_has_a_thread_of_its_own() -> None:
    program = textwrap.dedent("""
        import os
        from omnibase_infra.enums import EnumResilienceEvent
        from omnibase_infra.infrastructure.resilience import add_observer, flush_observers
        from omnibase_infra.infrastructure.resilience.observers import emit

        names = []
        add_observer(lambda event: names.append(event.name))
        emit(EnumResilienceEvent.REJECTED, policy="retry", name="parent")
        assert flush_observers(5)
        child = os.fork()
        if child == 0:
            emit(EnumResilienceEvent.REJECTED, policy="retry", name="child")
            os._exit(0 if flush_observers(5) and names == ["parent", "child"] else 7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert names == ["parent"]
    """)
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], check=True, timeout=30)


def test_no_event_is_built_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("an event was built for nobody")

    without_handlers(monkeypatch)
    monkeypatch.setattr(ModelResilienceEvent, "model_construct", forbidden)
    assert not any(is_listened_to(kind) for kind in Kind)
    retrying()
    tell()


def test_an_observer_makes_every_kind_listened_to_until_it_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    without_handlers(monkeypatch)
    remove = add_observer(lambda event: None)
    assert all(is_listened_to(kind) for kind in Kind)
    remove()
    assert not any(is_listened_to(kind) for kind in Kind)


def test_a_retry_tells_attempt_wait_kind_class_operation_and_correlation_id(
    heard: list[ModelResilienceEvent],
) -> None:
    with CorrelationContext(ONE):
        retrying()
    told = [event.model_dump(exclude_none=True, exclude={"name", "operation"}) for event in heard]
    common = {"policy": "retry", "transport": EnumInfraTransportType.DATABASE, "correlation_id": ONE}
    failed = {"failure_kind": EnumFailureKind.CONNECTION, "error_type": "ConnectionError", "wait_seconds": 0.0}
    failed["client_attempts"] = 1
    assert told == [
        {"kind": Kind.RETRY, "attempt": 1, **common, **failed},
        {"kind": Kind.RETRY, "attempt": 2, **common, **failed},
        {"kind": Kind.RETRY_GAVE_UP, "attempt": 3, **common, "error_type": "InfraConnectionError"},
    ]
    assert {event.operation for event in heard} == {"retrying.<locals>.fetch"}


def test_all_events_of_one_call_carry_one_correlation_id_even_when_none_was_set(
    heard: list[ModelResilienceEvent],
) -> None:
    retrying()
    assert len({event.correlation_id for event in heard}) == 1
    assert heard[0].correlation_id is not None


def test_a_circuit_tells_its_transitions_and_its_rejections(heard: list[ModelResilienceEvent]) -> None:
    now = 0.0
    breaker = create_database_circuit_breaker(1, 60, name="observed", clock=lambda: now, rng=lambda: 0.0)

    @breaker
    def fetch(*, works: bool) -> None:
        if not works:
            raise ConnectionError(SECRET)

    with pytest.raises(ConnectionError):
        fetch(works=False)
    with pytest.raises(InfraUnavailableError):
        fetch(works=True)
    now = 61.0
    fetch(works=True)
    opened, rejected, probed, closed = heard
    states = [(event.previous_state, event.state) for event in (opened, probed, closed)]
    assert states == [
        (EnumCircuitState.CLOSED, EnumCircuitState.OPEN),
        (EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN),
        (EnumCircuitState.HALF_OPEN, EnumCircuitState.CLOSED),
    ]
    assert {event.kind for event in (opened, probed, closed)} == {Kind.CIRCUIT_STATE}
    assert {event.name for event in heard} == {"observed"}
    assert rejected.kind is Kind.REJECTED
    assert rejected.policy == "circuit_breaker"
    assert rejected.retry_after_seconds == 60.0
    assert rejected.operation is not None
    assert rejected.operation.endswith("fetch")


def test_a_limiter_tells_its_rejections(heard: list[ModelResilienceEvent]) -> None:
    limiter = create_database_rate_limiter(1, 1, name="api", clock=lambda: 0.0)
    limiter.check_limit()
    with CorrelationContext(ONE), pytest.raises(InfraRateLimitedError):
        limiter.check_limit()
    (event,) = heard
    assert (event.kind, event.policy, event.name) == (Kind.REJECTED, "rate_limiter", "api")
    assert (event.retry_after_seconds, event.correlation_id) == (1.0, ONE)
    assert event.transport is EnumInfraTransportType.DATABASE


def test_no_foreign_text_is_in_any_event(heard: list[ModelResilienceEvent]) -> None:
    retrying()
    assert heard
    assert all(SECRET not in event.model_dump_json() + repr(event) for event in heard)
