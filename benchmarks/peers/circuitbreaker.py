"""The breaker's defaults but for threshold and time."""

from __future__ import annotations

import circuitbreaker

from benchmarks.peers.peer import FAILURES, Decorator, Peer


def breaker(seconds: float) -> Decorator:
    return circuitbreaker.CircuitBreaker(failure_threshold=FAILURES, recovery_timeout=seconds)


PEER = Peer(
    label="circuitbreaker",
    module="circuitbreaker",
    distributions=("circuitbreaker",),
    typed=("import circuitbreaker", "circuitbreaker.CircuitBreaker()"),
    breaker=breaker,
    notes={"breaker": "no lock, no half-open limit, no generations"},
)
