"""The breaker's defaults but for threshold and time."""

from __future__ import annotations

from datetime import timedelta

import aiobreaker

from benchmarks.peers.peer import FAILURES, Decorator, Peer


def breaker(seconds: float) -> Decorator:
    return aiobreaker.CircuitBreaker(fail_max=FAILURES, timeout_duration=timedelta(seconds=seconds))


PEER = Peer(
    label="aiobreaker",
    module="aiobreaker",
    distributions=("aiobreaker",),
    typed=("import aiobreaker", "aiobreaker.CircuitBreaker()"),
    breaker=breaker,
    notes={"breaker": "no lock, no half-open limit, no generations, wall clock"},
)
