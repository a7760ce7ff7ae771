"""Settings of a fallback."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float


class ModelFallbackConfig(ModelConfigBase):
    """When a fetch turns to its fallback.

    The defaults are the shipped ``[defaults.fallback]``.

    Attributes:
        timeout_seconds: How long `fetch_with_timeout_fallback` waits for the primary function, seconds.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    timeout_seconds: float = Field(default_factory=shipped_float("fallback", "timeout_seconds"), gt=0)
