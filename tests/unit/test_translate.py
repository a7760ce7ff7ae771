"""From a failure to the one error the caller sees: class, code, context, cause, and none of the foreign text."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from asyncio import CancelledError
from uuid import UUID

import pytest

from omnibase_infra.enums import EnumCoreErrorCode as Code
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelOnexError,
    RuntimeHostError,
)
from omnibase_infra.infrastructure.resilience import translate
from omnibase_infra.utils import CorrelationContext

ONE = UUID("11111111-1111-4111-8111-111111111111")
SECRET = "S3CR3T-hunter2"


NAMES = {
    "57P03": "CannotConnectNowError",
    "53300": "TooManyConnectionsError",
    "28P01": "InvalidPasswordError",
    "42601": "PostgresSyntaxError",
}


def reported(code: str, message: str) -> Exception:
    """What a server's error response becomes in asyncpg, by name: the driver itself need not be installed."""
    cls = type(NAMES[code], (Exception,), {"__module__": "asyncpg.exceptions", "sqlstate": code})
    error: Exception = cls(message)
    return error


def translated(exc: BaseException, **kwargs: object) -> RuntimeHostError:
    error = translate(exc, transport=Transport.DATABASE, operation="execute_query", target_name="orders", **kwargs)  # type: ignore[arg-type]
    assert isinstance(error, RuntimeHostError)
    return error


FOREIGN = [
    (ConnectionRefusedError(111, SECRET), InfraConnectionError, Code.DATABASE_CONNECTION_ERROR),
    (TimeoutError(SECRET), InfraTimeoutError, Code.TIMEOUT_ERROR),
    (reported("57P03", SECRET), InfraUnavailableError, Code.SERVICE_UNAVAILABLE),
    (reported("53300", SECRET), InfraRateLimitedError, Code.RATE_LIMIT_EXCEEDED),
    (reported("28P01", SECRET), InfraAuthenticationError, Code.AUTHENTICATION_ERROR),
    (ExceptionGroup(SECRET, [TimeoutError(SECRET)]), InfraTimeoutError, Code.TIMEOUT_ERROR),
]


@pytest.mark.parametrize(("exc", "cls", "code"), FOREIGN)
def test_each_kind_becomes_its_error_with_its_code(exc: Exception, cls: type[RuntimeHostError], code: Code) -> None:
    error = translated(exc)
    assert type(error) is cls
    assert error.error_code is code
    assert error.rejected_by is None
    assert error.circuit_state is None


@pytest.mark.parametrize(
    ("transport", "code"),
    [
        (Transport.DATABASE, Code.DATABASE_CONNECTION_ERROR),
        (Transport.HTTP, Code.NETWORK_ERROR),
        (Transport.GRPC, Code.NETWORK_ERROR),
        (Transport.KAFKA, Code.SERVICE_UNAVAILABLE),
        (None, Code.SERVICE_UNAVAILABLE),
    ],
)
def test_the_transport_decides_the_code_of_a_connection_error(transport: Transport | None, code: Code) -> None:
    error = translate(ConnectionError(), transport=transport)
    assert isinstance(error, InfraConnectionError)
    assert error.error_code is code
    assert error.context.transport_type is transport


def test_the_error_says_where_what_and_from_which_class() -> None:
    error = translated(reported("57P03", "starting up"), retry_count=3, correlation_id=ONE)
    assert error.context.model_dump(exclude_none=True) == {
        "transport_type": Transport.DATABASE,
        "operation": "execute_query",
        "target_name": "orders",
        "correlation_id": ONE,
        "original_error_type": "asyncpg.exceptions.CannotConnectNowError",
    }
    assert error.retry_count == 3
    assert error.model.context["retry_count"] == 3
    assert error.model.context["driver_code"] == "57P03"
    assert error.message == (
        "execute_query failed: orders cannot serve now after 3 attempts (CannotConnectNowError 57P03)"
    )


def test_what_is_not_known_is_left_out() -> None:
    error = translate(ConnectionError(SECRET))
    assert isinstance(error, InfraConnectionError)
    assert error.message == "call failed: the dependency could not be reached (ConnectionError)"
    assert error.model.context == {"original_error_type": "builtins.ConnectionError"}
    assert error.retry_count is None


