"""Small scenarios, in which calls come when a test says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omnibase_infra.enums import EnumScenarioEvent, EnumStackKind
from omnibase_infra.simulator import engine
from omnibase_infra.simulator.engine import NAKED
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.recorder import Outcome, Recording

REFUSED = "builtin.ConnectionRefusedError"
HARDLY_EVER = 1e-9
NAIVE = ModelStack(name="naive", kind=EnumStackKind.NAIVE)
SERVICE = 0.1


def event(kind: EnumScenarioEvent, at: float, lasts: float, **numbers: object) -> ModelScenarioEvent:
    return ModelScenarioEvent(kind=kind, at=at, lasts=lasts, **numbers)


def preset(settings: Mapping[str, object] | None = None, **given: object) -> ModelStack:
    return ModelStack(name="preset", kind=EnumStackKind.PRESET, settings=settings or {}, **given)


def scenario(
    *events: ModelScenarioEvent,
    load: ModelLoad,
    seconds: float = 10.0,
    transport: str = "database",
    samples: Sequence[float] = (SERVICE,),
    capacity: int = 100,
    **dependency: object,
) -> ModelScenario:
    return ModelScenario(
        name="small",
        transport=transport,
        incident="A test.",
        seconds=seconds,
        load=load,
        dependency=ModelDependency(latency=ModelLatency(samples=tuple(samples)), capacity=capacity, **dependency),
        events=events,
    )


def at_once(number: int, every: float = 1.0, patience: float = 30.0) -> ModelLoad:
    """So many calls at every full interval, and none else."""
    return ModelLoad(rate=HARDLY_EVER, burst=number, burst_interval=every, patience=patience)


def recorded(scenario: ModelScenario, stack: ModelStack = NAKED, seed: int = 0) -> Recording:
    return engine._record(scenario, stack, seed, None)


def outcomes(recording: Recording) -> list[Outcome]:
    return [Outcome(outcome) for outcome in recording.outcomes]


def taken(recording: Recording) -> list[float]:
    """How long each call took, whatever came of it."""
    return [round(end - begin, 9) for begin, end in zip(recording.began, recording.ended, strict=True)]
