"""A limiter leaves nothing for the garbage collector, whatever becomes of a call."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from omnibase_infra.infrastructure.resilience import TokenBucketLimiter, create_database_rate_limiter


async def fine() -> None:
    return None


async def failing() -> None:
    raise ConnectionError


def garbage_of(limiter: TokenBucketLimiter, fn: Callable[[], object]) -> int:
    guarded = limiter(fn)

    async def main() -> int:
        for calls in (3, 100):
            gc.collect()
            for _ in range(calls):
                try:
                    await guarded()
                except Exception:
                    pass
        return gc.collect()

    gc.disable()
    try:
        return asyncio.run(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("fn", [fine, failing])
@pytest.mark.parametrize("translate", [False, True])
@pytest.mark.parametrize("rate", [1e9, 1e-9], ids=["admitted", "rejected"])
def test_no_call_leaves_cyclic_garbage(fn: Callable[[], object], translate: bool, rate: float) -> None:
    assert garbage_of(create_database_rate_limiter(rate, max(1, rate), translate=translate), fn) == 0