def test_a_single_attempt_is_not_called_attempts() -> None:
    error = translated(TimeoutError(), retry_count=1)
    assert "attempts" not in error.message
    assert error.retry_count == 1


def test_the_transport_stands_in_for_a_target_without_name() -> None:
    error = translate(TimeoutError(), transport=Transport.VAULT)
    assert isinstance(error, ModelOnexError)
    assert "vault did not answer in time" in error.message


def test_the_correlation_id_is_the_current_one_unless_given() -> None:
    with CorrelationContext(ONE):
        assert translated(TimeoutError()).correlation_id == ONE
    made = translated(TimeoutError())
    assert made.correlation_id.version == 4
    assert made.correlation_id != ONE


def test_the_original_is_the_cause_and_nothing_else_of_it_is_kept() -> None:
    exc = ConnectionResetError(104, SECRET)
    error = translated(exc)
    assert error.__cause__ is exc
    assert error.__suppress_context__
    assert exc not in vars(error).values()


@pytest.mark.parametrize(
    "exc",
    [InfraTimeoutError("own"), RuntimeHostError("own"), InfraUnavailableError("open", rejected_by="orders")],
)
def test_an_onex_error_comes_back_as_it_is(exc: ModelOnexError) -> None:
    before = dict(vars(exc))
    assert translate(exc, transport=Transport.HTTP, retry_count=3) is exc
    assert vars(exc) == before


@pytest.mark.parametrize("exc", [ValueError(SECRET), FileNotFoundError(), reported("42601", "syntax error")])
def test_an_error_of_the_caller_comes_back_untouched(exc: Exception) -> None:
    before = dict(vars(exc)), exc.args
    assert translate(exc, transport=Transport.DATABASE) is exc
    assert (vars(exc), exc.args) == before
    assert exc.__cause__ is None


@pytest.mark.parametrize("exc", [CancelledError(), KeyboardInterrupt(), GeneratorExit(), SystemExit(1)])
def test_what_was_abandoned_comes_back_untouched(exc: BaseException) -> None:
    assert translate(exc) is exc
    assert vars(exc) == {}


@pytest.mark.parametrize(("exc", "cls", "code"), FOREIGN)
def test_foreign_text_appears_in_no_view_of_the_error(
    exc: Exception, cls: type[RuntimeHostError], code: Code, caplog: pytest.LogCaptureFixture
) -> None:
    error = translated(exc, retry_count=2)
    logging.getLogger("application").error("it failed: %s %r", error, error)
    twin = pickle.loads(pickle.dumps(error))
    texts = [
        str(error),
        repr(error),
        error.message,
        repr(error.args),
        error.model_dump_json(),
        repr(error.model_dump()),
        repr(error.context),
        repr(error.model),
        repr(vars(error)),
        repr(vars(copy.deepcopy(error))),
        repr(vars(twin)),
        caplog.text,
        *traceback.format_exception_only(error),
    ]
    for text in texts:
        assert SECRET not in text
    assert json.loads(error.model_dump_json())["error_type"] == cls.__name__


def test_names_given_by_the_user_pass_the_sanitiser() -> None:
    error = translate(
        ConnectionError(),
        operation="connect postgresql://svc:hunter2@db.example.com/orders",
        target_name="postgresql://svc:hunter2@db.example.com/orders",
    )
    assert isinstance(error, ModelOnexError)
    assert "hunter2" not in error.model_dump_json() + str(error) + repr(error.context)
    assert "db.example.com" in error.message


def test_errors_of_one_place_share_a_context_but_no_correlation_id() -> None:
    first, second = translated(TimeoutError()), translated(TimeoutError())
    assert first.correlation_id != second.correlation_id
    assert first.context.correlation_id == first.correlation_id
    assert second.context.correlation_id == second.correlation_id


class _HintedError(InfraRateLimitedError):
    pass


def test_the_hint_of_the_failure_is_the_error_s() -> None:
    group = ExceptionGroup("several", [_HintedError("429", retry_after_seconds=4), TimeoutError()])
    error = translated(group)
    assert type(error) is InfraRateLimitedError
    assert error.retry_after_seconds == 4.0
    assert error.context.retry_after_seconds == 4.0
