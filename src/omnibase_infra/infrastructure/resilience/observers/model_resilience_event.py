"""What an observer hears."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent


class ModelResilienceEvent(BaseModel):
    """One thing a policy did. Fields that do not apply are None; none holds foreign text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EnumResilienceEvent
    policy: str = Field(description="Kind of policy: 'circuit_breaker', 'retry', 'rate_limiter', 'timeout'…")
    name: str = Field(description="Name of the policy object.")
    transport: EnumInfraTransportType | None = None
    operation: str | None = Field(default=None, description="Qualified name of the guarded function.")
    correlation_id: UUID | None = None
    attempt: int | None = Field(default=None, description="Attempts made so far, the first included.")
    wait_seconds: float | None = Field(default=None, description="Seconds until the next attempt.")
    failure_kind: EnumFailureKind | None = None
    error_type: str | None = Field(default=None, description="Class name of the exception.")
    previous_state: EnumCircuitState | None = None
    state: EnumCircuitState | None = None
    retry_after_seconds: float | None = Field(default=None, description="When a rejected call is worth another try.")
    client_attempts: int | None = Field(
        default=None, description="Tries that the client under the policy made of this attempt by itself."
    )
    timeout_seconds: float | None = Field(default=None, description="The bound that the call went beyond.")
