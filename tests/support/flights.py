"""Threads that start together, and work that lasts until others wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from omnibase_infra.infrastructure.resilience.single_flight import SingleFlight

T = TypeVar("T")


def in_threads(count: int, work: Callable[[], T]) -> list[T | Exception]:
    """What each thread returned or raised."""
    together = threading.Barrier(count)

    def one() -> T | Exception:
        together.wait()
        try:
            return work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(one) for _ in range(count)]]


class Gate:
    """Called within shared work: returns once as many threads as expected wait for that; counts its calls."""

    def __init__(self, flights: SingleFlight[T], waiting: int) -> None:
        self.flights = flights
        self.waiting = waiting
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        (flight,) = self.flights._in_threads.values()
        while len(flight.done._cond._waiters) < self.waiting:
            threading.Event().wait(0.001)
        return self.calls
