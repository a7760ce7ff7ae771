"""Its decorators with their defaults but for the numbers."""

from __future__ import annotations

from resilix import CircuitBreaker, Policy, protect

from benchmarks.peers.peer import ATTEMPTS, FAILURES, Decorator, Peer


def retry() -> Decorator:
    return Policy(on=ConnectionError, retry=ATTEMPTS)


def bounded_retry(seconds: float) -> Decorator:
    return Policy(on=ConnectionError, retry=ATTEMPTS, deadline=seconds, allow_sync=True)


def breaker(seconds: float) -> Decorator:
    return CircuitBreaker(failures=FAILURES, reset_timeout=seconds)


def timeout(seconds: float) -> Decorator:
    return protect.timeout(seconds)


def bulkhead(limit: int) -> Decorator:
    return protect.bulkhead(limit, wait=False)


PEER = Peer(
    label="resilix",
    module="resilix",
    distributions=("resilix",),
    typed=("from resilix import CircuitBreaker", "CircuitBreaker(failures=5, reset_timeout=60.0)"),
    retry=retry,
    bounded_retry=bounded_retry,
    breaker=breaker,
    timeout=timeout,
    bulkhead=bulkhead,
    kinds={"timeout": frozenset({"async"})},
    notes={"retry": "no budget", "breaker": "no generations"},
)
