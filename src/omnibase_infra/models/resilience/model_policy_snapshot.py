"""One policy as the registry shows it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from omnibase_infra.enums import EnumCircuitState, EnumInfraTransportType, EnumPolicyKind


class ModelPolicySnapshot(BaseModel):
    """What a policy was doing when it was asked. No field holds a secret, nor a user's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EnumPolicyKind
    name: str = Field(description="The name given to it; else its transport and the first function it guards.")
    transport: EnumInfraTransportType | None = None
    state: EnumCircuitState | None = Field(default=None, description="Of a circuit breaker; None for what has none.")
    numbers: Mapping[str, int | float] = Field(
        default_factory=dict, description="Settings and readings by their usual names; times are seconds."
    )
