"""Settings of a hedge."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.models.resilience.model_retry_budget_config import ModelRetryBudgetConfig
from omnibase_infra.utils.util_builtin_numbers import shipped_int


class ModelHedgeConfig(ModelConfigBase):
    """When a call that takes long is sent again, beside the first. Needs a delay, a quantile, or both.

    The defaults are the shipped ``[defaults.hedge]``.

    Attributes:
        delay: Seconds until the hedge, where there is no quantile or it is not known yet; 0 sends both at once.
        quantile: Share of the calls that answer without a hedge, above 0 and at most 1: the moving quantile of their
            latencies is the delay. None for the fixed delay alone.
        max_hedges: Requests sent beside the first at most; each waits for another delay.
        minimum_calls: Successful calls before the quantile counts. Until then `delay` does, and without it no call is
            hedged.
        samples: Latest successful calls that the quantile is taken of.
        budget: Share of hedges in the traffic; None for no budget.

    Raises:
        ProtocolConfigurationError: When a setting is out of range, neither `delay` nor `quantile` is given, or
            `minimum_calls` exceeds `samples`.
    """

    delay: float | None = Field(default=None, ge=0)
    quantile: float | None = Field(default=None, gt=0, le=1)
    max_hedges: int = Field(default_factory=shipped_int("hedge", "max_hedges"), ge=1)
    minimum_calls: int = Field(default_factory=shipped_int("hedge", "minimum_calls"), ge=1)
    samples: int = Field(default_factory=shipped_int("hedge", "samples"), ge=1)
    budget: ModelRetryBudgetConfig | None = Field(default_factory=ModelRetryBudgetConfig)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.delay is None and self.quantile is None:
            raise ProtocolConfigurationError("delay: is required where there is no quantile", parameter="delay")
        if self.minimum_calls > self.samples:
            raise ProtocolConfigurationError(
                f"minimum_calls = {self.minimum_calls}: must be at most samples = {self.samples}",
                parameter="minimum_calls",
            )
        return self
