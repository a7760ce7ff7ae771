"""One key for a single limiter, as its documentation has it."""

from __future__ import annotations

from functools import partial

import token_bucket

from benchmarks.peers.peer import KEY_BURST, KEY_SECONDS, Decorator, Peer, Take, rejecting


def limiter(rate: float, burst: int) -> Decorator:
    return rejecting(partial(token_bucket.Limiter(rate, burst, token_bucket.MemoryStorage()).consume, "orders"))


def keyed_limiter(_keys: int) -> Take:
    return token_bucket.Limiter(1 / KEY_SECONDS, KEY_BURST, token_bucket.MemoryStorage()).consume


PEER = Peer(
    label="token-bucket",
    module="token_bucket",
    distributions=("token-bucket",),
    limiter=limiter,
    keyed_limiter=keyed_limiter,
    notes={"limiter": "no lock", "keyed_limiter": "no lock, unbounded"},
)
