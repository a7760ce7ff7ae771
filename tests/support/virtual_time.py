"""An event loop on which time passes only when nothing else can happen.

`run(main())` runs a coroutine; `asyncio.sleep`, `asyncio.timeout` and every timer take no real time, and `clock()`
tells the time of the running loop, for policies that take a clock. A loop with nothing left to wait for is a deadlock
and says so, instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            if self.loop.waits_for_threads:
                return super().select(5.0)
            raise RuntimeError("deadlock: every task waits and no timer is set")
        self.loop.advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock jumps to the next timer."""

    def __init__(self, *, waits_for_threads: bool = False) -> None:
        self._now = 0.0
        self.waits_for_threads = waits_for_threads
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def run(main: Coroutine[object, object, T], *, waits_for_threads: bool = False) -> T:
    """Run `main` under virtual time that starts at 0."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(waits_for_threads=waits_for_threads)) as runner:
        return runner.run(main)


def clock() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()
