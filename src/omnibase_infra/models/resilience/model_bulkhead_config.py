"""Settings of a bulkhead."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float, shipped_int


class ModelBulkheadConfig(ModelConfigBase):
    """How many calls run at once, and how many wait how long for their turn.

    The defaults are the shipped ``[defaults.bulkhead]``.

    Attributes:
        max_concurrent: Calls that run at once, 1 or more.
        max_queue: Calls that wait for a place at most; 0 for no waiting.
        max_wait: Longest wait for a place, seconds.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    max_concurrent: int = Field(default_factory=shipped_int("bulkhead", "max_concurrent"), ge=1)
    max_queue: int = Field(default_factory=shipped_int("bulkhead", "max_queue"), ge=0)
    max_wait: float = Field(default_factory=shipped_float("bulkhead", "max_wait"), ge=0)
