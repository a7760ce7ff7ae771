"""What is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.simulator.error_weights import check_weights
from omnibase_infra.simulator.model_latency import ModelLatency


class ModelDependency(ModelConfigBase):
    """A server with so many places, a queue before them, and the client's pool of connections before that.

    Overload feeds on itself: an attempt that waits in the queue longer than its caller does is served all the same.

    Attributes:
        latency: Service times.
        capacity: Attempts served at once; more of them wait.
        queue: Attempts that may wait at the server; more are refused with `full_error`.
        full_error: What a full queue answers with: a name from the catalogue of drivers' errors; by default it refuses
            the connection.
        pool: Connections of this client, all of them open at first; an attempt waits until one is free. None for one
            each.
        connect: Seconds that a new connection takes: after an outage, and in place of each that was closed on a caller
            who left.
        error_share: Share of the attempts that fail on a usual day.
        errors: Names from the catalogue of drivers' errors, with their weights: what those fail with, once the server
            has worked on them as long as on any other.
    """

    latency: ModelLatency
    capacity: int = Field(ge=1)
    queue: int = Field(default=1000, ge=0)
    full_error: str | None = Field(default=None, description="text")
    pool: int | None = Field(default=None, ge=1)
    connect: float = Field(default=0.0, ge=0)
    error_share: float = Field(default=0.0, ge=0, le=1)
    errors: Mapping[str, float] = Field(default_factory=dict, description="a table of names with their weights")

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        if bool(self.errors) != bool(self.error_share):
            missing = "errors" if self.error_share else "error_share"
            given = "error_share" if self.error_share else "errors"
            raise ProtocolConfigurationError(f"{missing}: is required with {given}", parameter=missing)
        check_weights(self.errors)
        return self
