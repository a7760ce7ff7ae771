"""One setting on the way from the preset to the choice."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from omnibase_infra.simulator.model_tuning_point import ModelTuningPoint


class ModelTuningStep(BaseModel):
    """What changing one setting costs and brings; several only where one alone makes no sense.

    Attributes:
        before: What the preset has; None for a setting that is off.
        after: What the choice has.
        point: All settings changed so far, with what comes of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: Mapping[str, int | float | None]
    after: Mapping[str, int | float]
    point: ModelTuningPoint
