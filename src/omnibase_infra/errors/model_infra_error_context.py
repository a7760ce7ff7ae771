"""Where and on behalf of whom an error happened."""

from __future__ import annotations

from functools import lru_cache
from typing import Self, TypedDict, Unpack
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator

from omnibase_infra.enums import EnumInfraTransportType
from omnibase_infra.utils.util_sanitize import sanitize


class _ContextFields(TypedDict, total=False):
    transport_type: EnumInfraTransportType | None
    operation: str | None
    target_name: str | None
    namespace: str | None
    suggested_resolution: str | None
    retry_after_seconds: float | None
    original_error_type: str | None


class ModelInfraErrorContext(BaseModel):
    """Frozen description of the failed call. Every field is optional, none may hold a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    transport_type: EnumInfraTransportType | None = Field(default=None, description="Transport of the call.")
    operation: str | None = Field(default=None, description="What was attempted, such as 'execute_query'.")
    target_name: str | None = Field(default=None, description="Service, policy or resource that was called.")
    correlation_id: UUID | None = Field(default=None, description="Id of the logical call; UUID strings are coerced.")
    namespace: str | None = Field(default=None, description="Tenant or deployment the call belongs to.")
    suggested_resolution: str | None = Field(default=None, description="What a person can do about it.")
    retry_after_seconds: float | None = Field(default=None, ge=0, description="When another try makes sense, seconds.")
    original_error_type: str | None = Field(default=None, description="Class name of the driver's exception.")

    @field_validator(
        "operation", "target_name", "namespace", "suggested_resolution", "original_error_type", mode="after"
    )
    @classmethod
    def _without_secrets(cls, value: str | None) -> str | None:
        return value if value is None else sanitize(value)

    @classmethod
    def with_correlation(cls, correlation_id: UUID | str | None = None, **fields: Unpack[_ContextFields]) -> Self:
        """Build a context that surely has a correlation id: the given one, else a new uuid4."""
        return cls.model_validate({**fields, "correlation_id": uuid4() if correlation_id is None else correlation_id})


@lru_cache(maxsize=1024)
def call_context(
    transport_type: EnumInfraTransportType | None,
    operation: str | None,
    target_name: str | None,
    original_error_type: str | None = None,
) -> ModelInfraErrorContext:
    """The context that the errors of one guarded function share: frozen, so one object serves them all."""
    return ModelInfraErrorContext(
        transport_type=transport_type,
        operation=operation,
        target_name=target_name,
        original_error_type=original_error_type,
    )
