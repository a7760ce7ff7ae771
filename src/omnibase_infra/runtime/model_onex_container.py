"""What a service's parts are given, so that they find one another."""

from __future__ import annotations

from typing import Final

from omnibase_infra.runtime.registry_service import RegistryService


class ModelONEXContainer:
    """Holds the services of one process, or of one test.

    ::

        container = ModelONEXContainer()
        wire_infrastructure_services(container)
        policies = container.service_registry.resolve_service(RegistryPolicy)

    Attributes:
        service_registry: The services, by type.
    """

    def __init__(self) -> None:
        self.service_registry: Final = RegistryService()
