"""What the type checkers see of the documents' helpers, of the container, and of the policy registry."""

from __future__ import annotations

from typing import assert_type
from uuid import uuid4

from omnibase_infra.enums import EnumInfraTransportType
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    create_database_circuit_breaker,
    retry_with_exponential_backoff,
)
from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline
from omnibase_infra.mixins import MixinAsyncCircuitBreaker
from omnibase_infra.runtime import (
    ModelONEXContainer,
    ModelPolicyRegistration,
    RegistryPolicy,
    wire_infrastructure_services,
)


async def fetch(key: int) -> str:
    return str(key)


def count() -> int:
    return 1


class Adapter(MixinAsyncCircuitBreaker):
    def __init__(self) -> None:
        self._init_circuit_breaker(
            threshold=5, reset_timeout=60.0, service_name="orders", transport_type=EnumInfraTransportType.HTTP
        )

    async def connect(self) -> float:
        async with self._circuit_breaker_lock:
            await self._check_circuit_breaker("connect", uuid4())
            assert_type(self._circuit_breaker_open, bool)
            assert_type(self._circuit_breaker_failures, int)
            assert_type(self.service_name, str)
            return self._circuit_breaker_open_until


async def main() -> None:
    async def connect() -> list[int]:
        return [1]

    assert_type(await retry_with_exponential_backoff(operation=connect, max_attempts=5, base_delay=1.0), list[int])
    assert_type(await retry_with_exponential_backoff(lambda: fetch(1), correlation_id=uuid4()), str)
    assert_type(await retry_with_exponential_backoff(count), int)

    container = ModelONEXContainer()
    wire_infrastructure_services(container)
    registry = container.service_registry
    assert_type(registry.resolve_service(ResiliencePipeline, "database"), ResiliencePipeline)
    assert_type(await registry.resolve_service_async(RegistryPolicy), RegistryPolicy)

    policies = registry.resolve_service(RegistryPolicy)
    breaker = create_database_circuit_breaker()
    line = policies.register(breaker, service="orders", name="writes", version="1.0.0", registered_by="orders.startup")
    assert_type(line, ModelPolicyRegistration)
    found = policies.resolve(InfrastructureCircuitBreaker, service="orders", name="writes")
    assert_type(found, InfrastructureCircuitBreaker)
