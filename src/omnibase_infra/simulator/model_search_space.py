"""What the tuner varies."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.simulator.model_search_range import ModelSearchRange


class ModelSearchSpace(ModelConfigBase):
    """Settings with their ranges, and the steps within them.

    Attributes:
        ranges: By dotted key, as ``retry.budget.ratio``.
        factors: What a setting is multiplied or divided by, the farthest first; each above 1.
        resolution: Relative difference below which two figures count as the same.
        goodput_resolution: Difference below which two shares of answered calls count as the same.
        budget: Settings tried, unless the user says otherwise.
        seeds: Seeds that each is judged by, unless the user says otherwise.
    """

    ranges: Mapping[str, ModelSearchRange]
    factors: tuple[float, ...] = Field(min_length=1)
    resolution: float = Field(gt=0, lt=1)
    goodput_resolution: float = Field(gt=0, lt=1)
    budget: int = Field(ge=1)
    seeds: int = Field(ge=1)
