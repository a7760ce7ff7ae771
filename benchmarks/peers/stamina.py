"""Its own waits set to zero, and no bound of the whole."""

from __future__ import annotations

import stamina

from benchmarks.peers.peer import ATTEMPTS, Decorator, Peer


def retry() -> Decorator:
    return stamina.retry(
        on=ConnectionError, attempts=ATTEMPTS, timeout=None, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0
    )


def bounded_retry(seconds: float) -> Decorator:
    return stamina.retry(
        on=ConnectionError, attempts=ATTEMPTS, timeout=seconds, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0
    )


PEER = Peer(
    label="stamina",
    module="stamina",
    distributions=("stamina", "tenacity"),
    typed=("import stamina", "stamina.retry(on=ConnectionError)"),
    retry=retry,
    bounded_retry=bounded_retry,
    notes={"retry": "no budget"},
)
