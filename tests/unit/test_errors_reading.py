"""How an error is made and read: every form the documents use, the context, the correlation id, no secrets."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from omnibase_infra.enums import EnumCircuitState, EnumCoreErrorCode, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelInfraErrorContext,
    ModelOnexError,
    RuntimeHostError,
)
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.errors.model_infra_error_context import call_context
from omnibase_infra.utils import correlation_id_var

ONE = UUID("11111111-1111-4111-8111-111111111111")
TWO = UUID("22222222-2222-4222-8222-222222222222")


@pytest.fixture(autouse=True)
def no_current_id() -> Iterator[None]:
    token = correlation_id_var.set(None)
    yield
    correlation_id_var.reset(token)


def documented() -> InfraConnectionError:
    context = ModelInfraErrorContext(
        transport_type=EnumInfraTransportType.DATABASE,
        operation="execute_query",
        target_name="postgresql-primary",
        correlation_id=ONE,
    )
    try:
        try:
            raise ConnectionRefusedError("postgresql://svc:hunter2@db.example.com")
        except ConnectionRefusedError as exc:
            raise InfraConnectionError(
                "Failed to connect", context=context, host="db.example.com", port=5432, retry_count=3
            ) from exc
    except InfraConnectionError as error:
        return error


def test_every_documented_reading_form_works() -> None:
    error = documented()
    assert error.message == "Failed to connect"
    assert error.error_code is EnumCoreErrorCode.DATABASE_CONNECTION_ERROR
    assert error.correlation_id == ONE
    assert error.context.correlation_id == ONE
    assert error.context.operation == "execute_query"
    assert error.model.error_code.name == "DATABASE_CONNECTION_ERROR"
    assert error.model.context["host"] == "db.example.com"
    assert error.model.context["port"] == 5432
    assert error.model.context["operation"] == "execute_query"
    assert error.http_status == 503
    assert error.retry_after_seconds is None
    assert error.retry_count == 3
    assert error.circuit_state is None
    assert error.rejected_by is None
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_str_is_the_code_in_brackets_and_the_message() -> None:
    assert str(documented()) == "[ONEX_CORE_131_DATABASE_CONNECTION_ERROR] Failed to connect"
    assert repr(documented()) == f"InfraConnectionError('{documented()}')"


def test_the_record_dumps_as_python_data_and_as_json() -> None:
    error = documented()
    assert error.model_dump() == {
        "error_type": "InfraConnectionError",
        "message": "Failed to connect",
        "error_code": EnumCoreErrorCode.DATABASE_CONNECTION_ERROR,
        "http_status": 503,
        "correlation_id": ONE,
        "retry_after_seconds": None,
        "circuit_state": None,
        "rejected_by": None,
        "context": {
            "transport_type": "db",
            "operation": "execute_query",
            "target_name": "postgresql-primary",
            "host": "db.example.com",
            "port": 5432,
            "retry_count": 3,
        },
    }
    as_json = json.loads(error.model_dump_json())
    assert as_json["error_code"] == "ONEX_CORE_131_DATABASE_CONNECTION_ERROR"
    assert as_json["correlation_id"] == str(ONE)
    assert "hunter2" not in error.model_dump_json()


def test_the_rejection_of_a_policy_reads_back() -> None:
    error = InfraUnavailableError("no", circuit_state="open", rejected_by="orders", retry_after_seconds=2)
    assert error.circuit_state is EnumCircuitState.OPEN
    assert error.circuit_state == "open"
    assert error.rejected_by == "orders"
    assert error.retry_after_seconds == 2.0
    assert isinstance(error.retry_after_seconds, float)
    assert error.context.retry_after_seconds == 2.0


def test_a_retry_hint_of_the_context_is_the_error_s_and_one_given_by_keyword_wins() -> None:
    context = ModelInfraErrorContext(retry_after_seconds=7)
    assert InfraRateLimitedError("slow", context=context).retry_after_seconds == 7.0
    error = InfraRateLimitedError("slow", context=context, retry_after_seconds=0)
    assert error.retry_after_seconds == 0.0
    assert error.context.retry_after_seconds == 0.0
    assert context.retry_after_seconds == 7.0


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan"), float("inf")])
def test_a_bad_retry_hint_is_refused_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match=r"retry_after_seconds = .*: must be 0 or more seconds, and finite"):
        InfraRateLimitedError("slow", retry_after_seconds=bad)
    with pytest.raises(ValidationError, match="retry_after_seconds"):
        ModelInfraErrorContext(retry_after_seconds=bad)


@pytest.mark.parametrize("bad", ["hunter2", "", 5])
def test_a_malformed_correlation_id_is_refused_by_name_without_being_echoed(bad: object) -> None:
    for build in (
        lambda: InfraTimeoutError("x", correlation_id=bad),  # type: ignore[arg-type]
        lambda: ModelInfraErrorContext(correlation_id=bad),  # type: ignore[arg-type]
        lambda: ModelInfraErrorContext.with_correlation(bad),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="correlation_id") as caught:
            build()
        assert "hunter2" not in str(caught.value)


def test_an_unknown_circuit_state_is_refused() -> None:
    with pytest.raises(ValueError, match="ajar"):
        InfraUnavailableError("x", circuit_state="ajar")


def test_uuid_strings_are_coerced() -> None:
    assert InfraTimeoutError("x", correlation_id=str(ONE)).correlation_id == ONE
    assert ModelInfraErrorContext(correlation_id=str(ONE)).correlation_id == ONE  # type: ignore[arg-type]
    assert ModelInfraErrorContext.with_correlation(str(ONE)).correlation_id == ONE


def test_the_correlation_id_is_the_given_one_then_the_context_s_then_the_current_one_then_a_new_one() -> None:
    context = ModelInfraErrorContext(correlation_id=ONE)
    correlation_id_var.set(TWO)
    three = uuid4()
    assert InfraTimeoutError("x", context=context, correlation_id=three).correlation_id == three
    assert InfraTimeoutError("x", context=context, correlation_id=three).context.correlation_id == three
    assert InfraTimeoutError("x", context=context).correlation_id == ONE
    assert InfraTimeoutError("x").correlation_id == TWO
    correlation_id_var.set(None)
    made = InfraTimeoutError("x").correlation_id
    assert made.version == 4
    assert made not in (ONE, TWO, three)


def test_the_current_id_is_that_of_the_moment_the_error_was_made() -> None:
    correlation_id_var.set(ONE)
    error = InfraTimeoutError("x")
    correlation_id_var.set(TWO)
    assert error.correlation_id == ONE


def test_an_id_made_lazily_stays_the_same_in_every_view() -> None:
    error = InfraTimeoutError("x")
    assert error.model.correlation_id == error.correlation_id == error.context.correlation_id
    assert str(error.correlation_id) in error.model_dump_json()


def test_threads_that_share_an_error_agree_on_its_lazily_made_id(monkeypatch: pytest.MonkeyPatch) -> None:
    error = InfraTimeoutError("x")
    both_make_one = threading.Barrier(2)

    def slow_uuid4() -> UUID:
        both_make_one.wait()
        return uuid4()

    monkeypatch.setattr("omnibase_infra.errors.error_onex.uuid4", slow_uuid4)
    seen: list[UUID] = []
    threads = [threading.Thread(target=lambda: seen.append(error.correlation_id)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0] == seen[1] == error.correlation_id


def test_an_error_without_context_still_has_one() -> None:
    error = RuntimeHostError("x")
    assert isinstance(error.context, ModelInfraErrorContext)
    assert error.context.transport_type is None
    assert error.model.context == {}


def test_details_of_none_are_left_out() -> None:
    assert RuntimeHostError("x", host=None, port=0).model.context == {"port": 0}


def test_the_context_is_frozen_forbids_extras_and_leaves_every_field_optional() -> None:
    context = ModelInfraErrorContext()
    assert set(context.model_dump().values()) == {None}
    with pytest.raises(ValidationError, match="frozen"):
        context.operation = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ModelInfraErrorContext(hostname="db")  # type: ignore[call-arg]
    assert set(ModelInfraErrorContext.model_fields) == {
        "transport_type",
        "operation",
        "target_name",
        "correlation_id",
        "namespace",
        "suggested_resolution",
        "retry_after_seconds",
        "original_error_type",
    }


def test_with_correlation_makes_a_uuid4_only_when_none_is_given() -> None:
    made = ModelInfraErrorContext.with_correlation(operation="connect").correlation_id
    assert made is not None
    assert made.version == 4
    given = ModelInfraErrorContext.with_correlation(ONE, operation="connect", retry_after_seconds=0)
    assert (given.correlation_id, given.operation, given.retry_after_seconds) == (ONE, "connect", 0)
    with pytest.raises(ValidationError, match="Extra inputs"):
        ModelInfraErrorContext.with_correlation(ONE, hostname="db")  # type: ignore[call-arg]


def test_a_shared_context_is_not_changed_by_the_errors_that_use_it() -> None:
    context = ModelInfraErrorContext(operation="connect")
    first, second = InfraTimeoutError("x", context=context), InfraTimeoutError("y", context=context)
    assert first.context.correlation_id != second.context.correlation_id
    assert context.correlation_id is None


def test_message_details_and_context_hold_no_secret() -> None:
    context = ModelInfraErrorContext(
        operation="connect to postgresql://svc:hunter2@db.example.com/orders",
        target_name="Bearer hunter2hunter2",
        namespace="password=hunter2",
        suggested_resolution="use token=hunter2hunter2",
        original_error_type="Error: password=hunter2",
    )
    error = InfraConnectionError(
        "cannot reach postgresql://svc:hunter2@db.example.com:5432/orders with password=hunter2",
        context=context,
        password="hunter2",
        dsn="postgresql://svc:hunter2@db.example.com/orders",
        nested={"api_key": "hunter2", "hosts": ["redis://:hunter2@cache.example.com"]},
        raw=b"password=hunter2",
        cause=ConnectionError("hunter2"),
    )
    for text in (str(error), repr(error), error.message, error.model_dump_json(), str(error.model_dump())):
        assert "hunter2" not in text
    assert "hunter2" not in str(error.context)
    assert error.model.context["password"] == "***"
    assert "db.example.com" in error.message
    assert error.model.context["cause"] == "ConnectionError"


def test_what_is_safe_survives() -> None:
    error = InfraTimeoutError(
        "author service timed out in tokenizer", host="db.example.com", port=5432, retry_count=2, timeout_seconds=5.0
    )
    assert error.message == "author service timed out in tokenizer"
    assert error.model.context == {"host": "db.example.com", "port": 5432, "retry_count": 2, "timeout_seconds": 5.0}


@pytest.mark.parametrize(("message", "shown"), [(ValueError("no"), "no"), (404, "404"), (None, "None")])
def test_a_message_that_is_no_text_is_shown_as_text_rather_than_hiding_the_error(message: object, shown: str) -> None:
    assert RuntimeHostError(message).message == shown  # type: ignore[arg-type]


def test_no_stack_is_formatted_and_no_model_built_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("an error must only store what it is given")

    context = ModelInfraErrorContext(operation="connect")
    for name in ("format_stack", "extract_stack", "format_exc", "walk_stack", "print_stack", "extract_tb"):
        monkeypatch.setattr(traceback, name, forbidden)
    monkeypatch.setattr("sys._getframe", forbidden)
    monkeypatch.setattr("omnibase_infra.errors.error_onex.uuid4", forbidden)
    monkeypatch.setattr(ModelInfraErrorContext, "model_copy", forbidden)
    error = InfraConnectionError("x", context=context, host="db.example.com")
    monkeypatch.undo()
    assert error.message == "x"


def test_the_errors_of_our_own_policies_make_their_message_when_it_is_first_read() -> None:
    made: list[str] = []

    def describe(_error: ModelOnexError) -> str:
        made.append("once")
        return "limit reached"

    correlation_id_var.set(ONE)
    error = policy_error(
        InfraRateLimitedError,
        ErrorOrigin(
            describe,
            call_context(EnumInfraTransportType.HTTP, "fetch", "api"),
            rejected_by="api",
            details={"retry_count": 2},
        ),
        retry_after_seconds=0.5,
    )
    assert not made
    assert str(error) == "[ONEX_CORE_162_RATE_LIMIT_EXCEEDED] limit reached"
    assert error.args == ("limit reached",)
    assert error.message == "limit reached"
    assert made == ["once"]
    assert (error.correlation_id, error.retry_after_seconds, error.rejected_by) == (ONE, 0.5, "api")
    assert (error.retry_count, error.context.operation) == (2, "fetch")


def test_the_retry_count_is_none_when_no_retry_was_involved() -> None:
    assert ModelOnexError("x").retry_count is None
    assert ModelOnexError("x", host="db").retry_count is None


def test_a_subclass_that_never_calls_our_constructor_can_still_be_shown() -> None:
    class CarelessError(RuntimeHostError):
        def __init__(self) -> None:
            pass

    error = CarelessError()
    assert str(error) == "[ONEX_CORE_081_OPERATION_FAILED] "
    assert error.model.message == ""
    assert error.correlation_id == error.correlation_id
