"""The container, its services, and what the wiring puts into it."""

from __future__ import annotations

import asyncio
from typing import Protocol, runtime_checkable

import pytest

from omnibase_infra.enums import EnumInfraTransportType
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy
from omnibase_infra.runtime import ModelONEXContainer, RegistryPolicy, RegistryService, wire_infrastructure_services


class Repository:
    pass


class CachedRepository(Repository):
    pass


@runtime_checkable
class Closable(Protocol):
    def close(self) -> None: ...


class Unchecked(Protocol):
    def close(self) -> None: ...


class Connection:
    def close(self) -> None: ...


def test_a_service_is_found_by_the_type_it_was_registered_under():
    registry, service = RegistryService(), CachedRepository()
    registry.register_instance(Repository, service)
    assert registry.resolve_service(Repository) is service
    with pytest.raises(ProtocolConfigurationError, match="no CachedRepository is registered, but Repository;"):
        registry.resolve_service(CachedRepository)


def test_a_service_is_found_by_awaiting_too():
    registry, service = RegistryService(), Repository()
    registry.register_instance(Repository, service)
    assert asyncio.run(registry.resolve_service_async(Repository)) is service
    with pytest.raises(ProtocolConfigurationError, match="no Connection is registered"):
        asyncio.run(registry.resolve_service_async(Connection))


def test_a_name_tells_services_of_one_type_apart():
    registry, first, second = RegistryService(), Repository(), Repository()
    registry.register_instance(Repository, first, "orders")
    registry.register_instance(Repository, second, "users")
    assert registry.resolve_service(Repository, "orders") is first
    assert registry.resolve_service(Repository, "users") is second
    with pytest.raises(ProtocolConfigurationError, match="but Repository 'orders', Repository 'users'"):
        registry.resolve_service(Repository)


def test_a_checkable_protocol_is_a_type_to_be_found_by():
    registry, service = RegistryService(), Connection()
    registry.register_instance(Closable, service)
    assert registry.resolve_service(Closable) is service


def test_an_empty_container_says_that_nothing_is_registered():
    with pytest.raises(ProtocolConfigurationError, match=r"but nothing; has wire_infrastructure_services\(container\)"):
        ModelONEXContainer().service_registry.resolve_service(Repository)


@pytest.mark.parametrize(
    ("interface", "instance", "name", "message"),
    [
        (Repository, Connection(), None, "instance = .*Connection.*: must be an instance of Repository"),
        (Closable, Repository(), None, "must be an instance of Closable"),
        (Unchecked, Connection(), None, "Unchecked is a protocol that nothing can be checked against"),
        ("Repository", Repository(), None, "interface = .*: must be a class"),
        (Repository, Repository(), "  ", "name = .*: must be text that is not blank"),
    ],
)
def test_a_registration_that_could_not_be_found_again_is_refused(
    interface: type, instance: object, name: str | None, message: str
):
    registry = RegistryService()
    with pytest.raises(ProtocolConfigurationError, match=message):
        registry.register_instance(interface, instance, name)
    assert registry.registered() == ()


def test_no_service_takes_the_place_of_another_without_saying_so():
    registry, first, second = RegistryService(), Repository(), Repository()
    registry.register_instance(Repository, first)
    with pytest.raises(ProtocolConfigurationError, match="Repository is registered already; say replace=True"):
        registry.register_instance(Repository, second)
    assert registry.resolve_service(Repository) is first
    registry.register_instance(Repository, second, replace=True)
    assert registry.resolve_service(Repository) is second


def wired(**arguments: object) -> RegistryService:
    container = ModelONEXContainer()
    wire_infrastructure_services(container, **arguments)
    return container.service_registry


def test_the_wiring_registers_a_pipeline_for_each_transport_and_a_policy_registry():
    registry = wired()
    transports = ("database", "network", "kafka", "vault", "consul", "valkey", "grpc")
    assert registry.registered() == ("RegistryPolicy", *(f"ResiliencePipeline '{name}'" for name in transports))
    assert isinstance(registry.resolve_service(RegistryPolicy), RegistryPolicy)
    assert registry.resolve_service(ResiliencePipeline, "kafka").transport is EnumInfraTransportType.KAFKA


def policy(pipeline: ResiliencePipeline, kind: type) -> object:
    (found,) = (known for known in pipeline.policies if isinstance(known, kind))
    return found


def test_a_pipeline_has_the_settings_of_the_loaded_presets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MAX_ATTEMPTS", "2")
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__CIRCUIT_BREAKER__FAILURE_THRESHOLD", "7")
    registry = wired(services={"orders": EnumInfraTransportType.DATABASE})
    orders = registry.resolve_service(ResiliencePipeline, "orders")
    database = registry.resolve_service(ResiliencePipeline, "database")
    for pipeline, threshold in ((orders, 7), (database, 5)):
        assert policy(pipeline, InfrastructureRetryPolicy).max_attempts == 2
        assert policy(pipeline, InfrastructureCircuitBreaker).failure_threshold == threshold
    assert orders.name == "orders"


def test_a_resolved_pipeline_guards_a_function():
    pipeline = wired().resolve_service(ResiliencePipeline, "valkey")

    @pipeline
    async def get(key: str) -> str:
        return key.upper()

    assert asyncio.run(get("a")) == "A"


def test_two_containers_share_no_circuit():
    first, second = (
        policy(wired().resolve_service(ResiliencePipeline, "grpc"), InfrastructureCircuitBreaker) for _ in range(2)
    )
    first.trip()
    assert first.opened
    assert not second.opened


def test_a_container_is_wired_once():
    container = ModelONEXContainer()
    wire_infrastructure_services(container)
    registry, before = container.service_registry, container.service_registry.resolve_service(RegistryPolicy)
    with pytest.raises(ProtocolConfigurationError, match="RegistryPolicy is registered already"):
        wire_infrastructure_services(container)
    assert registry.resolve_service(RegistryPolicy) is before


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ({"kafka": EnumInfraTransportType.KAFKA}, "services = .*: must be other names than those of the presets"),
        ({"orders": EnumInfraTransportType.RUNTIME}, "services = .*: must be transports among db, http"),
        ({"orders": "database"}, "services = .*: must be transports among"),
    ],
)
def test_a_service_that_cannot_be_wired_leaves_the_container_as_it_was(services: dict[str, object], message: str):
    container = ModelONEXContainer()
    with pytest.raises(ProtocolConfigurationError, match=message):
        wire_infrastructure_services(container, services)
    assert container.service_registry.registered() == ()


def test_a_wrong_preset_is_told_when_the_container_is_wired(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEX_RESILIENCE__VAULT__RETRY__MAX_ATTEMPTS", "0")
    container = ModelONEXContainer()
    with pytest.raises(ProtocolConfigurationError, match="MAX_ATTEMPTS"):
        wire_infrastructure_services(container)
    assert container.service_registry.registered() == ()
