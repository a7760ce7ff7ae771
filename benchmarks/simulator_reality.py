"""Does the simulator tell the truth? One outage of a real PostgreSQL on the wall clock, and the same one simulated.

A real server is killed and started again under the database preset's stack, while users call at the times that the
simulation draws for its seed. What the queries and connections took meanwhile, and when the server went and came, is
measured and goes into the scenario; then the same stack is simulated in it.

    python -m benchmarks.simulator_reality
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from random import Random

import asyncpg

from omnibase_infra.cli.demo.postgres_server import PostgresServer
from omnibase_infra.enums import EnumResilienceEvent, EnumScenarioEvent, EnumStackKind
from omnibase_infra.infrastructure.resilience import create_database_resilience
from omnibase_infra.infrastructure.resilience.observers import add_observer
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.presets.resolver import overlaid
from omnibase_infra.simulator.arrivals import arrival_times
from omnibase_infra.simulator.call import Call
from omnibase_infra.simulator.engine import run_stack
from omnibase_infra.simulator.findings import measures
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.recorder import Outcome, Recording

SECONDS = 50.0
KILLED_AT = 12.0
STARTED_AT = 27.0
LOAD = ModelLoad(rate=15.0, patience=10.0)
POOL = 10
SERVICE = "reality"
SETTINGS = {"circuit_breaker.recovery_timeout": 6}
"""A minute, as the preset waits, would make the comparison long and say no more."""
QUERY = "SELECT count(*) FROM generate_series(1, 20000)"

TOLERANCE = {"detect_seconds": 0.15, "recover_seconds": 0.15, "amplification": 0.10}


class Outage:
    """Takes the stack through the outage of a real server, and measures it."""

    def __init__(self, server: PostgresServer, seed: int) -> None:
        self.queries: list[float] = []
        """Seconds that each took until the server was killed."""
        self.connecting = 0.0
        self.killed = 0.0
        self.back = 0.0
        self.recording = Recording()
        self._server = server
        self._seed = seed
        self._start = 0.0

    async def through(self) -> None:
        """From the first call to the last."""
        async with asyncpg.create_pool(self._server.dsn, min_size=0, max_size=POOL) as pool:
            self._pool = pool
            for _ in range(20):
                await self._ask()
            with overlaid(SERVICE, SETTINGS):
                self._guarded = create_database_resilience(SERVICE)(self._attempt)
            loop = asyncio.get_running_loop()
            unsubscribe = add_observer(self._heard, inline=True)
            self._start = loop.time()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._outage())
                    for when in arrival_times(LOAD, SECONDS, Random(f"{self._seed}/arrivals")):
                        await asyncio.sleep(when - self._now())
                        group.create_task(self._call())
            finally:
                unsubscribe()

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._start

    def _heard(self, event: ModelResilienceEvent) -> None:
        if event.kind is EnumResilienceEvent.CIRCUIT_STATE and event.state is not None:
            self.recording.circuit.append((self._now(), event.state))

    async def _ask(self) -> None:
        async with self._pool.acquire() as connection:
            asked = self._now()
            await connection.fetchval(QUERY)
            if not self.killed:
                self.queries.append(self._now() - asked)

    async def _attempt(self, call: Call) -> None:
        call.attempts += 1
        self.recording.attempts.append(self._now())
        await self._ask()

    async def _call(self) -> None:
        recording = self.recording
        call = Call(len(recording.began), self._now(), 0.0, 0.0, 0.0)
        recording.began.append(call.began)
        recording.ended.append(call.began)
        recording.outcomes.append(Outcome.UNDER_WAY)
        try:
            async with asyncio.timeout(LOAD.patience):
                await self._guarded(call)
            outcome = Outcome.ANSWERED
        except TimeoutError:
            outcome = Outcome.GAVE_UP
        except Exception:
            outcome = Outcome.FAILED if call.attempts else Outcome.REJECTED
        recording.ended[call.number] = self._now()
        recording.outcomes[call.number] = outcome

    async def _outage(self) -> None:
        await asyncio.sleep(KILLED_AT - self._now())
        self._server.kill()
        self.killed = self._now()
        await asyncio.sleep(STARTED_AT - self._now())
        await asyncio.to_thread(self._server.start)
        while not self.back:
            began = self._now()
            try:
                connection = await asyncpg.connect(self._server.dsn)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.01)
            else:
                self.back = self._now()
                self.connecting = self.back - began
                await connection.close()


def scenario_of(found: Outage) -> ModelScenario:
    """The same outage, in the words of the simulator."""
    return ModelScenario(
        name="reality",
        transport="database",
        incident="The server that was just killed and started again.",
        seconds=SECONDS,
        load=LOAD,
        dependency=ModelDependency(
            latency=ModelLatency(samples=tuple(found.queries)),
            capacity=POOL,
            pool=POOL,
            connect=found.connecting,
        ),
        events=(
            ModelScenarioEvent(
                kind=EnumScenarioEvent.OUTAGE,
                at=found.killed,
                lasts=found.back - found.killed,
                errors={"builtin.ConnectionRefusedError": 1.0},
            ),
        ),
    )


def real_measures(scenario: ModelScenario, recording: Recording) -> ModelMeasures:
    """By the same definitions; on a usual day this server answers everything."""
    everything = Recording(
        began=recording.began, ended=recording.ended, outcomes=bytearray([Outcome.ANSWERED] * len(recording.began))
    )
    return measures(scenario, recording, everything)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both courses side by side; 1 when they are further apart than they may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed: int = parser.parse_args(arguments).seed
    with PostgresServer() as server:
        found = Outage(server, seed)
        asyncio.run(found.through())
    scenario = scenario_of(found)
    stack = ModelStack(name="preset", kind=EnumStackKind.PRESET, service=SERVICE, settings=SETTINGS)
    simulated = run_stack(scenario, stack, seed=seed).measures
    real = real_measures(scenario, found.recording)
    queries = sorted(found.queries)
    print(
        f"PostgreSQL was away from {found.killed:.3f} s to {found.back:.3f} s; {len(queries)} queries before it took "
        f"{queries[len(queries) // 2] * 1000:.1f} ms at the median, a connection {found.connecting * 1000:.1f} ms\n"
    )
    print(f"{'':<20}{'real':>10}{'simulated':>12}{'apart':>9}{'allowed':>9}")
    missed = 0
    for name in ("calls", "successes", "rejected", "attempts", *TOLERANCE):
        ours: float | None = getattr(simulated, name)
        theirs: float | None = getattr(real, name)
        allowed = TOLERANCE.get(name)
        apart = None if ours is None or not theirs else abs(ours - theirs) / theirs
        missed += allowed is not None and (apart is None or apart > allowed)
        shown = ["never" if value is None else f"{value:.5g}" for value in (theirs, ours)]
        print(
            f"{name:<20}{shown[0]:>10}{shown[1]:>12}{'' if apart is None else f'{apart:.1%}':>9}"
            f"{'' if allowed is None else f'{allowed:.0%}':>9}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
