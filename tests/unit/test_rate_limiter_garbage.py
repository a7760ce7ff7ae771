"""A limiter leaves nothing for the garbage collector, whatever becomes of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.garbage import garbage_of_async

from omnibase_infra.infrastructure.resilience import create_database_rate_limiter


async def fine() -> None:
    return None


async def failing() -> None:
    raise ConnectionError


@pytest.mark.parametrize("fn", [fine, failing])
@pytest.mark.parametrize("translate", [False, True])
@pytest.mark.parametrize("rate", [1e9, 1e-9], ids=["admitted", "rejected"])
def test_no_call_leaves_cyclic_garbage(fn: Callable[[], Awaitable[None]], translate: bool, rate: float) -> None:
    guarded = create_database_rate_limiter(rate, max(1, rate), translate=translate)(fn)

    async def many() -> None:
        for _ in range(100):
            try:
                await guarded()
            except Exception:
                pass

    assert asyncio.run(garbage_of_async(many)) == 0
