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
        think_time: Seconds between two calls of one client; above 0 in a closed loop, where a call that is refused at
            once would otherwise be followed by another without any time passing.
        ramp: Seconds in which the load grows from nothing to its full size.
        burst: Calls that come at once on top of an open loop's rate, every `burst_interval`; the ramp holds for them
            too.
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

    @model_validator(mode="after")
    def _fit_the_loop(self) -> Self:
        if self.clients is None and self.think_time:
            raise ProtocolConfigurationError("think_time: is for clients, not for a rate", parameter="think_time")
        if self.clients is not None and not self.think_time:
            raise ProtocolConfigurationError(
                f"think_time = {self.think_time}: must be above 0 with clients", parameter="think_time"
            )
        if self.clients is not None and self.burst:
            raise ProtocolConfigurationError("burst: is for a rate, not for clients", parameter="burst")
        return self
