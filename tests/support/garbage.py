"""What a call leaves behind that only a garbage collection finds."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final

ROUNDS: Final = 3
"""The first fills caches. What a call leaves it leaves in every round; what another thread does, as the one by which
the test runner hears of its next tests, falls into one of them."""


def garbage_of(work: Callable[[], object]) -> int:
    """How many objects are left to the garbage collector each time."""
    found: list[int] = []
    with _by_hand():
        for _ in range(ROUNDS):
            gc.collect()
            work()
            found.append(gc.collect())
    return min(found[1:])


async def garbage_of_async(work: Callable[[], Awaitable[object]]) -> int:
    """How many objects a coroutine leaves to the garbage collector each time."""
    found: list[int] = []
    with _by_hand():
        for _ in range(ROUNDS):
            gc.collect()
            await work()
            found.append(gc.collect())
    return min(found[1:])


@contextmanager
def _by_hand() -> Generator[None]:
    gc.collect()
    gc.freeze()  # what other tests hold need not be walked through each time
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
