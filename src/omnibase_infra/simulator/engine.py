"""Runs stacks under a scenario: the shipping policies, on virtual time."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Final

import omnibase_infra
from omnibase_infra.enums import EnumCircuitState, EnumStackKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget
from omnibase_infra.simulator.conditions import Condition
from omnibase_infra.simulator.dependency import Dependency
from omnibase_infra.simulator.findings import STEP, variant
from omnibase_infra.simulator.loop import SimulationLoop
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.model_variant import ModelVariant
from omnibase_infra.simulator.recorder import Recording
from omnibase_infra.simulator.stacks import Surroundings, guarded_call
from omnibase_infra.simulator.users import Users

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

Progress = Callable[[float], None]

NAKED: Final = ModelStack(name="naked", kind=EnumStackKind.NAKED)

_TOLD: Final = 100
"""How often a run tells how far it is."""
_GLANCE: Final = 0.1
"""Real seconds between two looks at how far the other processes are."""


def run_stack(
    scenario: ModelScenario, stack: ModelStack, *, seed: int = 0, progress: Progress | None = None
) -> ModelVariant:
    """Run one stack under a scenario, in this process.

    Beside it the naked call is run on a day without events, which the measures compare with; once for a scenario and
    seed. Presets, observers and whatever else a process has one of are as before when it is done; while it runs, logs
    and observers hear nothing of any policy. So there may be one run at a time in a process, and none where it serves.

    Args:
        scenario: Load, dependency, and what happens.
        stack: What guards the calls.
        seed: Of all chance. Load and dependency draw theirs apart from the policies', so that all stacks meet the same.
        progress: Called about a hundred times with the share that is done.

    Raises:
        ProtocolConfigurationError: When a setting of the stack is wrong.
        RuntimeError: When an event loop runs in this thread.
    """
    recording = _record(scenario, stack, seed, progress)
    return variant(scenario, stack.name, recording, _usual_day(_without_events(scenario).model_dump_json(), seed))


def simulate(
    scenario: ModelScenario,
    stacks: Sequence[ModelStack],
    *,
    seed: int = 0,
    processes: int | None = None,
    progress: Progress | None = None,
) -> ModelSimulation:
    """Run several stacks under a scenario, each in a process of its own. All are checked before any is run.

    The result is the same, to the byte, in however many processes.

    Args:
        scenario: Load, dependency, and what happens.
        stacks: What is compared, in the order of the result.
        seed: Of all chance.
        processes: At most so many at a time; one for each CPU when None. 1 runs everything in this process.
        progress: Called with the share that is done.

    Raises:
        ProtocolConfigurationError: When a setting of a stack is wrong, or there is no stack.
    """
    if not stacks:
        raise ProtocolConfigurationError("stacks: give at least one", parameter="stacks")
    if processes is not None and (isinstance(processes, bool) or processes < 1):
        raise refused("processes", processes, "a whole number, 1 or more, or None")
    for stack in stacks:
        _check(scenario, stack)
    jobs = [(_without_events(scenario), NAKED), *((scenario, stack) for stack in stacks)]
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    usual, *recordings = _in_turn(jobs, seed, progress) if workers == 1 else _at_once(jobs, seed, workers, progress)
    return ModelSimulation(
        version=omnibase_infra.__version__,
        scenario=scenario,
        seed=seed,
        variants=tuple(
            variant(scenario, stack.name, recording, usual) for stack, recording in zip(stacks, recordings, strict=True)
        ),
    )


Job = tuple[ModelScenario, ModelStack]


def _in_turn(jobs: Sequence[Job], seed: int, progress: Progress | None) -> Iterator[Recording]:
    for place, (scenario, stack) in enumerate(jobs):
        told = None if progress is None else _part(progress, place, len(jobs))
        yield _record(scenario, stack, seed, told)


def _part(progress: Progress, place: int, of: int) -> Progress:
    return lambda share: progress((place + share) / of)


def _at_once(jobs: Sequence[Job], seed: int, workers: int, progress: Progress | None) -> Iterator[Recording]:
    context = multiprocessing.get_context("spawn")
    shares = context.Array("d", len(jobs), lock=False)
    with ProcessPoolExecutor(workers, context, initializer=_share_progress, initargs=(shares,)) as pool:
        runs: list[Future[Recording]] = [pool.submit(_record_there, job, seed, place) for place, job in enumerate(jobs)]
        try:
            left: set[Future[Recording]] = set(runs)
            while left:
                _, left = wait(left, timeout=_GLANCE, return_when=FIRST_COMPLETED)
                if progress is not None:
                    progress(sum(shares) / len(jobs))
            yield from (run.result() for run in runs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_shares: SynchronizedArray[float] | None = None
"""In a process of a pool: how far each job is."""


def _share_progress(shares: SynchronizedArray[float]) -> None:
    global _shares  # noqa: PLW0603 - a pool's process is given what it shares only as it starts
    _shares = shares


def _record_there(job: Job, seed: int, place: int) -> Recording:
    shares = _shares

    def tell(share: float) -> None:
        if shares is not None:
            shares[place] = share

    return _record(*job, seed, tell)


def _without_events(scenario: ModelScenario) -> ModelScenario:
    return scenario.model_copy(update={"events": (), "checks": ()})


@lru_cache(maxsize=8)
def _usual_day(scenario: str, seed: int) -> Recording:
    return _record(ModelScenario.model_validate_json(scenario), NAKED, seed, None)


def _check(scenario: ModelScenario, stack: ModelStack) -> None:
    """Put the stack together once, so that a wrong setting is told of at once."""
    loop = SimulationLoop()
    try:
        with guarded_call(stack, _surroundings(scenario, 0, loop, Recording())):
            pass
    finally:
        loop.close()


def _record(scenario: ModelScenario, stack: ModelStack, seed: int, progress: Progress | None) -> Recording:
    if _is_in_a_loop():
        raise RuntimeError("a simulation has an event loop of its own: run it in a thread that has none")
    loop = SimulationLoop()
    try:
        return _recorded(scenario, stack, seed, progress, loop)
    finally:
        loop.close()


def _recorded(
    scenario: ModelScenario, stack: ModelStack, seed: int, progress: Progress | None, loop: SimulationLoop
) -> Recording:
    recording = Recording()
    around = _surroundings(scenario, seed, loop, recording)
    conditions = [Condition(event) for event in sorted(scenario.events, key=lambda event: event.at)]
    with guarded_call(stack, around) as guarded, asyncio.Runner(loop_factory=lambda: loop) as runner:
        recording.words = guarded.words
        for condition in conditions:
            loop.at(condition.event.at, around.dependency.begin, condition)
        if guarded.budget is not None:
            recording.budget = []
            for step in range(1, ceil(scenario.seconds / STEP) + 1):
                loop.at(min(step * STEP, scenario.seconds), _note, (guarded.budget, recording.budget))
        if progress is not None:
            for part in range(1, _TOLD):
                loop.at(scenario.seconds * part / _TOLD, _tell, (progress, part / _TOLD))
        users = Users(scenario, guarded.ask, recording, loop, seed=str(seed))
        runner.run(_through(scenario, users, around.dependency))
    if progress is not None:
        progress(1.0)
    return recording


def _surroundings(scenario: ModelScenario, seed: int, loop: SimulationLoop, recording: Recording) -> Surroundings:
    changes = recording.circuit

    def told(state: EnumCircuitState) -> None:
        if state is not (changes[-1][1] if changes else EnumCircuitState.CLOSED):
            changes.append((loop.time(), state))

    dependency = Dependency(scenario.dependency, loop, recording, str(seed))
    return Surroundings(scenario.transport, dependency, loop, Random(f"{seed}/jitter").random, told)


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _through(scenario: ModelScenario, users: Users, dependency: Dependency) -> None:
    await users.all_served()
    await dependency.idle()
    left = scenario.seconds - asyncio.get_running_loop().time()
    if left > 0:
        await asyncio.sleep(left)


def _note(_: float, what: tuple[RetryBudget, list[float]]) -> None:
    budget, balances = what
    balances.append(budget.balance)


def _tell(_: float, what: tuple[Progress, float]) -> None:
    progress, share = what
    progress(share)
