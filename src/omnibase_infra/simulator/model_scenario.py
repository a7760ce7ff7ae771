"""A named failure, to see what settings do in it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent


class ModelScenario(ModelConfigBase):
    """Load, dependency, and what happens.

    Attributes:
        name: As `--scenario` takes it.
        transport: The transport's table of the presets: ``database``, ``kafka``…
        incident: One sentence on what it stands for.
        seconds: How long it goes on, on the virtual clock.
        load: Who calls.
        dependency: What is called.
        events: What happens meanwhile, by time.
        checks: What the shipped preset must reach, as `--check` takes it.
    """

    name: str = Field(description="text")
    transport: str = Field(description="text")
    incident: str = Field(description="text")
    seconds: float = Field(gt=0)
    load: ModelLoad
    dependency: ModelDependency
    events: tuple[ModelScenarioEvent, ...] = Field(default=(), strict=False, description="a list of events")
    checks: tuple[str, ...] = Field(default=(), strict=False, description="a list of texts such as 'recover<=5s'")

    @model_validator(mode="after")
    def _events_within(self) -> Self:
        for place, event in enumerate(self.events):
            if event.at >= self.seconds:
                name = f"events.{place}.at"
                raise ProtocolConfigurationError(
                    f"{name} = {event.at}: must be below seconds = {self.seconds}", parameter=name
                )
        return self
