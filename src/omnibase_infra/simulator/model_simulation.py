"""A scenario, and how each variant fared in it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_variant import ModelVariant


class ModelSimulation(BaseModel):
    """All that a simulation found. The same version, scenario and seed give the same bytes.

    Attributes:
        version: Of the package.
        scenario: What happened.
        seed: Of all chance.
        variants: Side by side, the naked call first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    scenario: ModelScenario
    seed: int
    variants: tuple[ModelVariant, ...]
