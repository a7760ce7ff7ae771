"""Settings of a retry policy."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.models.resilience.model_retry_budget_config import ModelRetryBudgetConfig
from omnibase_infra.utils.util_builtin_numbers import shipped_bool, shipped_float, shipped_int


class ModelRetryConfig(ModelConfigBase):
    """How often and how patiently a failed call is tried again. Times are seconds.

    The defaults are the shipped ``[defaults.retry]``.

    Attributes:
        max_attempts: Calls in all, the first too.
        min_wait: Shortest wait between two attempts.
        max_wait: Longest wait; no jitter passes it.
        max_elapsed: Bound of the whole, attempts and waits; None for none.
        max_retry_after: A server's hint beyond this ends the retrying at once.
        retry_unsafe: Whether a call that may have taken effect, and of which nothing tells whether it may be repeated
            without harm, is tried again.
        budget: Share of retries in the traffic; None for no budget.

    Raises:
        ProtocolConfigurationError: When a setting is out of range, or ``min_wait`` is greater than ``max_wait``.
    """

    max_attempts: int = Field(default_factory=shipped_int("retry", "max_attempts"), ge=1)
    min_wait: float = Field(default_factory=shipped_float("retry", "min_wait"), ge=0)
    max_wait: float = Field(default_factory=shipped_float("retry", "max_wait"), ge=0)
    max_elapsed: float | None = Field(default=None, gt=0)
    max_retry_after: float = Field(default_factory=shipped_float("retry", "max_retry_after"), ge=0)
    retry_unsafe: bool = Field(default_factory=shipped_bool("retry", "retry_unsafe"))
    budget: ModelRetryBudgetConfig | None = Field(default_factory=ModelRetryBudgetConfig)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min_wait > self.max_wait:
            raise ProtocolConfigurationError(
                f"min_wait = {self.min_wait}: must be at most max_wait = {self.max_wait}", parameter="min_wait"
            )
        return self
