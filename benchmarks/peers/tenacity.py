"""`reraise=True`, so that a failure costs no `RetryError` on top."""

from __future__ import annotations

import tenacity

from benchmarks.peers.peer import ATTEMPTS, Decorator, Peer

_ON = tenacity.retry_if_exception_type(ConnectionError)


def retry() -> Decorator:
    return tenacity.retry(
        stop=tenacity.stop_after_attempt(ATTEMPTS), wait=tenacity.wait_none(), retry=_ON, reraise=True
    )


def bounded_retry(seconds: float) -> Decorator:
    stop = tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_after_delay(seconds)
    return tenacity.retry(stop=stop, wait=tenacity.wait_none(), retry=_ON, reraise=True)


PEER = Peer(
    label="tenacity",
    module="tenacity",
    distributions=("tenacity",),
    typed=("import tenacity", "tenacity.retry(stop=tenacity.stop_after_attempt(3))"),
    retry=retry,
    bounded_retry=bounded_retry,
    notes={"retry": "no budget; statistics shared by threads"},
)
