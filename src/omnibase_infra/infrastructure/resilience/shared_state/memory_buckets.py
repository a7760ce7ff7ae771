"""Buckets by key in the memory of this process, with the answers that the script gives on a server."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule
from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Place, Request

MAX_KEYS: Final = 1_000_000
"""Buckets kept at most, at some 200 bytes each."""

_FULL: Final = (-math.inf, 0.0)

_LOOKED_AT: Final = 4
"""Buckets that a new one looks at, to drop those that are full: more than one, so that their number falls."""


class MemoryBuckets:
    """Token buckets by the rule in `rules/token_bucket.py`. Safe under threads; nothing in it waits.

    Memory is bounded. A bucket is dropped only when it is full again, so that no key gets rid of its limit by others
    crowding it out; while every bucket is in use and `max_keys` is reached, takes of new keys are refused.

    Args:
        max_keys: Buckets kept at most.
        clock: Monotonic time in seconds.
    """

    def __init__(self, *, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._origin = clock()
        self._lock = threading.Lock()
        # When each is full, and the depth it was last used with.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._crowded_until = 0.0

    def __len__(self) -> int:
        """Buckets kept now."""
        return len(self._buckets)

    def take(self, key: str, request: Request) -> Booking:
        """Take tokens, or book a place for them, or say when to ask again."""
        cost, depth = request.cost, request.depth
        within = rule.reach(depth)
        with self._lock:
            now = self._clock() - self._origin
            kept = self._buckets.get(key)
            if kept is None and cost and not self._has_room(now):
                return Booking(granted=False, wait=self._crowded_until - now)
            full_at, depth_then = kept or (now, depth)
            full_at = max(now, full_at if depth >= depth_then else min(full_at, now + depth))
            wait = full_at - now + cost - depth
            patience = max(within - depth, request.patience)
            booked = rule.take(full_at, now, cost, depth + patience)
            extra = 0
            if booked is not None and cost and request.extra:
                spare = math.floor((within - (booked - now)) / request.unit)
                extra = max(0, min(request.extra, spare))
                booked += extra * request.unit
            if booked is not None and cost:
                self._buckets[key] = booked, depth
            elif kept is not None:
                self._buckets[key] = full_at, depth
        full_at = full_at if booked is None else booked
        wait = 0.0 if wait <= within - depth else wait
        return Booking(booked is not None, wait, max(0.0, full_at - now), extra, full_at)

    def note(self, key: str, cost: float, depth: float) -> None:
        """Take what was granted elsewhere, as far as the bucket has it."""
        with self._lock:
            now = self._clock() - self._origin
            full_at = max(now, self._buckets.get(key, _FULL)[0])
            self._buckets[key] = min(full_at + cost, now + depth), depth

    def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:
        """Give back what was taken, if nobody has taken since; whether it was."""
        with self._lock:
            kept = self._buckets.get(key)
            if kept is None or abs(kept[0] - float(place)) > rule.reach(depth) - depth:
                return False
            self._buckets[key] = kept[0] - cost, kept[1]
            return True

    def clear(self, key: str) -> None:
        """Fill one bucket."""
        with self._lock:
            self._buckets.pop(key, None)

    def reset(self) -> int:
        """Fill every bucket; how many there were."""
        with self._lock:
            count = len(self._buckets)
            self._buckets.clear()
            self._crowded_until = 0.0
            return count

    def _has_room(self, now: float) -> bool:
        """Drop a few that are full, so that a further one fits in. The caller holds the lock."""
        for _ in range(min(_LOOKED_AT, len(self._buckets))):
            key, (full_at, _) = next(iter(self._buckets.items()))
            if full_at <= now:
                del self._buckets[key]
            else:
                self._buckets.move_to_end(key)
        if len(self._buckets) < self._max_keys:
            return True
        if now >= self._crowded_until:
            kept = ((key, bucket) for key, bucket in self._buckets.items() if bucket[0] > now)
            self._buckets = OrderedDict(kept)
            full = len(self._buckets) >= self._max_keys
            self._crowded_until = min(bucket[0] for bucket in self._buckets.values()) if full else 0.0
        return len(self._buckets) < self._max_keys
