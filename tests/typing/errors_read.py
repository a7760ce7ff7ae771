"""What the type checkers see of an error's attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_type
from uuid import UUID

from omnibase_infra.enums import EnumCircuitState, EnumCoreErrorCode, EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraConnectionError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelInfraErrorContext,
    ModelOnexError,
    ModelOnexErrorRecord,
    OnexError,
    ProtocolConfigurationError,
)
from omnibase_infra.infrastructure.resilience import add_observer, classify, flush_observers
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent


def reading(error: ModelOnexError) -> None:
    assert_type(error.message, str)
    assert_type(error.error_code, EnumCoreErrorCode)
    assert_type(error.correlation_id, UUID)
    assert_type(error.context, ModelInfraErrorContext)
    assert_type(error.context.correlation_id, UUID | None)
    assert_type(error.context.transport_type, EnumInfraTransportType | None)
    assert_type(error.model, ModelOnexErrorRecord)
    name: str = error.model.error_code.name
    assert name
    assert_type(error.http_status, int)
    assert_type(error.retry_after_seconds, float | None)
    assert_type(error.retry_count, int | None)
    assert_type(error.circuit_state, EnumCircuitState | None)
    assert_type(error.rejected_by, str | None)
    assert_type(error.model_dump(), dict[str, object])
    assert_type(error.model_dump_json(), str)


def handling() -> None:
    try:
        raise InfraConnectionError("gone", context=ModelInfraErrorContext(), host="db.example.com", port=5432)
    except ConnectionError as builtin:
        assert_type(builtin.errno, int | None)
    try:
        raise InfraTimeoutError("slow", retry_after_seconds=1, timeout_seconds=5.0)
    except InfraTimeoutError as error:
        assert_type(error.retry_after_seconds, float | None)
    except (InfraUnavailableError, ProtocolConfigurationError) as error:
        assert_type(error.error_code, EnumCoreErrorCode)
    except OnexError as error:
        assert_type(error.message, str)


def making() -> None:
    context = ModelInfraErrorContext.with_correlation(
        "11111111-1111-4111-8111-111111111111", transport_type=EnumInfraTransportType.DATABASE, operation="connect"
    )
    assert_type(context, ModelInfraErrorContext)
    ModelInfraErrorContext.with_correlation(hostname="db")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    InfraTimeoutError("x", error_code="TIMEOUT")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def observing() -> None:
    def note(event: ModelResilienceEvent) -> None:
        assert_type(event.failure_kind, EnumFailureKind | None)

    assert_type(add_observer(note), Callable[[], None])
    assert_type(flush_observers(1.0), bool)
    assert_type(classify(OSError()), EnumFailureKind)
