"""Tenacity's own stop, wait and retry objects, and their combinations, in place of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import tenacity
from tenacity import asyncio as tenacity_async
from tests.support.retries import Caller, Clock, Script, call_coroutine, call_plain

from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraTimeoutError,
    ProtocolConfigurationError,
    RuntimeHostError,
)
from omnibase_infra.infrastructure.resilience import InfrastructureRetryPolicy, create_database_retry_policy

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])


def policy(clock: Clock, **settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"clock": clock, "sleep": clock.sleep, "rng": lambda: 0.0, **settings})


@pytest.mark.parametrize(
    ("stop", "attempts"),
    [
        (tenacity.stop_after_attempt(5), 5),
        (tenacity.stop_after_delay(3), 4),
        (tenacity.stop_before_delay(3), 3),
        (tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(2), 3),
        (tenacity.stop_after_attempt(5) & tenacity.stop_after_delay(2), 5),
        (tenacity.stop_after_attempt(2) & tenacity.stop_after_delay(4), 5),
        (lambda state: state.idle_for >= 2, 3),
    ],
)
@both_kinds
def test_a_stop_strategy_takes_the_place_of_max_attempts(call: Caller, stop, attempts):
    clock, script = Clock(), Script(ConnectionError)
    with pytest.raises(InfraConnectionError) as caught:
        call(policy(clock, stop=stop, max_attempts=2), script)
    assert script.calls == caught.value.retry_count == attempts


@pytest.mark.parametrize(
    ("wait", "waits"),
    [
        (tenacity.wait_fixed(7), [7, 7, 7]),
        (tenacity.wait_none(), [0, 0, 0]),
        (tenacity.wait_fixed(3) + tenacity.wait_incrementing(1, 2), [4, 6, 8]),
        (tenacity.wait_exponential(multiplier=1, max=3), [1, 2, 3]),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(5)), [1, 5, 5]),
        (sum([tenacity.wait_fixed(1), tenacity.wait_fixed(2)]), [3, 3, 3]),
        (tenacity.wait_exception(lambda exc: len(exc.args)), [2, 2, 2]),
        (lambda state: state.attempt_number * 10, [10, 20, 30]),
    ],
)
@both_kinds
def test_a_wait_strategy_takes_the_place_of_the_bounded_wait(call: Caller, wait, waits):
    clock = Clock()
    with pytest.raises(InfraConnectionError):
        call(policy(clock, max_attempts=4, wait=wait), Script(ConnectionError(1, "x")))
    assert clock.waits == waits


@pytest.mark.parametrize(
    "retry",
    [
        tenacity.retry_if_exception_type(ValueError),
        tenacity.retry_if_exception(lambda exc: "again" in str(exc)),
        tenacity.retry_if_not_exception_type(TypeError),
        tenacity.retry_if_exception_message(match="again"),
        tenacity.retry_if_exception_type(KeyError) | tenacity.retry_if_exception_type(ValueError),
        tenacity.retry_if_exception_type(ValueError) & tenacity.retry_if_exception_message(match="again"),
        lambda state: state.outcome.failed,
    ],
)
@both_kinds
def test_a_retry_strategy_takes_the_place_of_the_classification(call: Caller, retry):
    clock, script = Clock(), Script(ValueError("again"), ValueError("again"), "rows")
    assert call(policy(clock, retry=retry), script) == "rows"
    assert script.calls == 3


@both_kinds
def test_a_retry_strategy_may_refuse_what_the_classification_would_retry(call: Caller):
    clock, script = Clock(), Script(ConnectionError)
    with pytest.raises(InfraConnectionError) as caught:
        call(policy(clock, retry=tenacity.retry_never), script)
    assert script.calls == caught.value.retry_count == 1


@both_kinds
def test_an_error_of_the_caller_that_a_strategy_retried_comes_out_untouched_at_the_end(call: Caller):
    clock, last = Clock(), ValueError("last")
    script = Script(ValueError, ValueError, last)
    with pytest.raises(ValueError, match="last") as caught:
        call(policy(clock, retry=tenacity.retry_if_exception_type(ValueError)), script)
    assert caught.value is last
    assert script.calls == 3


@both_kinds
def test_an_unwanted_result_is_retried_until_a_wanted_one_comes(call: Caller):
    clock, script = Clock(), Script(None, None, "rows")
    assert call(policy(clock, retry=tenacity.retry_if_result(lambda rows: rows is None)), script) == "rows"
    assert script.calls == 3


@both_kinds
def test_unwanted_results_to_the_end_raise_with_count_and_context(call: Caller):
    clock, script = Clock(), Script(None)
    with pytest.raises(RuntimeHostError) as caught:
        call(policy(clock, retry=tenacity.retry_if_not_result(bool), service="orders"), script)
    error = caught.value
    assert script.calls == error.retry_count == 3
    assert "no result was accepted after 3 attempts" in error.message
    assert error.context.target_name == "orders"
    assert error.context.transport_type == "db"
    assert error.context.operation == f"{call.__name__}.<locals>.query"
    assert error.__cause__ is None


@both_kinds
def test_exceptions_and_results_may_both_be_retried(call: Caller):
    clock, script = Clock(), Script(TimeoutError, None, TimeoutError, "rows")
    retry = tenacity.retry_if_exception_type(TimeoutError) | tenacity.retry_if_result(lambda rows: rows is None)
    assert call(policy(clock, retry=retry, max_attempts=4), script) == "rows"
    assert script.calls == 4


@both_kinds
def test_wait_and_stop_are_asked_only_when_a_retry_is_due(call: Caller):
    clock, asked = Clock(), []

    def wait(state: tenacity.RetryCallState) -> float:
        asked.append("wait")
        return tenacity.wait_exception(lambda _: 1.0)(state)

    def stop(state: tenacity.RetryCallState) -> bool:
        asked.append(f"stop before {state.upcoming_sleep:g} s")
        return False

    def retry(state: tenacity.RetryCallState) -> bool:
        asked.append("retry")
        return state.outcome is not None and state.outcome.failed

    assert call(policy(clock, wait=wait, stop=stop, retry=retry), Script(ConnectionError, "rows")) == "rows"
    assert asked == ["retry", "wait", "stop before 1 s", "retry"]


@both_kinds
def test_strategies_see_the_state_that_tenacity_shows(call: Caller):
    clock, seen = Clock(100.0), []

    def retry(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        seen.append(
            (
                state.attempt_number,
                state.seconds_since_start,
                state.idle_for,
                state.outcome.attempt_number,
                type(state.outcome.exception()),
                state.get_fn_name().rpartition(".")[2],
            )
        )
        return True

    with pytest.raises(InfraConnectionError):
        call(policy(clock, retry=retry), Script(ConnectionError))
    assert seen == [(n + 1, n, n, n + 1, ConnectionError, "query") for n in range(3)]


@both_kinds
def test_before_sleep_is_called_once_before_each_wait_with_the_next_action(call: Caller):
    clock, told = Clock(), []

    def before_sleep(state: tenacity.RetryCallState) -> None:
        assert state.next_action is not None
        told.append((state.attempt_number, state.next_action.sleep, list(clock.waits)))

    with pytest.raises(InfraConnectionError):
        call(policy(clock, wait=tenacity.wait_fixed(4), before_sleep=before_sleep), Script(ConnectionError))
    assert told == [(1, 4, []), (2, 4, [4])]


def test_tenacitys_own_before_sleep_log_works(caplog):
    clock = Clock()
    before_sleep = tenacity.before_sleep_log(logging.getLogger("users.own"), logging.INFO)
    with caplog.at_level(logging.INFO, "users.own"):
        call_plain(policy(clock, before_sleep=before_sleep), Script(ConnectionError("x"), "rows"))
    assert "query in 1 seconds as it raised ConnectionError: x" in caplog.text


@both_kinds
def test_what_a_strategy_raises_comes_out_and_ends_the_call(call: Caller):
    clock, script = Clock(), Script(ConnectionError)

    def broken(state: tenacity.RetryCallState) -> bool:
        raise LookupError("a bug in the predicate")

    with pytest.raises(LookupError, match="a bug in the predicate"):
        call(policy(clock, retry=broken), script)
    assert script.calls == 1


@pytest.mark.parametrize(
    ("returned", "shown"),
    [(-1, "-1"), (float("nan"), "nan"), (float("inf"), "inf"), (None, "None"), ("5", "(a str, not shown)")],
)
@both_kinds
def test_a_wait_that_is_no_duration_is_refused_and_chained_from_the_failure(call: Caller, returned, shown):
    clock = Clock()
    with pytest.raises(ProtocolConfigurationError) as caught:
        call(policy(clock, wait=lambda state: returned), Script(ConnectionError))
    assert caught.value.message == f"wait returned {shown}: must return a finite number of seconds, 0 or more"
    assert isinstance(caught.value.__cause__, ConnectionError)


async def _is_connection_error(exc: BaseException) -> bool:
    return isinstance(exc, ConnectionError)


async def _is_none(rows: object) -> bool:
    return rows is None


@pytest.mark.parametrize(
    "retry",
    [
        tenacity_async.retry_if_exception(_is_connection_error),
        tenacity_async.retry_if_exception(_is_connection_error) | tenacity.retry_if_exception_type(KeyError),
        tenacity.retry_if_exception_type(OSError) & tenacity_async.retry_if_exception(_is_connection_error),
    ],
)
def test_async_retry_strategies_serve_coroutine_functions(retry):
    clock, script = Clock(), Script(ConnectionError, ConnectionError, "rows")
    assert call_coroutine(policy(clock, retry=retry), script) == "rows"
    assert script.calls == 3


def test_an_async_result_strategy_serves_coroutine_functions():
    clock, script = Clock(), Script(None, "rows")
    assert call_coroutine(policy(clock, retry=tenacity_async.retry_if_result(_is_none)), script) == "rows"


def test_async_stop_wait_and_before_sleep_serve_coroutine_functions():
    clock, told = Clock(), []

    async def stop(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= 4

    async def wait(state: tenacity.RetryCallState) -> float:
        return 3.0

    async def before_sleep(state: tenacity.RetryCallState) -> None:
        told.append(state.attempt_number)

    with pytest.raises(InfraTimeoutError):
        call_coroutine(policy(clock, stop=stop, wait=wait, before_sleep=before_sleep), Script(TimeoutError))
    assert clock.waits == [3, 3, 3]
    assert told == [1, 2, 3]


async def _strategy(state: tenacity.RetryCallState) -> bool:
    return True


async def _sleep(seconds: float) -> None:
    """Wait for nothing."""


@pytest.mark.parametrize(
    "settings",
    [
        {"retry": tenacity_async.retry_if_exception(_is_connection_error)},
        {"retry": tenacity.retry_if_exception_type(KeyError) | tenacity_async.retry_if_exception(_is_connection_error)},
        {"stop": _strategy},
        {"wait": _strategy},
        {"before_sleep": _strategy},
        {"sleep": _sleep},
    ],
)
def test_an_async_strategy_is_refused_on_a_plain_function_at_decoration(settings):
    def query() -> None:
        """Never called."""

    with pytest.raises(TypeError, match=r"query is a plain function: an async strategy or sleep can only serve an"):
        policy(Clock(), **settings)(query)


def test_a_strategy_that_turns_out_async_under_a_plain_function_says_so():
    clock = Clock()

    class Pending:
        def __await__(self):
            yield

    with pytest.raises(TypeError, match="a strategy returned an awaitable for a plain function"):
        call_plain(policy(clock, stop=lambda state: Pending()), Script(ConnectionError))


@both_kinds
def test_an_authentication_failure_that_a_strategy_retries_is_translated_at_the_end(call: Caller):
    failure = type("InvalidPasswordError", (Exception,), {"__module__": "asyncpg.exceptions", "sqlstate": "28P01"})
    clock, script = Clock(), Script(failure)
    with pytest.raises(InfraAuthenticationError) as caught:
        call(policy(clock, retry=tenacity.retry_always), script)
    assert script.calls == caught.value.retry_count == 3


def test_strategies_with_state_of_their_own_are_shared_but_calls_are_not():
    clock, script = Clock(), Script(ConnectionError)
    guarded = policy(clock, stop=tenacity.stop_after_attempt(2))(script)
    for _ in range(3):
        with pytest.raises(InfraConnectionError) as caught:
            guarded()
        assert caught.value.retry_count == 2
    assert script.calls == 6
