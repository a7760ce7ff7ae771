"""Fills a container with what this package offers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from omnibase_infra.enums import EnumInfraTransportType
from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.runtime.model_onex_container import ModelONEXContainer
from omnibase_infra.runtime.registry_policy import RegistryPolicy

_NO_SERVICES: Final[Mapping[str, EnumInfraTransportType]] = MappingProxyType({})


def wire_infrastructure_services(
    container: ModelONEXContainer, services: Mapping[str, EnumInfraTransportType] = _NO_SERVICES
) -> None:
    """Register the pipelines of the loaded presets, and a `RegistryPolicy`.

    A pipeline is asked for by its type and a name: ``resolve_service(ResiliencePipeline, "database")``. There is one
    for each transport, under the name of its preset, and one for each service that is given. Each container gets its
    own, so two containers share no circuit. It does no I/O, hence there is nothing to await.

    Args:
        container: The container to fill.
        services: Transports of named services, such as ``{"orders": EnumInfraTransportType.DATABASE}``, whose settings
            are ``[services.orders]`` over those of the transport.

    Raises:
        ProtocolConfigurationError: When a preset is wrong, two names are one, or the container is wired already; then
            the container stays as it was.
    """
    by_transport = {factory.transport: factory for factory in FACTORIES.values()}
    pipelines = {section: factory() for section, factory in FACTORIES.items()}
    for service, transport in services.items():
        if service in pipelines:
            raise refused("services", service, "other names than those of the presets")
        if transport not in by_transport:
            raise refused("services", transport, f"transports among {', '.join(by_transport)}")
        pipelines[service] = by_transport[transport](service=service)
    registry = container.service_registry
    registry.register_instance(RegistryPolicy, RegistryPolicy())
    for name, pipeline in pipelines.items():
        registry.register_instance(ResiliencePipeline, pipeline, name)
