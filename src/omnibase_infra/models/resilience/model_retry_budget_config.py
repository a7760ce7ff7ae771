"""Settings of a retry budget."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float


class ModelRetryBudgetConfig(ModelConfigBase):
    """How many retries the traffic may carry: a floor a second, and a share of the calls beyond it.

    The defaults are the shipped ``[defaults.retry.budget]``.

    Attributes:
        ratio: Retries allowed as a share of the calls within the window, 0 to 1.
        min_per_second: Retries a second that are always allowed.
        window: How long a call counts, in seconds.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    ratio: float = Field(default_factory=shipped_float("retry", "budget", "ratio"), ge=0, le=1)
    min_per_second: float = Field(default_factory=shipped_float("retry", "budget", "min_per_second"), ge=0)
    window: float = Field(default_factory=shipped_float("retry", "budget", "window"), gt=0)
