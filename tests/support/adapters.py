"""A class that guards its calls with the mixin, as the documents write it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from omnibase_infra.enums import EnumInfraTransportType
from omnibase_infra.mixins import MixinAsyncCircuitBreaker


class Adapter(MixinAsyncCircuitBreaker):
    def __init__(self, threshold: int | None = 3, reset_timeout: float | None = 60.0, **settings: object) -> None:
        self._init_circuit_breaker(
            threshold, reset_timeout, "orders.test", EnumInfraTransportType.KAFKA, rng=lambda: 0.0, **settings
        )

    async def check(self, operation: str = "publish", correlation_id: UUID | None = None) -> None:
        async with self._circuit_breaker_lock:
            await self._check_circuit_breaker(operation, correlation_id)

    async def failed(self, operation: str = "publish") -> None:
        async with self._circuit_breaker_lock:
            await self._record_circuit_failure(operation)

    async def succeeded(self) -> None:
        async with self._circuit_breaker_lock:
            await self._reset_circuit_breaker()

    async def call(self, work: Callable[[], Awaitable[object]]) -> object:
        """The documents' pattern: an operation that is cancelled reports nothing."""
        await self.check()
        try:
            result = await work()
        except Exception:
            await self.failed()
            raise
        await self.succeeded()
        return result

    async def fail(self, times: int = 1, error: Exception | None = None) -> None:
        raised = error or ConnectionRefusedError("refused")

        async def work() -> None:
            raise raised

        for _ in range(times):
            try:
                await self.call(work)
            except Exception as seen:
                if seen is not raised:
                    raise


async def answer() -> str:
    await asyncio.sleep(0)
    return "ok"
