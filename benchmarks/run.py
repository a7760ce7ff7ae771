"""What the policies cost, as ratios within one run: `python -m benchmarks.run [--rounds N] [--json FILE] [--check]`.

Every subject is timed in turn, round after round, so that a machine whose speed drifts drifts for all of them alike.
A figure is the median, over the rounds, of the ratio to what was timed in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import circuitbreaker
import tenacity

from omnibase_infra.errors import InfraConnectionError, ModelInfraErrorContext
from omnibase_infra.infrastructure.resilience import (
    TokenBucketLimiter,
    create_database_bulkhead,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_resilience,
    create_database_retry_policy,
    create_database_timeout,
    resilience,
)

Call = Callable[[int], Awaitable[object]]

HARD_DEPENDENCIES = "import tenacity, circuitbreaker; from pydantic import BaseModel"


class Row(NamedTuple):
    subject: str
    against: str
    ratio: float
    spread: tuple[float, float]
    nanoseconds: float
    goal: float


async def fine(number: int) -> int:
    return number


async def failing(_number: int) -> int:
    raise ConnectionError


def passthrough(fn: Call) -> Call:
    async def wrapper(*args: int, **kwargs: int) -> object:
        return await fn(*args, **kwargs)

    return wrapper


def bare_timeout(fn: Call) -> Call:
    async def wrapper(*args: int, **kwargs: int) -> object:
        async with asyncio.timeout(5.0):
            return await fn(*args, **kwargs)

    return wrapper


def no_limit() -> TokenBucketLimiter:
    return create_database_rate_limiter(1e9, 1e9)


def swallowing(fn: Call, expected: type[BaseException]) -> Call:
    async def wrapper(number: int) -> object:
        try:
            return await fn(number)
        except expected:
            return None

    return wrapper


def rejected_by_ours() -> Call:
    breaker = create_database_circuit_breaker()
    guarded = breaker(fine)
    breaker.trip()
    return swallowing(guarded, Exception)


def rejected_by_circuitbreaker() -> Call:
    breaker = circuitbreaker.CircuitBreaker(failure_threshold=1, recovery_timeout=3600)
    guarded = breaker(failing)
    for _ in range(2):
        asyncio.run(swallowing(guarded, Exception)(0))
    return swallowing(guarded, Exception)


def three_attempts_by_ours() -> Call:
    policy = create_database_retry_policy(3, min_wait=0, max_wait=0, retry_budget=None, sleep=lambda _seconds: None)
    return swallowing(policy(failing), Exception)


def three_attempts_by_tenacity() -> Call:
    async def no_sleep(_seconds: float) -> None:
        return None

    policy = tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_none(),
        retry=tenacity.retry_if_exception_type(ConnectionError),
        sleep=no_sleep,
        reraise=True,
    )
    return swallowing(policy(failing), Exception)


def build_error() -> Call:
    context = ModelInfraErrorContext(operation="execute_query", target_name="orders")

    async def build(_number: int) -> object:
        return InfraConnectionError("Failed to connect", context=context, host="db.example.com", port=5432)

    return build


def format_stack() -> Call:
    async def build(_number: int) -> object:
        return "".join(traceback.format_stack(limit=10))

    return build


def measure(subjects: dict[str, Call], calls: int, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a call, by subject and round."""

    async def once(fn: Call) -> float:
        begin = time.perf_counter()
        for number in range(calls):
            await fn(number)
        return (time.perf_counter() - begin) / calls * 1e9

    async def every() -> dict[str, list[float]]:
        taken: dict[str, list[float]] = {name: [] for name in subjects}
        for fn in subjects.values():
            await once(fn)
        gc.collect()
        gc.freeze()  # what was imported is no subject's garbage
        for _ in range(rounds):
            for name, fn in subjects.items():
                gc.collect()
                taken[name].append(await once(fn))
        return taken

    return asyncio.run(every())


