"""Limiters and breakers by key, at many keys: time and memory a key, and the longest pause of the event loop.

Each library and size has a process of its own, so that the memory is its own:
`python -m benchmarks.keyed LABEL limiter|breaker KEYS SECONDS`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from benchmarks.measure import PASSTHROUGH, Effort, Figure, by_measure
from benchmarks.peers import installed
from benchmarks.peers.peer import Peer, Take
from benchmarks.success import fine

FAMILY = "keyed"
_BREATH = 10
"""Decisions between two turns of the event loop. The turns are not counted in the time of a decision."""
_HITS = 20_000
_LEAST_SECONDS = 0.1
_ROOT = Path(__file__).parents[1]


def _dictionary(_: int) -> Take:
    found: dict[str, float] = {}

    def take(key: str) -> bool:
        found[key] = found.get(key, 0.0) + 1.0
        return True

    return take


_BARE = Peer(
    label=PASSTHROUGH,
    module="builtins",
    distributions=(),
    keyed_limiter=_dictionary,
    notes={"keyed_limiter": "no limit: a number a key in a dictionary, the least that it can take"},
)


class _Heartbeat:
    """Notes the longest time between two turns of the event loop."""

    longest = 0.0

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._beating.cancel()

    async def _beat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now


def _taking(peer: Peer, what: str, count: int) -> Callable[[str], Awaitable[object] | object]:
    return peer.keyed_limiter(count) if what == "limiter" else peer.keyed_breaker(count)(fine)


async def _each(
    take: Callable[[str], Awaitable[object] | object], keys: list[str], seconds: float
) -> tuple[int, float]:
    """How many keys were decided about before the time was up, and seconds a decision."""
    asynchronous = inspect.iscoroutinefunction(take)
    end = time.perf_counter() + seconds
    done, taken = 0, 0.0
    while done < len(keys):
        begin = time.perf_counter()
        for key in keys[done : done + _BREATH]:
            if asynchronous:
                await take(key)
            else:
                take(key)
        now = time.perf_counter()
        taken += now - begin
        done = min(done + _BREATH, len(keys))
        if now > end:
            break
        await asyncio.sleep(0)
    return done, taken / done


async def _decide(peer: Peer, what: str, keys: list[str], seconds: float) -> dict[str, float]:
    gc.collect()
    gc.freeze()
    take = _taking(peer, what, len(keys))
    pick = random.Random(1)
    async with _Heartbeat() as filling:
        reached, new = await _each(take, keys, seconds)
    chosen = [keys[pick.randrange(reached)] for _ in range(_HITS)]
    async with _Heartbeat() as hitting:
        _, known = await _each(take, chosen, seconds)
    take = None
    gc.collect()
    # Filled once more, to weigh it: what is traced is slow.
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    take = _taking(peer, what, len(keys))
    weighed, _ = await _each(take, keys, seconds)
    memory = (tracemalloc.get_traced_memory()[0] - before) / weighed
    return {
        "reached": reached,
        "known": known * 1e6,
        "new": new * 1e6,
        "bytes": memory,
        "known_pause": hitting.longest * 1e3,
        "new_pause": filling.longest * 1e3,
    }


def measure(peers: list[Peer], effort: Effort) -> list[Figure]:
    plan = [
        (what, count, peer)
        for what in ("limiter", "breaker")
        for count in effort.keys
        for peer in (_BARE, *peers)
        if peer.has(f"keyed_{what}")
    ]
    found = []
    end = time.perf_counter() + effort.keyed_seconds
    for number, (what, count, peer) in enumerate(plan):
        share = (end - time.perf_counter()) / (len(plan) - number)
        # Keys are gone through three times: new, known, and weighed.
        seconds = max(_LEAST_SECONDS, min(effort.key_seconds, share / 3))
        command = [sys.executable, "-m", "benchmarks.keyed", peer.label, what, str(count), str(seconds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT)  # noqa: S603
        answer = json.loads(done.stdout)
        note = peer.note(f"keyed_{what}")
        if answer["reached"] < count:
            reached = f"only {answer['reached']:,.0f} keys in {seconds:.2g} s"
            note = f"{reached}; {note}" if note else reached
        for key, measure_name, unit in (
            ("known", "a decision", "µs"),
            ("new", "a new key", "µs"),
            ("bytes", "memory a key", "bytes"),
            ("known_pause", "longest pause of the event loop", "ms"),
            ("new_pause", "longest pause of the event loop, new keys", "ms"),
        ):
            title = f"{what}, {count:,} keys: {measure_name}"
            found.append(Figure(FAMILY, title, peer.label, answer[key], unit, note=note))
    return by_measure(found)


def main() -> None:
    label, what, count, seconds = sys.argv[1:]
    keys = [f"user-{number}" for number in range(int(count))]
    [peer] = (_BARE,) if label == PASSTHROUGH else installed((label,))
    print(json.dumps(asyncio.run(_decide(peer, what, keys, float(seconds)))))


if __name__ == "__main__":
    main()
