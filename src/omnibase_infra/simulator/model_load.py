"""The calls that a scenario's users make."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase


class ModelLoad(ModelConfigBase):
    """Who calls, and how often: by a rate (open loop), or so many clients one call after the other (closed loop).

    Attributes:
        rate: Calls/s of an open loop, which come whether those before were answered or not; at random, as from many
            users who do not know of each other.
        clients: Of a closed loop: each makes its next call when the last has ended and `think_time` has passed.
        think_time: Seconds between two calls of one client.
        ramp: Seconds in which the load grows from nothing to its full size.
        burst: Calls that come at once on top of an open loop's rate, every `burst_interval`.
        burst_interval: Seconds from burst to burst.
        patience: Seconds that a caller waits; then it leaves, and its call is cancelled.
    """

    rate: float | None = Field(default=None, gt=0)
    clients: int | None = Field(default=None, ge=1)
    think_time: float = Field(default=0.0, ge=0)
    ramp: float = Field(default=0.0, ge=0)
    burst: int = Field(default=0, ge=0)
    burst_interval: float = Field(default=60.0, gt=0)
    patience: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _one_loop(self) -> Self:
        if (self.rate is None) == (self.clients is None):
            raise ProtocolConfigurationError(
                "rate: must be given, in calls/s, or clients, but not both", parameter="rate"
            )
        return self
