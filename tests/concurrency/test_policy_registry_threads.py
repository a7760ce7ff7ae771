"""The registries under threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import TokenBucketLimiter
from omnibase_infra.runtime import RegistryPolicy, RegistryService

THREADS, EACH = 8, 100


def test_of_many_threads_that_register_one_version_exactly_one_succeeds():
    registry = RegistryPolicy()

    def register(number: int) -> int:
        won = 0
        for version in range(EACH):
            try:
                registry.register(
                    TokenBucketLimiter(1, 1),
                    service="orders",
                    name="writes",
                    version=f"1.0.{version}",
                    registered_by=f"thread {number}",
                )
            except ProtocolConfigurationError:
                continue
            won += 1
            registry.resolve(TokenBucketLimiter, service="orders", name="writes")
            registry.registrations()
        return won

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(register, range(THREADS))) == EACH
    assert [line.sequence for line in registry.history()] == list(range(1, EACH + 1))
    assert len(registry.registrations()) == EACH


def test_of_many_threads_that_register_one_service_exactly_one_succeeds():
    registry = RegistryService()

    def register(_: int) -> int:
        won = 0
        for number in range(EACH):
            try:
                registry.register_instance(int, number, f"service {number}")
            except ProtocolConfigurationError:
                continue
            won += 1
            assert registry.resolve_service(int, f"service {number}") == number
        return won

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(register, range(THREADS))) == EACH
    assert len(registry.registered()) == EACH
