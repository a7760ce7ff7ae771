"""What ends the retrying early, or makes it wait longer: max_elapsed, the server's hint, an open circuit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import tenacity
from tests.support.retries import Caller, Clock, Script, call_coroutine, call_plain
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import (
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    create_database_circuit_breaker,
    create_database_retry_policy,
)

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])


def policy(clock: Callable[[], float], **settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    if isinstance(clock, Clock):
        settings = {"sleep": clock.sleep, **settings}
    return build(**{"clock": clock, "rng": lambda: 0.0, **settings})


def throttled(seconds: float | None) -> InfraRateLimitedError:
    return InfraRateLimitedError("429", retry_after_seconds=seconds)


@both_kinds
def test_the_servers_hint_is_waited_for_even_beyond_max_wait(call: Caller):
    clock, script = Clock(), Script(throttled(30), "rows")
    assert call(policy(clock, max_wait=2), script) == "rows"
    assert clock.waits == [30]


def test_a_hint_shorter_than_the_wait_does_not_shorten_it():
    clock = Clock()
    call_plain(policy(clock, min_wait=1), Script(throttled(0.2), "rows"))
    assert clock.waits == [1]


def test_the_hint_is_honoured_beside_a_wait_strategy_of_the_users():
    clock, upcoming = Clock(), []
    call_plain(
        policy(clock, wait=tenacity.wait_fixed(2), stop=lambda state: upcoming.append(state.upcoming_sleep) or False),
        Script(throttled(9), throttled(None), "rows"),
    )
    assert clock.waits == upcoming == [9, 2]


@both_kinds
def test_a_hint_beyond_the_remaining_time_ends_the_retrying_at_once(call: Caller):
    clock, failure = Clock(), throttled(8)
    script = Script(ConnectionError, failure)
    with pytest.raises(InfraRateLimitedError) as caught:
        call(policy(clock, max_elapsed=8.5, wait=tenacity.wait_fixed(1)), script)
    assert caught.value is failure
    assert (script.calls, clock.waits) == (2, [1])


@both_kinds
def test_a_hint_beyond_max_retry_after_ends_the_retrying_at_once(call: Caller):
    clock, script = Clock(), Script(throttled(20), throttled(20.1))
    with pytest.raises(InfraRateLimitedError):
        call(policy(clock, max_retry_after=20), script)
    assert (script.calls, clock.waits) == (2, [20])


@both_kinds
def test_max_elapsed_ends_the_retrying_when_the_next_wait_would_not_fit(call: Caller):
    clock, script = Clock(), Script(ConnectionError)
    with pytest.raises(InfraConnectionError) as caught:
        call(policy(clock, max_attempts=99, max_elapsed=4.5, min_wait=1, max_wait=1), script)
    assert clock.waits == [1, 1, 1, 1]
    assert script.calls == caught.value.retry_count == 5


@both_kinds
def test_an_attempt_that_would_begin_at_the_very_limit_is_not_made(call: Caller):
    clock, script = Clock(), Script(ConnectionError)
    with pytest.raises(InfraConnectionError):
        call(policy(clock, max_attempts=99, max_elapsed=2, min_wait=1, max_wait=1), script)
    assert script.calls == 2


def test_a_plain_function_is_asked_between_attempts_and_a_late_result_still_counts():
    clock = Clock()

    def slow() -> str:
        clock.now += 100
        return "rows"

    assert policy(clock, max_elapsed=5)(slow)() == "rows"

    def slow_and_failing() -> str:
        clock.now += 100
        raise ConnectionError

    with pytest.raises(InfraConnectionError) as caught:
        policy(clock, max_elapsed=5)(slow_and_failing)()
    assert (caught.value.retry_count, clock.waits) == (1, [])


def test_max_elapsed_bounds_a_hung_first_attempt():
    async def main() -> None:
        @policy(loop_clock, max_elapsed=5)
        async def hung() -> None:
            await asyncio.sleep(3600)

        with pytest.raises(InfraTimeoutError) as caught:
            await hung()
        assert loop_clock() == 5
        assert caught.value.retry_count == 1
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert (
            caught.value.context.operation == "test_max_elapsed_bounds_a_hung_first_attempt.<locals>.main.<locals>.hung"
        )

    run(main())


def test_max_elapsed_bounds_a_hung_later_attempt_and_tells_how_many_there_were():
    async def main() -> None:
        calls = 0

        @policy(loop_clock, max_elapsed=5)
        async def query() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                await asyncio.sleep(1)
                raise ConnectionError
            await asyncio.sleep(3600)

        with pytest.raises(InfraTimeoutError) as caught:
            await query()
        assert loop_clock() == 5
        assert calls == caught.value.retry_count == 2

    run(main())


def test_max_elapsed_bounds_a_before_sleep_that_hangs():
    async def main() -> None:
        async def before_sleep(state: tenacity.RetryCallState) -> None:
            await asyncio.sleep(3600)

        @policy(loop_clock, max_elapsed=5, before_sleep=before_sleep)
        async def query() -> None:
            raise ConnectionError

        with pytest.raises(InfraTimeoutError):
            await query()
        assert loop_clock() == 5

    run(main())


def test_a_timeout_of_the_functions_own_within_max_elapsed_is_retried_as_such():
    async def main() -> None:
        calls = 0

        @policy(loop_clock, max_elapsed=50)
        async def query() -> str:
            nonlocal calls
            calls += 1
            if calls < 3:
                async with asyncio.timeout(2):
                    await asyncio.sleep(3600)
            return "rows"

        assert await query() == "rows"
        assert calls == 3
        assert loop_clock() == 2 + 1 + 2 + 1

    run(main())


def test_a_timeout_error_of_a_strategy_is_not_taken_for_max_elapsed():
    async def main() -> None:
        def stop(state: tenacity.RetryCallState) -> bool:
            raise TimeoutError("the strategy's own")

        @policy(loop_clock, max_elapsed=50, stop=stop)
        async def query() -> None:
            raise ConnectionError

        with pytest.raises(TimeoutError, match="the strategy's own"):
            await query()

    run(main())


def test_without_max_elapsed_nothing_bounds_the_whole():
    async def main() -> str:
        @policy(loop_clock, max_elapsed=None)
        async def query() -> str:
            await asyncio.sleep(86_400)
            return "rows"

        return await query()

    assert run(main()) == "rows"


def open_circuit(retry_after: float | None, state: EnumCircuitState = EnumCircuitState.OPEN) -> InfraUnavailableError:
    return InfraUnavailableError(
        "Circuit breaker open", circuit_state=state, rejected_by="db", retry_after_seconds=retry_after
    )


@both_kinds
def test_an_open_circuit_is_not_retried_unless_asked_whatever_the_strategy_says(call: Caller):
    for settings in ({}, {"retry": tenacity.retry_always}, {"max_elapsed": 1000}):
        clock, script = Clock(), Script(open_circuit(0.1))
        with pytest.raises(InfraUnavailableError):
            call(policy(clock, **settings), script)
        assert (script.calls, clock.waits) == (1, [])


@both_kinds
def test_an_open_circuit_is_waited_for_when_asked_and_fitting(call: Caller):
    clock, script = Clock(), Script(open_circuit(30), "rows")
    assert call(policy(clock, retry_open_circuit=True, max_elapsed=31), script) == "rows"
    assert clock.waits == [30]


@both_kinds
def test_an_open_circuit_that_does_not_fit_the_remaining_time_is_not_waited_for(call: Caller):
    for settings in ({"max_elapsed": 30}, {"max_retry_after": 29}):
        clock, script = Clock(), Script(open_circuit(30))
        with pytest.raises(InfraUnavailableError):
            call(policy(clock, retry_open_circuit=True, **settings), script)
        assert (script.calls, clock.waits) == (1, [])


@both_kinds
def test_an_isolated_circuit_that_names_no_time_is_not_retried_even_when_asked(call: Caller):
    clock, script = Clock(), Script(open_circuit(None, EnumCircuitState.ISOLATED))
    with pytest.raises(InfraUnavailableError):
        call(policy(clock, retry_open_circuit=True), script)
    assert script.calls == 1


def test_asking_for_open_circuits_does_not_make_other_rejections_retried():
    clock, script = Clock(), Script(InfraRateLimitedError("ours", rejected_by="limiter", retry_after_seconds=0.1))
    with pytest.raises(InfraRateLimitedError):
        call_plain(policy(clock, retry_open_circuit=True), script)
    assert script.calls == 1


def test_a_retry_outside_a_real_breaker_waits_out_the_recovery_when_asked():
    clock, script = Clock(), Script(ConnectionError, ConnectionError, "rows")
    breaker = create_database_circuit_breaker(failure_threshold=2, recovery_timeout=20, clock=clock)
    retry = policy(clock, retry_open_circuit=True, max_attempts=4)
    assert retry(breaker(script))() == "rows"
    assert clock.waits == [1, 1, 19]  # the circuit opened a second before the attempt that it refused
    assert script.calls == 3
