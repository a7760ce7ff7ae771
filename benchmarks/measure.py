"""Timing side by side: every subject in turn, round after round, so that a machine that drifts drifts for all alike."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.peers.peer import Call, PlainCall

PASSTHROUGH = "passthrough"


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float
    """Of one subject in one round."""
    table_seconds: float
    """The longest that the rounds of one table may take: on a slow machine there are fewer of them."""
    tasks: tuple[int, ...]
    keys: tuple[int, ...]
    key_seconds: float
    """The longest that one library may take to fill its store."""
    keyed_seconds: float
    """The longest that all stores by key may take together, roughly."""
    imports: int
    queue_seconds: float
    """What it must take to serve all who wait for a limiter."""
    patience: float
    """The longest that one limiter may take to serve all its waiters, seconds."""


FULL = Effort(
    rounds=21,
    seconds=0.01,
    table_seconds=10.0,
    tasks=(1, 100, 10_000),
    keys=(1_000, 100_000, 1_000_000),
    key_seconds=8.0,
    keyed_seconds=270.0,
    imports=7,
    queue_seconds=0.5,
    patience=5.0,
)
QUICK = Effort(
    rounds=5,
    seconds=0.002,
    table_seconds=1.0,
    tasks=(1, 100),
    keys=(10_000,),
    key_seconds=0.3,
    keyed_seconds=10.0,
    imports=1,
    queue_seconds=0.25,
    patience=0.75,
)
_FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Figure:
    """One number of one library."""

    family: str
    measure: str
    peer: str
    value: float
    unit: str
    low: float | None = None
    """First and third quartile of `ratio` where there is one, else of `value`."""
    high: float | None = None
    ratio: float | None = None
    """To the passthrough of the same rounds."""
    note: str = ""
    """What differs from most in the work done; nothing where it is equal."""


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, the last it may use: for timing two cores are one too many."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def passthrough(fn: Call) -> Call:
    async def wrapper(*args: int, **kwargs: int) -> object:
        return await fn(*args, **kwargs)

    return wrapper


def plain_passthrough(fn: PlainCall) -> PlainCall:
    def wrapper(*args: int, **kwargs: int) -> object:
        return fn(*args, **kwargs)

    return wrapper


def swallowing(fn: Call) -> Call:
    async def wrapper(number: int) -> object:
        try:
            return await fn(number)
        except Exception:
            return None

    return wrapper


def swallowing_plain(fn: PlainCall) -> PlainCall:
    def wrapper(number: int) -> object:
        try:
            return fn(number)
        except Exception:
            return None

    return wrapper


async def time_calls(fn: Call, calls: int) -> float:
    """Seconds a call."""
    begin = time.perf_counter()
    for number in range(calls):
        await fn(number)
    return (time.perf_counter() - begin) / calls


async def time_plain_calls(fn: PlainCall, calls: int) -> float:
    begin = time.perf_counter()
    for number in range(calls):
        fn(number)
    return (time.perf_counter() - begin) / calls


async def interleave(
    subjects: Mapping[str, PlainCall], timed: Callable[[PlainCall, int], Awaitable[float]], effort: Effort
) -> dict[str, list[float]]:
    """Seconds a call, by subject and round; each subject is called as often as fits the seconds of a round.

    The rounds end early, all subjects having had as many, when the seconds of a table are over.
    """
    calls: dict[str, int] = {}
    for name, fn in subjects.items():
        await timed(fn, 3)
        calls[name] = max(3, int(effort.seconds / await timed(fn, 20)))
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    gc.collect()
    gc.freeze()  # what was imported is no subject's garbage
    try:
        end = time.perf_counter() + effort.table_seconds
        for done in range(effort.rounds):
            if done >= _FEWEST_ROUNDS and time.perf_counter() > end:
                break
            for name, fn in subjects.items():
                gc.collect()
                taken[name].append(await timed(fn, calls[name]))
    finally:
        gc.unfreeze()
    return taken


def figures(
    family: str, measure: str, taken: Mapping[str, list[float]], notes: Mapping[str, str], baseline: str = PASSTHROUGH
) -> list[Figure]:
    """Medians in nanoseconds, with the ratio to the baseline and its quartiles."""
    base = taken[baseline]
    found = []
    for name, seconds in taken.items():
        ratios = [one / other for one, other in zip(seconds, base, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        median = statistics.median(seconds)
        found.append(
            Figure(
                family,
                measure,
                name,
                median * 1e9,
                "ns",
                low,
                high,
                median / statistics.median(base),
                notes.get(name, ""),
            )
        )
    return found


def by_measure(found: list[Figure]) -> list[Figure]:
    """The figures of one measure together, in the order in which the measures first came."""
    order = {title: number for number, title in enumerate(dict.fromkeys(figure.measure for figure in found))}
    return sorted(found, key=lambda figure: order[figure.measure])
