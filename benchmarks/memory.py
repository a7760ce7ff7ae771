"""What a decorated function and a call take: memory, what is left to the garbage collector, and the import."""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

from benchmarks.equal_work import no_waits
from benchmarks.failure import failing
from benchmarks.measure import Effort, Figure, by_measure, passthrough, swallowing
from benchmarks.peers.peer import Call, Decorator, Peer
from benchmarks.success import ARGUMENTS, TITLES, builders, fine

FAMILY = "memory"
_FUNCTIONS, _CALLS, _ROUNDS = 200, 200, 3


def _held(build: Callable[..., Decorator], arguments: tuple[float, ...]) -> float:
    """Bytes a policy and its decorated function hold."""
    build(*arguments)(fine)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [build(*arguments)(fine) for _ in range(_FUNCTIONS)]
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()


async def _peak(fn: Call) -> float:
    """The most bytes that one call has at once, beyond those before it."""
    for number in range(20):
        await fn(number)
    tracemalloc.start()
    try:
        peaks = []
        for number in range(20):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            await fn(number)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
        return statistics.median(peaks)
    finally:
        tracemalloc.stop()


async def _garbage(fn: Call) -> float:
    """Objects a call leaves that only the garbage collector can free.

    What a call leaves it leaves in every round; what another thread does falls into one of them.
    """
    for number in range(20):
        await fn(number)
    found: list[int] = []
    gc.disable()
    try:
        for _ in range(_ROUNDS):
            gc.collect()
            for number in range(_CALLS):
                await fn(number)
            found.append(gc.collect())
    finally:
        gc.enable()
    return min(found) / _CALLS


def _import_times(peers: list[Peer], effort: Effort) -> list[Figure]:
    program = "import time; t = time.perf_counter(); import {}; print((time.perf_counter() - t) * 1e3)"
    taken: dict[str, list[float]] = {peer.label: [] for peer in peers}
    for _ in range(effort.imports):
        for peer in peers:
            command = [sys.executable, "-c", program.format(peer.module)]
            taken[peer.label].append(float(subprocess.run(command, capture_output=True, check=True).stdout))  # noqa: S603
    found = []
    for label, times in taken.items():
        low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
        found.append(Figure(FAMILY, "import", label, statistics.median(times), "ms", low, high))
    return found


async def _calls(peers: list[Peer]) -> list[Figure]:
    found: list[Figure] = []
    gc.collect()
    gc.freeze()  # what was imported is no subject's garbage
    for feature in ("retry", "breaker", "limiter", "stack"):
        built = {name: each for peer in peers for name, each in builders(peer, feature).items()}
        for name, (build, note) in built.items():
            title = TITLES[feature]
            held = _held(build, ARGUMENTS[feature])
            found.append(Figure(FAMILY, f"{title}: a decorated function", name, held, "bytes", note=note))
        for title, measured, unit in (
            ("most at once in a call", _peak, "bytes"),
            ("garbage", _garbage, "objects a call"),
        ):
            bare = await measured(passthrough(fine))
            found.append(Figure(FAMILY, f"{TITLES[feature]}: {title}", "passthrough", bare, unit))
            for name, (build, note) in built.items():
                value = await measured(build(*ARGUMENTS[feature])(fine))
                found.append(Figure(FAMILY, f"{TITLES[feature]}: {title}", name, value, unit, note=note))
    with no_waits():
        for peer in peers:
            if peer.has("retry"):
                value = await _garbage(swallowing(peer.retry()(failing)))
                title = "three failing attempts: garbage"
                found.append(Figure(FAMILY, title, peer.label, value, "objects a call", note=peer.note("retry")))
    gc.unfreeze()
    return by_measure(found)


def measure(peers: list[Peer], effort: Effort) -> list[Figure]:
    return asyncio.run(_calls(peers)) + _import_times(peers, effort)
