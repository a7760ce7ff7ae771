"""What a retry tells: one warning and one event a retry, one correlation id, no secret."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from tests.support.retries import Caller, Clock, Script, call_coroutine, call_plain

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError, InfraUnavailableError, ModelOnexError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    add_observer,
    create_database_circuit_breaker,
    create_database_retry_policy,
)
from omnibase_infra.utils import CorrelationContext, get_correlation_id

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])
LOGGER = "omnibase_infra.resilience"


def policy(clock: Clock, **settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"clock": clock, "sleep": clock.sleep, "rng": lambda: 0.5, **settings})


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    return lambda: [r for r in caplog.records if r.name == LOGGER and r.levelno >= logging.WARNING]


@contextmanager
def observed(observer: Callable[[object], object] | None = None) -> Iterator[list[object]]:
    events: list[object] = []
    remove = add_observer(observer or events.append, inline=True)
    try:
        yield events
    finally:
        remove()


@both_kinds
def test_each_retry_logs_once_at_warning_with_attempt_wait_kind_and_correlation_id(call: Caller, records):
    clock = Clock()
    with pytest.raises(InfraConnectionError) as caught:
        call(policy(clock, service="orders"), Script(TimeoutError, ConnectionError))

    first, second = records()
    assert [(r.levelname, r.attempt, r.wait_seconds, r.failure_kind, r.error_type) for r in (first, second)] == [
        ("WARNING", 1, 1.5, EnumFailureKind.TIMEOUT, "TimeoutError"),
        ("WARNING", 2, 2.5, EnumFailureKind.CONNECTION, "ConnectionError"),
    ]
    correlation_id = caught.value.correlation_id
    assert {r.correlation_id for r in (first, second)} == {str(correlation_id)}
    assert first.message == (
        f"{call.__name__}.<locals>.query: attempt 1 failed (timeout, TimeoutError), next in 1.500 s, "
        f"correlation id {correlation_id}"
    )
    assert (first.transport, first.policy_name, first.policy) == ("db", "orders", "retry")


@both_kinds
def test_giving_up_is_not_warned_about_for_the_error_says_it(call: Caller, records):
    with pytest.raises(InfraConnectionError):
        call(policy(Clock(), max_attempts=1), Script(ConnectionError))
    assert records() == []


@both_kinds
def test_a_call_that_succeeds_at_once_logs_nothing(call: Caller, records):
    call(policy(Clock()), Script("rows"))
    assert records() == []


@both_kinds
def test_no_secret_of_a_driver_or_an_argument_is_logged(call: Caller, caplog):
    caplog.set_level(logging.DEBUG)
    script = Script(ConnectionError("postgresql://svc:hunter2@10.0.0.7/orders"))
    with pytest.raises(InfraConnectionError) as caught:
        policy(Clock())(script)("hunter3", password="hunter4")
    with pytest.raises(InfraConnectionError):
        call(policy(Clock()), script)
    shown = caplog.text + "".join(f"{record.__dict__}" for record in caplog.records) + str(caught.value)
    assert "hunter" not in shown
    assert "10.0.0.7" not in shown


@both_kinds
def test_observers_hear_each_retry_and_the_giving_up(call: Caller):
    with observed() as events, pytest.raises(InfraConnectionError) as caught:
        call(policy(Clock()), Script(ConnectionError))
    assert [(e.kind, e.policy, e.attempt, e.wait_seconds, e.error_type, e.transport) for e in events] == [
        (EnumResilienceEvent.RETRY, "retry", 1, 1.5, "ConnectionError", EnumInfraTransportType.DATABASE),
        (EnumResilienceEvent.RETRY, "retry", 2, 2.5, "ConnectionError", EnumInfraTransportType.DATABASE),
        (EnumResilienceEvent.RETRY_GAVE_UP, "retry", 3, None, "InfraConnectionError", EnumInfraTransportType.DATABASE),
    ]
    assert {e.correlation_id for e in events} == {caught.value.correlation_id}


@both_kinds
def test_an_observer_that_raises_cannot_break_the_call(call: Caller, caplog):
    def broken(event: object) -> None:
        raise LookupError("hunter2")

    caplog.set_level(logging.ERROR, LOGGER)
    with observed(broken):
        assert call(policy(Clock()), Script(ConnectionError, TimeoutError, "rows")) == "rows"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "hunter2" not in caplog.text


@both_kinds
def test_an_unwanted_result_is_told_as_such_and_not_shown(call: Caller, records):
    assert (
        call(policy(Clock(), retry=lambda state: state.outcome.result() == "hunter2"), Script("hunter2", "ok")) == "ok"
    )
    assert [(r.error_type, "hunter2" in f"{r.__dict__}") for r in records()] == [("unwanted result", False)]


@both_kinds
def test_the_current_correlation_id_goes_through_log_and_final_error(call: Caller, records):
    with CorrelationContext("00000000-0000-4000-8000-000000000001") as current:
        with pytest.raises(InfraTimeoutError) as caught:
            call(policy(Clock()), Script(TimeoutError))
        assert get_correlation_id() == current
    assert caught.value.correlation_id == caught.value.context.correlation_id == current
    assert {r.correlation_id for r in records()} == {str(current)}


@both_kinds
def test_each_call_without_a_current_id_gets_one_of_its_own(call: Caller, records):
    ids = []
    for _ in range(2):
        with pytest.raises(InfraTimeoutError) as caught:
            call(policy(Clock()), Script(TimeoutError))
        ids.append(str(caught.value.correlation_id))
    assert [r.correlation_id for r in records()] == [ids[0], ids[0], ids[1], ids[1]]
    assert ids[0] != ids[1]


@both_kinds
def test_the_id_of_the_calls_first_onex_error_is_the_calls(call: Caller, records):
    first = InfraConnectionError("mine", correlation_id="00000000-0000-4000-8000-000000000002")
    with pytest.raises(InfraTimeoutError) as caught:
        call(policy(Clock()), Script(first, TimeoutError))
    assert caught.value.correlation_id == UUID("00000000-0000-4000-8000-000000000002")
    assert {UUID(r.correlation_id) for r in records()} == {caught.value.correlation_id}


@both_kinds
def test_onex_errors_of_later_attempts_bear_the_id_of_the_log(call: Caller, records):
    made: list[ModelOnexError] = []

    def query() -> None:
        made.append(InfraUnavailableError("mine"))
        raise made[-1]

    with pytest.raises(InfraUnavailableError) as caught:
        call(policy(Clock()), query)
    assert caught.value is made[2]
    assert {str(error.correlation_id) for error in made} == {r.correlation_id for r in records()}
    assert len({error.correlation_id for error in made}) == 1


@both_kinds
def test_the_id_of_a_call_is_current_no_longer_when_it_ends(call: Caller, records):
    seen = []

    def query() -> str:
        seen.append(get_correlation_id())
        if len(seen) < 3:
            raise ConnectionError
        return "rows"

    call(policy(Clock()), query)
    assert seen[0] is None
    assert [str(found) for found in seen[1:]] == [r.correlation_id for r in records()]
    assert get_correlation_id() is None


def test_a_retry_around_a_breaker_shares_its_id_with_the_open_circuits_error(records):
    clock = Clock()
    breaker = create_database_circuit_breaker(failure_threshold=2, clock=clock)
    with pytest.raises(InfraUnavailableError) as caught:
        policy(clock)(breaker(Script(ConnectionError)))()
    assert caught.value.circuit_state == "open"
    retries = [r for r in records() if r.policy == "retry"]
    assert {r.correlation_id for r in retries} == {str(caught.value.correlation_id)}


def test_nothing_is_built_for_an_event_that_nobody_hears(monkeypatch):
    monkeypatch.setattr(logging.getLogger(LOGGER), "disabled", True)
    clock = Clock()
    assert call_plain(policy(clock), Script(ConnectionError, "rows")) == "rows"
    assert get_correlation_id() is None
