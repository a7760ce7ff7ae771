"""The public virtual time, by the name under which these tests know it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from omnibase_infra.testing import VirtualTimeLoop, clock, run

__all__ = ["VirtualTimeLoop", "clock", "run", "run_beside_others"]

T = TypeVar("T")


def run_beside_others(main: Coroutine[object, object, T]) -> T:
    """Run `main` on a virtual clock that no policy follows by itself: of these there may be one in each thread."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
