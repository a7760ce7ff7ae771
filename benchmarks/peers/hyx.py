"""Its `attempts` are retries: two of them make three calls. Limiter and timeout need a running loop to be made."""

from __future__ import annotations

from hyx.bulkhead import bulkhead as hyx_bulkhead
from hyx.circuitbreaker import consecutive_breaker
from hyx.ratelimit import tokenbucket
from hyx.retry import retry as hyx_retry
from hyx.timeout import timeout as hyx_timeout

from benchmarks.peers.peer import ASYNC_ONLY, ATTEMPTS, BURST, FAILURES, RATE, Decorator, Peer, stacked


def retry() -> Decorator:
    return hyx_retry(on=ConnectionError, attempts=ATTEMPTS - 1, backoff=0)


def breaker(seconds: float) -> Decorator:
    return consecutive_breaker(failure_threshold=FAILURES, recovery_time_secs=seconds, recovery_threshold=1)


def limiter(rate: float, burst: int) -> Decorator:
    return tokenbucket(rate, 1.0, burst)


def timeout(seconds: float) -> Decorator:
    return hyx_timeout(seconds)


def bulkhead(limit: int) -> Decorator:
    return hyx_bulkhead(limit, limit)


def stack() -> Decorator:
    return stacked(breaker(60.0), retry(), limiter(RATE, BURST))


PEER = Peer(
    label="hyx",
    module="hyx.retry",
    distributions=("hyx",),
    typed=("from hyx.circuitbreaker import consecutive_breaker", "consecutive_breaker()"),
    retry=retry,
    breaker=breaker,
    limiter=limiter,
    timeout=timeout,
    bulkhead=bulkhead,
    stack=stack,
    kinds=dict.fromkeys(("retry", "breaker", "limiter", "timeout", "bulkhead", "stack"), ASYNC_ONLY),
    notes={
        "retry": "no budget",
        "breaker": "no lock, no half-open limit, no generations, wall clock",
        "limiter": "no lock, refills only when empty",
        "timeout": "runs the call in a task of its own",
        "stack": "no lock, no half-open limit, no budget",
    },
)
