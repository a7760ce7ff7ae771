"""Settings of a stale cache."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float, shipped_int


class ModelStaleCacheConfig(ModelConfigBase):
    """How long an answer is fresh, how long it may stand in for a failure, and how many are kept. Times are seconds.

    The defaults are the shipped ``[defaults.stale_cache]``.

    Attributes:
        ttl: How long an answer saves the call. Zero means that every call is made.
        max_stale: How long after that it stands in for a failed call. Zero means not at all.
        max_entries: Answers kept; the least recently used go first.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    ttl: float = Field(default_factory=shipped_float("stale_cache", "ttl"), ge=0)
    max_stale: float = Field(default_factory=shipped_float("stale_cache", "max_stale"), ge=0)
    max_entries: int = Field(default_factory=shipped_int("stale_cache", "max_entries"), ge=1)
