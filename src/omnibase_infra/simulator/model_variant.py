"""One stack under a scenario."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from omnibase_infra.simulator.model_course import ModelCourse
from omnibase_infra.simulator.model_measures import ModelMeasures


class ModelVariant(BaseModel):
    """What one stack is, and what it did.

    Attributes:
        name: ``naked``, ``naive``, ``preset``, ``tuned``, or what the user gave.
        settings: The stack in words, a line each.
        measures: What came of it.
        course: Second by second.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: tuple[str, ...]
    measures: ModelMeasures
    course: ModelCourse