def compare(taken: dict[str, list[float]], subject: str, against: str, goal: float) -> Row:
    ratios = [ours / theirs for ours, theirs in zip(taken[subject], taken[against], strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return Row(subject, against, median, (low, high), statistics.median(taken[subject]), goal)


def import_rows(rounds: int) -> list[Row]:
    names = {
        "import the package": "import omnibase_infra.infrastructure.resilience",
        "import its hard dependencies": HARD_DEPENDENCIES,
    }
    program = "import time; t = time.perf_counter(); {}; print((time.perf_counter() - t) * 1e9)"
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, statement in names.items():
            command = [sys.executable, "-c", program.format(statement)]
            taken[name].append(float(subprocess.run(command, capture_output=True, check=True, text=True).stdout))  # noqa: S603
    return [compare(taken, "import the package", "import its hard dependencies", 1.15)]


def rows(rounds: int) -> list[Row]:
    bare = "passthrough"
    success = {
        bare: passthrough(fine),
        "retry": create_database_retry_policy()(fine),
        "breaker": create_database_circuit_breaker()(fine),
        "limiter": no_limit()(fine),
        "the three stacked": create_database_circuit_breaker()(create_database_retry_policy()(no_limit()(fine))),
        "the three as a pipeline": resilience(
            create_database_circuit_breaker(), create_database_retry_policy(), no_limit()
        )(fine),
        "bare asyncio.timeout": bare_timeout(fine),
        "timeout": create_database_timeout()(fine),
        "bulkhead": create_database_bulkhead()(fine),
        "the full pipeline": create_database_resilience(rate_limiter=no_limit(), fallback=fine)(fine),
    }
    taken = measure(success, calls=4_000, rounds=rounds)
    found = [
        compare(taken, "retry", bare, 1.2),
        compare(taken, "breaker", bare, 1.3),
        compare(taken, "limiter", bare, 2.0),
        compare(taken, "the three stacked", bare, 3.7),
        compare(taken, "the three as a pipeline", bare, 2.4),
        compare(taken, "timeout", "bare asyncio.timeout", 1.0),
        compare(taken, "bulkhead", bare, 3.0),
        compare(taken, "the full pipeline", bare, 20.0),
        compare(taken, "the full pipeline", "bare asyncio.timeout", 1.6),
    ]
    failure = {
        "three failing attempts": three_attempts_by_ours(),
        "three failing attempts, tenacity": three_attempts_by_tenacity(),
        "rejection by an open circuit": rejected_by_ours(),
        "rejection by an open circuit, circuitbreaker": rejected_by_circuitbreaker(),
        "an ONEX error": build_error(),
        "formatting a short stack": format_stack(),
    }
    taken = measure(failure, calls=200, rounds=rounds)
    found += [
        compare(taken, "three failing attempts", "three failing attempts, tenacity", 0.125),
        compare(taken, "rejection by an open circuit", "rejection by an open circuit, circuitbreaker", 1.0),
        compare(taken, "an ONEX error", "formatting a short stack", 0.25),
    ]
    return found + import_rows(max(5, rounds // 10))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rounds that are interleaved (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    options = parser.parse_args()
    found = rows(options.rounds)
    print(f"Python {platform.python_version()}, {platform.machine()}, median of {options.rounds} interleaved rounds\n")
    print(f"{'':32}{'ratio':>8}{'quartiles':>16}{'goal':>8}{'ns':>11}  compared with")
    for row in found:
        spread = f"{row.spread[0]:.2f}-{row.spread[1]:.2f}"
        missed = "  MISSED" if row.ratio > row.goal else ""
        figures = f"{row.ratio:8.2f}{spread:>16}{row.goal:8.2f}{row.nanoseconds:11,.0f}"
        print(f"{row.subject:32}{figures}  {row.against}{missed}")
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in found], indent=2) + "\n", encoding="utf-8")
    return int(options.check and any(row.ratio > row.goal for row in found))


if __name__ == "__main__":
    sys.exit(main())
