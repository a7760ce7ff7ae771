"""How far the tuner varies one setting."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase


class ModelSearchRange(ModelConfigBase):
    """Bounds of one number.

    Attributes:
        low: The least that makes sense.
        high: The most.
        start: What a setting that is off begins with; None for a setting that is left off then.
        why: What the number decides.
    """

    low: float = Field(gt=0)
    high: float = Field(gt=0)
    start: float | None = Field(default=None, gt=0)
    why: str
