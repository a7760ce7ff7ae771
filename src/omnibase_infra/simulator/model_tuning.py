"""What a search for settings found."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from omnibase_infra.simulator.model_tuning_point import ModelTuningPoint
from omnibase_infra.simulator.model_tuning_step import ModelTuningStep


class ModelTuning(BaseModel):
    """The settings that came nearest to the aims, and all that no other choice beats.

    The same version, scenarios, seeds, aims and budget give the same bytes.

    Attributes:
        version: Of the package.
        transport: The transport's table of the presets.
        service: Whose settings were tuned; None for the transport's own.
        scenarios: By name.
        seeds: Of all chance: each choice was judged by all scenarios with all seeds.
        aims: What was to be reached, as given.
        tried: Choices of settings that were measured.
        preset: What is there now.
        chosen: What reaches the aims and answers the most calls; where nothing reaches them, what comes nearest.
        steps: From the preset to the choice, one setting at a time.
        without: For each setting of the choice, what came of leaving just that one as the preset has it, where that
            is possible.
        front: Every choice that no other beats in one figure without losing in another, by falling goodput.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    transport: str
    service: str | None
    scenarios: tuple[str, ...]
    seeds: tuple[int, ...]
    aims: tuple[str, ...]
    tried: int
    preset: ModelTuningPoint
    chosen: ModelTuningPoint
    steps: tuple[ModelTuningStep, ...]
    without: Mapping[str, ModelTuningPoint]
    front: tuple[ModelTuningPoint, ...]

    @property
    def is_reached(self) -> bool:
        """Whether the choice reaches all aims."""
        return self.chosen.shortfall == 0
