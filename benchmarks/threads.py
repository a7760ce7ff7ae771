"""What a call of a plain function costs that eight threads make at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from benchmarks.measure import PASSTHROUGH, Effort, Figure, figures, plain_passthrough
from benchmarks.peers.peer import BURST, RATE, Peer, PlainCall
from benchmarks.success import plainly_fine

FAMILY = "threads"
THREADS = 8


def at_once(work: Callable[[], None]) -> float:
    """Seconds until every thread is through; they start together, and are switched as often as can be."""
    start = threading.Barrier(THREADS + 1)

    def run() -> None:
        start.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def _cost(fn: PlainCall, calls: int) -> tuple[float, int]:
    """Seconds a call, and how many were rejected although the limit is never reached."""
    rejected: list[int] = []

    def work() -> None:
        for number in range(calls):
            try:
                fn(number)
            except Exception:
                rejected.append(number)

    return at_once(work) / (calls * THREADS), len(rejected)


def measure(peers: list[Peer], effort: Effort) -> list[Figure]:
    calls = max(200, int(effort.seconds * 50_000))
    rounds = max(3, effort.rounds // 3)
    found: list[Figure] = []
    for feature, arguments in (("breaker", (60.0,)), ("limiter", (RATE, BURST))):
        able = [peer for peer in peers if peer.has(feature, "sync")]
        notes = {peer.label: peer.note(feature) for peer in able}
        guarded = {PASSTHROUGH: plain_passthrough(plainly_fine)}
        guarded |= {peer.label: getattr(peer, feature)(*arguments)(plainly_fine) for peer in able}
        taken: dict[str, list[float]] = {label: [] for label in guarded}
        rejected = dict.fromkeys(guarded, 0)
        for _ in range(rounds):
            for label, fn in guarded.items():
                seconds, refused = _cost(fn, calls)
                taken[label].append(seconds)
                rejected[label] += refused
        for label, count in rejected.items():
            if count:
                share = f"rejects {100 * count / (rounds * calls * THREADS):.0f} % far below the limit"
                notes[label] = "; ".join(filter(None, (share, notes[label])))
        found += figures(FAMILY, f"{feature}: a call, eight threads", taken, notes)
    return found
