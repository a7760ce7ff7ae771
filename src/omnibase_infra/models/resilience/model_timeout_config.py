"""Settings of the timeouts."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_bool, shipped_float


class ModelTimeoutConfig(ModelConfigBase):
    """How long a call may take, in seconds.

    The defaults are the shipped ``[defaults.timeout]``.

    Attributes:
        attempt: Bound of each attempt; None for none.
        total: Bound of the whole call: attempts, and waits between them; None for none.
        abandon: Leave behind what does not end in time, instead of waiting for it.

    Raises:
        ProtocolConfigurationError: When a setting is out of range, or ``attempt`` is greater than ``total``.
    """

    attempt: float | None = Field(default_factory=shipped_float("timeout", "attempt"), gt=0)
    total: float | None = Field(default_factory=shipped_float("timeout", "total"), gt=0)
    abandon: bool = Field(default_factory=shipped_bool("timeout", "abandon"))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.attempt is not None and self.total is not None and self.attempt > self.total:
            raise ProtocolConfigurationError(
                f"attempt = {self.attempt}: must be at most total = {self.total}", parameter="attempt"
            )
        return self
