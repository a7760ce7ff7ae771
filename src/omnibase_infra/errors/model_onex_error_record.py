"""An error as data, for logs, queues and HTTP bodies."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from omnibase_infra.enums import EnumCircuitState, EnumCoreErrorCode


class ModelOnexErrorRecord(BaseModel):
    """Everything an ONEX error tells, serialisable and free of secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_type: str = Field(description="Class name of the error.")
    message: str
    error_code: EnumCoreErrorCode
    http_status: int = Field(description="The status an HTTP service would answer with.")
    correlation_id: UUID
    retry_after_seconds: float | None = Field(description="When another try makes sense, seconds.")
    circuit_state: EnumCircuitState | None
    rejected_by: str | None = Field(description="Name of our own policy that refused the call, if one did.")
    context: dict[str, JsonValue] = Field(description="Context fields that are set, and the details given by keyword.")
