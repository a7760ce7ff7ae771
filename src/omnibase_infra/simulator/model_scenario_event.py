"""One entry of a scenario's course."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from omnibase_infra.enums import EnumScenarioEvent
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase


class ModelScenarioEvent(ModelConfigBase):
    """What happens, when, and for how long. A number that the kind does not use is refused.

    Attributes:
        kind: What happens.
        at: Seconds from the scenario's start.
        lasts: Seconds.
        share: Share of the attempts, the hosts, the partitions or the capacity that it meets.
        factor: Times the usual service time.
        hang: Share of the failing attempts that get no answer at all, instead of an error at once.
        rate: Attempts/s that are still let through.
        retry_after: Seconds that the refusal asks to wait; None for a refusal without a hint.
        errors: Names from the catalogue of drivers' errors, with their weights: what the attempts it meets fail with.
    """

    kind: EnumScenarioEvent
    at: float = Field(ge=0)
    lasts: float = Field(gt=0)
    share: float = Field(default=1.0, gt=0, le=1)
    factor: float = Field(default=1.0, ge=1)
    hang: float = Field(default=0.0, ge=0, le=1)
    rate: float | None = Field(default=None, gt=0)
    retry_after: float | None = Field(default=None, gt=0)
    errors: Mapping[str, float] = Field(default_factory=dict)
