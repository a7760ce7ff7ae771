"""Plain functions only: it takes an `async def` without a word and protects nothing."""

from __future__ import annotations

import pybreaker

from benchmarks.peers.peer import FAILURES, SYNC_ONLY, Decorator, Peer


def breaker(seconds: float) -> Decorator:
    return pybreaker.CircuitBreaker(fail_max=FAILURES, reset_timeout=seconds)


PEER = Peer(
    label="pybreaker",
    module="pybreaker",
    distributions=("pybreaker",),
    typed=("import pybreaker", "pybreaker.CircuitBreaker()"),
    breaker=breaker,
    kinds={"breaker": SYNC_ONLY},
    notes={"breaker": "its lock is held while the function runs"},
)
