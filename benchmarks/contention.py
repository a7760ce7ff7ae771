"""Many tasks that wait for one limiter: whether they are served in order, on time, and at what price.

Tasks are started one after the other at an empty bucket. The rate is such that all could be served within half a
second by the clock, within a quarter in a quick run; the bucket is ten milliseconds deep, for an event loop does not
wake up to the microsecond.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect, insort
from collections.abc import Callable
from contextvars import Context

from benchmarks.measure import Effort, Figure, by_measure
from benchmarks.peers.peer import Decorator, Peer

FAMILY = "contention"
_DEPTH = 0.01


class _CountingLoop(asyncio.SelectorEventLoop):
    """Counts what is scheduled: each is a wake-up of the process, or of a task."""

    scheduled = 0

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)


async def _queue(
    build: Callable[[float, int], Decorator], tasks: int, seconds: float, patience: float
) -> tuple[list[int], float, float, int]:
    served: list[int] = []

    async def take(number: int) -> None:
        served.append(number)

    rate = tasks / seconds
    burst = max(1, round(rate * _DEPTH))
    guarded = build(rate, burst)(take)
    loop = asyncio.get_running_loop()
    for _ in range(burst):
        await guarded(-1)
    served.clear()
    before, cpu, begin = loop.scheduled, time.process_time(), time.perf_counter()
    waiting = [asyncio.create_task(guarded(number)) for number in range(tasks)]
    await asyncio.wait(waiting, timeout=patience)
    taken, used, wakes = time.perf_counter() - begin, time.process_time() - cpu, loop.scheduled - before
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return served, taken, used, wakes


def _out_of_order(served: list[int]) -> float:
    """Share of the pairs that were served the other way round than they had come; half of them where chance decides."""
    before: list[int] = []
    swapped = 0
    for number in served:
        swapped += len(before) - bisect(before, number)
        insort(before, number)
    return swapped / max(1, len(served) * (len(served) - 1) // 2)


def measure(peers: list[Peer], effort: Effort) -> list[Figure]:
    found = []
    for peer in peers:
        if not peer.has("waiting_limiter"):
            continue
        for tasks in effort.tasks:
            with asyncio.Runner(loop_factory=_CountingLoop) as runner:
                served, seconds, used, wakes = runner.run(
                    _queue(peer.waiting_limiter, tasks, effort.queue_seconds, effort.patience)
                )
            count = max(1, len(served))
            note = peer.note("waiting_limiter")
            if len(served) < tasks:
                note = f"served {len(served):,} in {seconds:.1f} s" + (f"; {note}" if note else "")
            for measure_name, value, unit in (
                ("processor time a grant", used / count * 1e6, "µs"),
                ("wake-ups a grant", wakes / count, ""),
                ("pairs served out of order", _out_of_order(served) * 100, "%"),
                (
                    "time until all are served, to the least possible",
                    seconds / effort.queue_seconds * tasks / count,
                    "×",
                ),
            ):
                title = f"{tasks:,} waiting: {measure_name}"
                found.append(Figure(FAMILY, title, peer.label, value, unit, note=note))
    return by_measure(found)
