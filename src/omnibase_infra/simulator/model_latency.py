"""How long a dependency takes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase


class ModelLatency(ModelConfigBase):
    """Service times, without any waiting in a queue: log-normal by two quantiles, or measured ones.

    Attributes:
        p50: Seconds that half of the attempts take at most.
        p99: Seconds that 99 % take at most.
        samples: Measured times in seconds, of which each attempt takes one at random; in place of both.
    """

    p50: float | None = Field(default=None, gt=0)
    p99: float | None = Field(default=None, gt=0)
    samples: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(), strict=False, description="a list of seconds, each 0 or more"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        by_quantiles = self.p50 is not None and self.p99 is not None
        if by_quantiles == bool(self.samples) or (self.p50 is None) != (self.p99 is None):
            raise ProtocolConfigurationError("p50: must be given with p99, or samples, but not both", parameter="p50")
        if self.p50 is not None and self.p99 is not None and self.p99 < self.p50:
            raise ProtocolConfigurationError(f"p99 = {self.p99}: must be at least p50 = {self.p50}", parameter="p99")
        return self
