"""A simulation made by hand: what its faces show is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omnibase_infra.enums import EnumCircuitState, EnumScenarioEvent
from omnibase_infra.simulator.model_course import ModelCourse
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_variant import ModelVariant

SECONDS = 120
CLOSED, OPEN, HALF_OPEN = EnumCircuitState.CLOSED, EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN
GONE = {"asyncpg.ConnectionDoesNotExistError": 1.0}


def scenario() -> ModelScenario:
    return ModelScenario(
        name="failover",
        transport="database",
        incident="The primary dies at 20 s; its replica takes over half a minute later, with cold caches.",
        seconds=float(SECONDS),
        load=ModelLoad(rate=100.0),
        dependency=ModelDependency(latency=ModelLatency(p50=0.004, p99=0.03), capacity=50),
        events=(
            ModelScenarioEvent(kind=EnumScenarioEvent.FAIL_OVER, at=20.0, lasts=30.0, hang=0.2, errors=GONE),
            ModelScenarioEvent(kind=EnumScenarioEvent.SLOW_START, at=50.0, lasts=15.0, factor=6.0),
            ModelScenarioEvent(kind=EnumScenarioEvent.BAD_HOST, at=52.0, lasts=4.0, share=0.1, errors=GONE),
        ),
    )


def measures(**given: float | None) -> ModelMeasures:
    """The naked call's, but for what is given."""
    naked: dict[str, float | None] = {
        "calls": 12_000,
        "successes": 9_000,
        "success_rate": 0.75,
        "goodput_kept": 0.751,
        "attempts": 12_000,
        "amplification": 1.0,
        "wasted": 3_000,
        "detect_seconds": None,
        "recover_seconds": None,
        "p50_seconds": 0.0041,
        "p99_seconds": 0.0317,
        "added_p50_seconds": 0.0,
        "added_p99_seconds": 0.0,
        "rejected": 0,
        "gave_up": 0,
        "work_lost_seconds": 0.0,
    }
    return ModelMeasures.model_validate(naked | given)


def each(value: Callable[[int], float | None]) -> tuple[float | None, ...]:
    return tuple(value(second) for second in range(SECONDS))


def is_down(second: int) -> bool:
    return 20 <= second < 50


def offered(second: int) -> int:
    return 100 + (second * 7919) % 13 - 6


def course(**given: object) -> ModelCourse:
    """The naked call's, but for what is given."""
    naked: Mapping[str, object] = {
        "step": 1.0,
        "offered": each(offered),
        "served": each(lambda second: 0 if is_down(second) else offered(second)),
        "failed": each(lambda second: offered(second) if is_down(second) else 0),
        "retried": each(lambda _: 0),
        "rejected": each(lambda _: 0),
        "attempts": each(offered),
        "p50": each(lambda second: None if is_down(second) else 0.0041 + second % 5 * 0.0001),
        "p99": each(lambda second: None if is_down(second) else 0.18 - second * 0.002 if 50 <= second < 65 else 0.0317),
        "budget": None,
        "circuit": (),
    }
    return ModelCourse.model_validate({**naked, **given})


def naive() -> ModelVariant:
    def retried(second: int) -> int:
        return 2 * offered(second) if is_down(second) and second % 10 < 3 else 0

    return ModelVariant(
        name="naive",
        settings=("tenacity: 3 attempts, exponential wait", "circuitbreaker: 5 failures, 30 s"),
        measures=measures(
            attempts=13_818,
            amplification=1.1515,
            wasted=1_818,
            detect_seconds=3.2004,
            recover_seconds=14.0,
            p99_seconds=2.4518,
            added_p50_seconds=0.0002,
            added_p99_seconds=2.4201,
            gave_up=41,
            work_lost_seconds=6.125,
        ),
        course=course(
            retried=each(retried),
            attempts=each(lambda second: retried(second) + (0 if 23 <= second < 64 else 100)),
            failed=each(lambda second: 90 if 20 <= second < 64 else 0),
            served=each(lambda second: 10 if 20 <= second < 64 else 100),
            circuit=((23.2, OPEN), (53.2, HALF_OPEN), (53.25, OPEN), (64.0, CLOSED)),
        ),
    )


def preset() -> ModelVariant:
    def open_(second: int) -> bool:
        return 21 <= second < 52

    return ModelVariant(
        name="preset",
        settings=("create_database_resilience()", "retry: 3 attempts, 1 to 10 s apart", "circuit: 5 failures, 60 s"),
        measures=measures(
            successes=9_321,
            success_rate=0.77675,
            goodput_kept=0.7779,
            attempts=9_412,
            amplification=0.7843,
            wasted=57,
            detect_seconds=0.6123,
            recover_seconds=3.0,
            p99_seconds=0.1902,
            added_p50_seconds=0.0001,
            added_p99_seconds=-0.0085,
            rejected=2_588,
            work_lost_seconds=0.031,
        ),
        course=course(
            rejected=each(lambda second: offered(second) if open_(second) else 0),
            failed=each(lambda second: 91 if second == 20 else 0),
            served=each(lambda second: 0 if second == 20 or open_(second) else offered(second)),
            attempts=each(lambda second: 120 if second == 20 else 1 if open_(second) else offered(second)),
            retried=each(lambda second: 29 if second == 20 else 0),
            budget=each(lambda second: 0.5 if open_(second) else 10.0),
            circuit=((20.6123, OPEN), (50.6, HALF_OPEN), (52.1, CLOSED)),
        ),
    )


def simulation() -> ModelSimulation:
    """Three stacks under half a minute of fail-over."""
    naked = ModelVariant(name="naked", settings=("the call as it is",), measures=measures(), course=course())
    return ModelSimulation(version="1.2.3", scenario=scenario(), seed=7, variants=(naked, naive(), preset()))


def with_peak(seconds: int) -> ModelSimulation:
    """The naked call alone, with so many seconds of ten times the load."""
    made = simulation()
    naked = made.variants[0]
    peak = each(lambda second: 1_000 if 60 <= second < 60 + seconds else 100)
    flat = {"offered": each(lambda _: 100), "failed": each(lambda _: 0), "served": peak}
    course = ModelCourse.model_validate(naked.course.model_dump() | flat)
    return made.model_copy(update={"variants": (naked.model_copy(update={"course": course}),)})
