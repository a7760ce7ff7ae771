"""Workers in processes of their own that share one limit, and how many calls they got through.

Also the benchmark's: `python -m benchmarks.shared_limit`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

HOST = "127.0.0.1"
_BURST_SECONDS = 2.0
"""About what it takes to empty the full bucket."""

FACES = ("ours on redis-py", "ours on valkey-py", "redispy", "valkey", "coredis")
"""Our limiter on either client, and our strategy within `limits` on each client that it offers."""


@dataclass(frozen=True)
class Plan:
    """What a worker does once it is told until when."""

    face: str
    port: int
    rate: int


@dataclass(frozen=True)
class Outcome:
    """Calls that got through, beyond the first full bucket, as a share of what the rate allows."""

    granted: int
    allowed: float

    @property
    def ratio(self) -> float:
        return self.granted / self.allowed


def work(plan: Plan, report: Connection) -> None:
    """Say when ready, call as fast as is granted, and report when each call got through, and when the first did not.

    The time is that of the clock that all processes share.
    """
    asyncio.run(_work(plan, report))


async def _work(plan: Plan, report: Connection) -> None:
    take, close = await _taker(plan)
    report.send(None)
    until: float = report.recv()
    was_refused = False
    while time.monotonic() < until:
        if await take():
            report.send((time.monotonic(), True))
            continue
        if not was_refused:
            was_refused = True
            report.send((time.monotonic(), False))
        await asyncio.sleep(0.002)
    await close()
    report.close()


async def _taker(plan: Plan) -> tuple[Callable[[], Awaitable[bool]], Callable[[], Awaitable[None]]]:
    if plan.face.startswith("ours"):
        from omnibase_infra.infrastructure.resilience import SharedRateLimiter, create_api_rate_limiter

        scheme = "redis" if plan.face.endswith("redis-py") else "valkey"
        limiter = create_api_rate_limiter(
            plan.rate, plan.rate, name="all", storage_uri=f"{scheme}://{HOST}:{plan.port}", store_timeout=5.0
        )
        assert isinstance(limiter, SharedRateLimiter)
        return lambda: limiter.acquire_async(timeout=0), limiter.aclose

    from limits import RateLimitItemPerSecond
    from limits.aio.storage import RedisStorage

    from omnibase_infra.infrastructure.resilience.shared_state.limits_strategy import AsyncTokenBucketRateLimiter

    scheme = "valkey" if plan.face == "valkey" else "redis"
    storage = RedisStorage(f"async+{scheme}://{HOST}:{plan.port}", implementation=plan.face)
    strategy, item = AsyncTokenBucketRateLimiter(storage), RateLimitItemPerSecond(plan.rate)

    async def close() -> None:
        client = storage.bridge.storage
        if plan.face == "coredis":
            client.connection_pool.disconnect()
        else:
            await client.aclose()

    return lambda: strategy.hit(item, "all"), close


class Crew:
    """The workers of one plan, some of which may be killed and replaced while the others go on."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._spawning = multiprocessing.get_context("spawn")
        self._workers: list[tuple[SpawnProcess, Connection, threading.Thread]] = []
        self._reports: list[tuple[float, bool]] = []

    def hire(self, count: int) -> list[Connection]:
        """Start workers, and wait until they are ready; gives the wires on which they hear until when to work."""
        hired: list[Connection] = []
        for _ in range(count):
            ours, theirs = self._spawning.Pipe()
            process = self._spawning.Process(target=work, args=(self._plan, theirs), daemon=True)
            process.start()
            theirs.close()
            hired.append(ours)
            self._workers.append((process, ours, threading.Thread(target=self._listen, args=(ours,))))
        for wire in hired:
            assert wire.recv() is None
        for _, _, listener in self._workers[-count:]:
            listener.start()
        return hired

    def kill(self, count: int) -> None:
        """End some of them as nobody can resist."""
        for process, *_ in self._workers[:count]:
            process.kill()

    def reports(self) -> list[tuple[float, bool]]:
        """When calls got through, or first did not; waits for the end of the work."""
        for process, wire, listener in self._workers:
            listener.join()
            process.join()
            wire.close()
        return self._reports

    def _listen(self, wire: Connection) -> None:
        """Read all along: a wire holds few reports, and a worker that cannot report does not work."""
        try:
            while True:
                self._reports.append(wire.recv())
        except (EOFError, OSError):
            pass


def shared_by(count: int, face: str, port: int, rate: int, seconds: float, *, killed: int = 0) -> Outcome:
    """Let workers share a limit, and count from when the first burst is over.

    Args:
        count: Workers.
        face: One of `FACES`.
        port: Of the server.
        rate: Calls a second for all; also the burst.
        seconds: How long is counted.
        killed: Workers that are killed in the middle, and replaced.
    """
    crew = Crew(Plan(face, port, rate))
    hired = crew.hire(count)
    end = time.monotonic() + _BURST_SECONDS + seconds
    for wire in hired:
        wire.send(end)
    if killed:
        time.sleep(end - seconds / 2 - time.monotonic())
        crew.kill(killed)
        for wire in crew.hire(killed):
            wire.send(end)
    reports = crew.reports()
    begin = min(when for when, granted in reports if not granted)  # from here on the bucket is empty
    return Outcome(sum(granted and begin <= when <= end for when, granted in reports), rate * (end - begin))
