"""Its limiter only waits; its async bulkhead rejects after a wait, here of one millisecond."""

from __future__ import annotations

import grit

from benchmarks.peers.peer import ATTEMPTS, BURST, FAILURES, RATE, Decorator, Peer


def retry() -> Decorator:
    return grit.retry(tries=ATTEMPTS, on=ConnectionError, wait=grit.constant(0.0))


def breaker(seconds: float) -> Decorator:
    return grit.breaker(fails=FAILURES, reset_after=seconds)


def waiting_limiter(rate: float, burst: int) -> Decorator:
    return grit.limiter(rate, 1.0, burst)


def timeout(seconds: float) -> Decorator:
    return grit.timeout(seconds)


def bulkhead(limit: int) -> Decorator:
    return grit.bulkhead(limit, 0.001)


def stack() -> Decorator:
    return grit.policy(breaker(60.0), retry(), waiting_limiter(RATE, BURST))


def full_stack() -> Decorator:
    return grit.policy(
        grit.fallback(),
        grit.timeout(60.0),
        retry(),
        breaker(60.0),
        waiting_limiter(RATE, BURST),
        grit.bulkhead(100),
        grit.timeout(10.0),
    )


PEER = Peer(
    label="grit-toolkit",
    module="grit",
    distributions=("grit-toolkit",),
    typed=("import grit", "grit.breaker(fails=5, reset_after=60.0)"),
    retry=retry,
    breaker=breaker,
    waiting_limiter=waiting_limiter,
    timeout=timeout,
    bulkhead=bulkhead,
    stack=stack,
    full_stack=full_stack,
    kinds={"full_stack": frozenset({"async"}), "timeout": frozenset({"async"})},
    notes={
        "retry": "no budget",
        "breaker": "no generations; a cancelled probe keeps its place",
        "waiting_limiter": "polls: each waiter looks every 50 ms at most, and counts those before it",
        "bulkhead": "waits 1 ms before it rejects; waits in a task",
        "stack": "no budget, no generations; its limiter waits",
        "full_stack": "no budget, no generations; its limiter and bulkhead wait",
    },
)
