"""The observer that is always there: one record a policy event, at its level, in our own words."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

import pytest

from omnibase_infra.enums import EnumCircuitState, EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraRateLimitedError
from omnibase_infra.infrastructure.resilience import (
    CredentialRefreshManager,
    Fallback,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers import dispatch, emit, is_listened_to
from omnibase_infra.infrastructure.resilience.observers.log import LOGGER
from omnibase_infra.utils import CorrelationContext

Kind = EnumResilienceEvent
ONE = UUID("11111111-1111-4111-8111-111111111111")
SECRET = "S3CR3T-hunter2"


class BrokenHandler(logging.Handler):
    """As an application may have one: it does not catch what it raises."""

    def __init__(self) -> None:
        super().__init__()
        self.records = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        raise OSError("disk full")


@pytest.fixture(autouse=True)
def fresh_audience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_audience", dispatch._Audience())


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger=LOGGER.name)
    return caplog


@create_database_retry_policy(3, 1.5, 1.5, sleep=lambda _: None, retry_budget=None)
async def fetch() -> None:
    raise ConnectionError(SECRET)


def exhausted() -> None:
    with CorrelationContext(ONE), pytest.raises(InfraConnectionError):
        asyncio.run(fetch())


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name == LOGGER.name]


def test_each_retry_logs_once_at_warning_with_attempt_wait_kind_and_correlation_id(
    logged: pytest.LogCaptureFixture,
) -> None:
    exhausted()
    assert levels(logged) == ["WARNING", "WARNING", "DEBUG"]
    first, second, last = (record for record in logged.records if record.name == LOGGER.name)
    assert first.getMessage() == (
        f"fetch: attempt 1 failed (connection, ConnectionError), next in 1.500 s, correlation id {ONE}"
    )
    assert vars(second)["attempt"] == 2
    assert vars(second)["wait_seconds"] == 1.5
    assert vars(second)["failure_kind"] == "connection"
    assert vars(second)["error_type"] == "ConnectionError"
    assert vars(second)["correlation_id"] == str(ONE)
    assert vars(second)["transport"] == "db"
    assert vars(second)["kind"] == "retry"
    assert vars(second)["policy_name"] == "fetch"
    assert last.getMessage() == f"fetch: gave up after 3 attempts (InfraConnectionError), correlation id {ONE}"


def test_no_foreign_text_is_logged(logged: pytest.LogCaptureFixture) -> None:
    exhausted()
    assert logged.records
    assert SECRET not in logged.text
    assert not any(SECRET in repr(vars(record)) for record in logged.records)


def test_a_circuit_that_opens_is_a_warning_and_one_that_closes_is_information(
    logged: pytest.LogCaptureFixture,
) -> None:
    breaker = create_database_circuit_breaker(name="logged", clock=lambda: 0.0)
    breaker.trip()
    breaker.reset()
    assert levels(logged) == ["WARNING", "INFO"]
    assert [record.getMessage() for record in logged.records if record.name == LOGGER.name] == [
        "circuit 'logged' went from closed to open",
        "circuit 'logged' went from open to closed",
    ]


def test_a_rejection_is_a_debug_record_since_there_is_one_a_call(logged: pytest.LogCaptureFixture) -> None:
    limiter = create_database_rate_limiter(1, 1, name="api", clock=lambda: 0.0)
    limiter.check_limit()
    with CorrelationContext(ONE), pytest.raises(InfraRateLimitedError):
        limiter.check_limit()
    assert levels(logged) == ["DEBUG"]
    assert f"rate_limiter 'api' rejected check_limit, correlation id {ONE}" in logged.text


def test_an_answer_from_elsewhere_is_a_warning(logged: pytest.LogCaptureFixture) -> None:
    def menu() -> str:
        raise ConnectionError(SECRET)

    with CorrelationContext(ONE):
        assert Fallback(value="empty", name="empty menu").call(menu) == "empty"
    assert levels(logged) == ["WARNING"]
    sentence = f"menu: answered by fallback 'empty menu' (connection, ConnectionError), correlation id {ONE}"
    assert logged.messages[0].endswith(sentence)
    assert SECRET not in logged.text


def test_a_refreshed_credential_is_information(logged: pytest.LogCaptureFixture) -> None:
    class Issuer:
        def refresh_credential(self) -> dict[str, str]:
            return {"token": SECRET}

    with CorrelationContext(ONE):
        CredentialRefreshManager(Issuer()).get_valid_credential()
    assert levels(logged) == ["INFO"]
    assert logged.messages == [f"credential 'Issuer' refreshed, correlation id {ONE}"]
    assert not any(SECRET in repr(vars(record)) for record in logged.records)


def test_a_record_below_the_level_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger=LOGGER.name)
    assert not is_listened_to(Kind.RETRY)
    exhausted()
    assert levels(caplog) == []


def test_a_handler_of_the_application_that_raises_breaks_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = BrokenHandler()
    monkeypatch.setattr(LOGGER, "handlers", [handler])
    monkeypatch.setattr(LOGGER, "propagate", False)
    exhausted()
    assert handler.records == 3  # two warnings and one complaint about them


def test_an_event_without_the_optional_fields_still_makes_a_sentence(logged: pytest.LogCaptureFixture) -> None:
    emit(
        Kind.CIRCUIT_STATE,
        policy="circuit_breaker",
        name="x",
        previous_state=EnumCircuitState.OPEN,
        state=EnumCircuitState.ISOLATED,
    )
    assert "circuit 'x' went from open to isolated" in logged.text
