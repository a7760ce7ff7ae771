"""An hour of 200 calls/s through the full database pipeline, twice with one seed: how long it takes; the same bytes?

python -m benchmarks.simulator_hour [--seconds 3600]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from time import perf_counter, process_time

from omnibase_infra.enums import EnumScenarioEvent, EnumStackKind
from omnibase_infra.simulator.engine import NAKED, run_stack
from omnibase_infra.simulator.model_dependency import ModelDependency
from omnibase_infra.simulator.model_latency import ModelLatency
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_stack import ModelStack

# The preset lets 50 calls/s of one process pass: with its limit lifted every call goes through every policy.
STACKS = (
    ModelStack(name="limit lifted", kind=EnumStackKind.PRESET, settings={"rate_limit.rate": 1000.0}),
    ModelStack(name="as shipped", kind=EnumStackKind.PRESET),
)


def hour(seconds: float) -> ModelScenario:
    """A database that slows down and fails over on the way."""
    errors = {"asyncpg.ConnectionDoesNotExistError": 1.0, "builtin.ConnectionRefusedError": 6.0}
    return ModelScenario(
        name="hour",
        transport="database",
        incident="A busy hour, with a brown-out and a fail-over.",
        seconds=seconds,
        load=ModelLoad(rate=200.0),
        dependency=ModelDependency(
            latency=ModelLatency(p50=0.005, p99=0.05), capacity=50, pool=20, connect=0.03, queue=200
        ),
        events=(
            ModelScenarioEvent(kind=EnumScenarioEvent.BROWN_OUT, at=seconds / 4, lasts=30.0, factor=3.0),
            ModelScenarioEvent(kind=EnumScenarioEvent.FAIL_OVER, at=seconds / 2, lasts=30.0, hang=0.1, errors=errors),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and tell whether the bytes differed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    scenario = hour(parser.parse_args(arguments).seconds)
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    run_stack(scenario, NAKED)  # what all are compared with is found once for a scenario and seed
    agree = True
    for stack in STACKS:
        digests: list[str] = []
        for _ in range(2):
            wall, work = perf_counter(), process_time()
            variant = run_stack(scenario, stack)
            wall, work = perf_counter() - wall, process_time() - work
            digests.append(sha256(variant.model_dump_json().encode()).hexdigest())
            calls = variant.measures.calls
            print(
                f"{stack.name}: {calls:,} calls ({variant.measures.rejected:,} rejected) in {wall:.1f} s, "
                f"of the processor {work:.1f} s: {calls / wall:,.0f} calls/s, {work / calls * 1e6:.1f} µs a call; "
                f"{digests[-1]}"
            )
        agree = agree and len(set(digests)) == 1
    print("the same bytes" if agree else "DIFFERENT BYTES")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
