"""`retry_with_exponential_backoff`: the documents' function on the retry policy's engine."""

from __future__ import annotations

import asyncio
import functools
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.retries import Clock, Script
from tests.support.virtual_time import clock, run

from omnibase_infra.enums import EnumCoreErrorCode, EnumInfraTransportType
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import RetryBudget, retry_with_exponential_backoff
from omnibase_infra.models.resilience import ModelRetryBudgetConfig
from omnibase_infra.utils import CorrelationContext, get_correlation_id


def retry(script: Script, **arguments: object) -> object:
    time = Clock()
    settings = {"clock": time, "rng": lambda: 0.0, "sleep": time.sleep, **arguments}
    return run(retry_with_exponential_backoff(script, **settings))


def coroutine_function(script: Script) -> object:
    async def operation() -> object:
        return script()

    return operation


def lambda_that_returns_an_awaitable(script: Script) -> object:
    operation = coroutine_function(script)
    return lambda: operation()  # noqa: PLW0108


def partial(script: Script) -> object:
    async def operation(_: int) -> object:
        return script()

    return functools.partial(operation, 1)


def plain_function(script: Script) -> object:
    return script


@pytest.mark.parametrize("kind", [coroutine_function, lambda_that_returns_an_awaitable, partial, plain_function])
def test_every_kind_of_operation_is_tried_again_until_it_succeeds(kind):
    script = Script(ConnectionError, TimeoutError, "rows")
    assert retry(kind(script)) == "rows"
    assert script.calls == 3


def test_the_numbers_are_those_of_the_defaults_preset_unless_given():
    script, time = Script(ConnectionError), Clock()
    with pytest.raises(InfraConnectionError) as caught:
        retry(script, clock=time, sleep=time.sleep, rng=lambda: 1.0 - 1e-12)
    assert script.calls == caught.value.retry_count == 5
    assert [round(wait, 6) for wait in time.waits] == [2, 4, 8, 16]


def test_the_environment_overrides_the_defaults_and_an_argument_overrides_both(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DEFAULTS__RETRY__MAX_ATTEMPTS", "2")
    for arguments, calls in (({}, 2), ({"max_attempts": 3}, 3)):
        script = Script(ConnectionError)
        with pytest.raises(InfraConnectionError):
            retry(script, **arguments)
        assert script.calls == calls


@given(
    attempts=st.integers(1, 12),
    base=st.floats(0.001, 10),
    growth=st.floats(1, 100),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_no_jitter_passes_the_cap_or_falls_below_the_base(attempts: int, base: float, growth: float, chance: float):
    time, cap = Clock(), base * growth
    with pytest.raises(InfraConnectionError):
        retry(
            Script(ConnectionError),
            max_attempts=attempts,
            base_delay=base,
            max_delay=cap,
            clock=time,
            sleep=time.sleep,
            rng=lambda: chance,
        )
    assert len(time.waits) == attempts - 1
    assert all(base <= wait <= cap for wait in time.waits)


def test_a_base_delay_of_zero_means_no_waits():
    time = Clock()
    with pytest.raises(InfraConnectionError):
        retry(Script(ConnectionError), base_delay=0, clock=time, sleep=time.sleep, rng=lambda: 0.9)
    assert time.waits == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_attempts": 0}, "max_attempts = 0: must be a whole number, 1 or more"),
        ({"base_delay": -1.0}, "base_delay = -1.0: must be a finite number, 0 or more"),
        ({"max_delay": float("nan")}, "max_delay = nan: must be a finite number"),
        ({"base_delay": 5.0, "max_delay": 1.0}, r"base_delay = 5.0: must be at most max_delay = 1.0"),
        ({"sleep": 1}, "sleep = 1: must be a function"),
    ],
)
def test_an_unusable_argument_is_refused_by_its_own_name(arguments: dict[str, object], message: str):
    script = Script("rows")
    with pytest.raises(ProtocolConfigurationError, match=message):
        run(retry_with_exponential_backoff(script, **arguments))
    assert script.calls == 0


def test_a_coroutine_in_place_of_a_function_is_refused():
    async def operation() -> None: ...

    work = operation()
    with pytest.raises(ProtocolConfigurationError, match=r"operation = .*must be a function"):
        run(retry_with_exponential_backoff(work))
    work.close()


def test_what_no_attempt_can_mend_is_raised_at_once_and_untouched():
    error = ValueError("no such column")
    script = Script(error)
    with pytest.raises(ValueError, match="no such column") as caught:
        retry(script)
    assert caught.value is error
    assert script.calls == 1


def test_an_onex_error_of_the_operation_comes_out_as_it_is():
    error = InfraTimeoutError("Database query timeout")
    with pytest.raises(InfraTimeoutError) as caught:
        retry(Script(error), max_attempts=2)
    assert caught.value is error


def test_the_error_names_the_operation_the_transport_and_the_attempts_and_chains_the_last_failure():
    async def connect() -> None:
        raise ConnectionRefusedError("postgresql://svc:hunter2@db/orders")

    with pytest.raises(InfraConnectionError) as caught:
        run(
            retry_with_exponential_backoff(
                connect, 2, 0.1, 0.2, transport=EnumInfraTransportType.DATABASE, clock=clock, rng=lambda: 0.0
            )
        )
    error = caught.value
    assert error.error_code is EnumCoreErrorCode.DATABASE_CONNECTION_ERROR
    assert "connect failed" in error.message
    assert "hunter2" not in error.model_dump_json()
    assert error.retry_count == 2
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_the_correlation_id_is_current_in_every_attempt_and_in_the_error_and_gone_afterwards():
    correlation_id, seen = uuid4(), list[UUID | None]()

    async def operation() -> None:
        seen.append(get_correlation_id())
        raise ConnectionError

    async def main() -> None:
        with pytest.raises(InfraConnectionError) as caught:
            await retry_with_exponential_backoff(operation, 3, correlation_id=correlation_id)
        assert caught.value.correlation_id == correlation_id
        assert get_correlation_id() is None
        with CorrelationContext() as current:
            with pytest.raises(InfraConnectionError) as caught:
                await retry_with_exponential_backoff(operation, 1)
            assert caught.value.correlation_id == current

    run(main())
    assert seen[:3] == [correlation_id] * 3


def test_a_cancellation_ends_the_waiting_and_is_never_retried():
    script = Script(ConnectionError)

    async def main() -> None:
        task = asyncio.create_task(retry_with_exponential_backoff(script))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(100)

    run(main())
    assert script.calls == 1


def test_a_shared_budget_ends_the_retrying():
    time = Clock()
    budget = RetryBudget(ModelRetryBudgetConfig(ratio=0.0, min_per_second=0.0, window=10.0), clock=time)
    script = Script(ConnectionError)
    with pytest.raises(InfraConnectionError):
        retry(script, retry_budget=budget)
    assert script.calls == 1


def test_without_a_budget_given_there_is_none():
    script = Script(ConnectionError)
    with pytest.raises(InfraConnectionError):
        retry(script, max_attempts=500, base_delay=0)
    assert script.calls == 500


def test_a_hundred_concurrent_calls_keep_their_own_attempts():
    async def one(failures: int) -> int:
        script = Script(*[ConnectionError] * failures, failures)
        await retry_with_exponential_backoff(script, max_attempts=6)
        return script.calls

    async def main() -> list[int]:
        return await asyncio.gather(*(one(number % 6) for number in range(100)))

    assert run(main()) == [number % 6 + 1 for number in range(100)]
