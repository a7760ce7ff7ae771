"""Settings of an adaptive throttle."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float


class ModelAdaptiveThrottleConfig(ModelConfigBase):
    """How much more than it accepts a backend is sent.

    The defaults are the shipped ``[defaults.adaptive_throttle]``.

    Attributes:
        multiplier: Calls let through for each call that the backend accepted, 1 or more: the K of the SRE book.
        window: How long a call counts, in seconds.
        min_per_second: Calls a second that always pass; 0 is the SRE book's own formula.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    multiplier: float = Field(default_factory=shipped_float("adaptive_throttle", "multiplier"), ge=1)
    window: float = Field(default_factory=shipped_float("adaptive_throttle", "window"), gt=0)
    min_per_second: float = Field(default_factory=shipped_float("adaptive_throttle", "min_per_second"), ge=0)
