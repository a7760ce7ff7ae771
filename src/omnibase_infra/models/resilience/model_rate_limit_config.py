"""Settings of a rate limiter."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase


class ModelRateLimitConfig(ModelConfigBase):
    """The two numbers of a token bucket. Both are required.

    Attributes:
        rate: Tokens refilled a second, above 0; fractions are exact (``1 / 86400`` is one a day).
        capacity: Tokens the bucket holds, the largest burst, 1 or more.

    Raises:
        ProtocolConfigurationError: When a setting is missing or out of range.
    """

    rate: float = Field(gt=0)
    capacity: float = Field(ge=1)
