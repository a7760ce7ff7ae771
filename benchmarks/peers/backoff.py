"""A constant wait of zero without jitter."""

from __future__ import annotations

import backoff

from benchmarks.peers.peer import ATTEMPTS, Decorator, Peer


def retry() -> Decorator:
    return backoff.on_exception(backoff.constant, ConnectionError, max_tries=ATTEMPTS, jitter=None, interval=0)


def bounded_retry(seconds: float) -> Decorator:
    return backoff.on_exception(
        backoff.constant, ConnectionError, max_tries=ATTEMPTS, max_time=seconds, jitter=None, interval=0
    )


PEER = Peer(
    label="backoff",
    module="backoff",
    distributions=("backoff",),
    typed=("import backoff", "backoff.on_exception(backoff.constant, ConnectionError)"),
    retry=retry,
    bounded_retry=bounded_retry,
    notes={"retry": "no budget"},
)
