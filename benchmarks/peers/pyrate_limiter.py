"""The token bucket; its default, a log of all calls, is more exact and keeps an entry for each."""

from __future__ import annotations

from functools import partial

from pyrate_limiter import BucketFactory, Limiter, MonotonicClock, Rate, RateItem, StateBucket, TokenBucket

from benchmarks.peers.peer import KEY_BURST, KEY_SECONDS, Decorator, Peer, PlainCall, Take, rejecting


def _limiter(rate: float, burst: int) -> Limiter:
    whole = rate if rate >= 1 else 1
    return Limiter(
        StateBucket([Rate(int(whole), int(1000 * whole / rate), burst)], algorithm=TokenBucket()), buffer_ms=0
    )


def limiter(rate: float, burst: int) -> Decorator:
    limited = _limiter(rate, burst)
    return rejecting(
        partial(limited.try_acquire, "orders", blocking=False),
        partial(limited.try_acquire_async, "orders", blocking=False),
    )


def waiting_limiter(rate: float, burst: int) -> Decorator:
    limited = _limiter(rate, burst)
    return rejecting(partial(limited.try_acquire, "orders"), partial(limited.try_acquire_async, "orders"))


class _OneForEachKey(BucketFactory):
    def __init__(self) -> None:
        self._clock = MonotonicClock()
        self._buckets: dict[str, StateBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, self._clock.now(), weight=weight)

    def get(self, item: RateItem) -> StateBucket:
        bucket = self._buckets.get(item.name)
        if bucket is None:
            bucket = self._buckets[item.name] = StateBucket(
                [Rate(1, 1000 * KEY_SECONDS, KEY_BURST)], algorithm=TokenBucket()
            )
        return bucket


def keyed_limiter(_keys: int) -> Take:
    limited = Limiter(_OneForEachKey())

    def take(key: str) -> PlainCall:
        return limited.try_acquire(key, blocking=False)

    return take


PEER = Peer(
    label="pyrate-limiter",
    module="pyrate_limiter",
    distributions=("pyrate-limiter",),
    limiter=limiter,
    waiting_limiter=waiting_limiter,
    keyed_limiter=keyed_limiter,
    notes={
        "limiter": "whole milliseconds; rejects while another thread is inside",
        "waiting_limiter": "waits behind a lock, one at a time",
        "keyed_limiter": "unbounded; the dictionary of buckets is the user's",
    },
)
