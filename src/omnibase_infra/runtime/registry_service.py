"""Services by their type, and by a name where there are several of one type."""

from __future__ import annotations

import threading
from typing import TypeVar, cast

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused, require_flag

T = TypeVar("T")


class RegistryService:
    """Finds a service again by the type it was registered under. May be used from any task and thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._services: dict[tuple[type, str | None], object] = {}

    def register_instance(
        self, interface: type[T], instance: T, name: str | None = None, *, replace: bool = False
    ) -> None:
        """Register a service that exists.

        Args:
            interface: The type it is asked for by: its class, a base class, or a ``@runtime_checkable`` protocol.
            instance: The service.
            name: Tells services of one type apart.
            replace: Take the place of a service that is registered already.

        Raises:
            ProtocolConfigurationError: When an argument is not usable, `instance` is no `interface`, or there is such a
                service and `replace` is not said.
        """
        require_flag(replace=replace)
        key = _key(interface, name)
        if not isinstance(instance, interface):
            raise refused("instance", instance, f"an instance of {_shown(key)}")
        with self._lock:
            if key in self._services and not replace:
                raise ProtocolConfigurationError(
                    f"interface: {_shown(key)} is registered already; say replace=True to take its place",
                    parameter="interface",
                )
            self._services[key] = instance

    def resolve_service(self, interface: type[T], name: str | None = None) -> T:
        """Return the service registered under this type and name.

        Raises:
            ProtocolConfigurationError: When there is none. The message lists those that there are.
        """
        key = _key(interface, name)
        try:
            return cast("T", self._services[key])
        except KeyError:
            known = ", ".join(self.registered()) or "nothing"
        raise ProtocolConfigurationError(
            f"interface: no {_shown(key)} is registered, but {known}; has wire_infrastructure_services(container) run?",
            parameter="interface",
        )

    async def resolve_service_async(self, interface: type[T], name: str | None = None) -> T:
        """`resolve_service`, for code that awaits its container. Never suspends.

        Raises:
            ProtocolConfigurationError: As `resolve_service`.
        """
        return self.resolve_service(interface, name)

    def registered(self) -> tuple[str, ...]:
        """What there is to resolve, in order of registration: ``Clock``, ``ResiliencePipeline 'database'``."""
        with self._lock:
            return tuple(_shown(key) for key in self._services)


def _key(interface: object, name: object) -> tuple[type, str | None]:
    if not isinstance(interface, type):
        raise refused("interface", interface, "a class")
    if getattr(interface, "_is_protocol", False) and not getattr(interface, "_is_runtime_protocol", False):
        raise ProtocolConfigurationError(
            f"interface: {interface.__qualname__} is a protocol that nothing can be checked against; "
            "decorate it with @typing.runtime_checkable",
            parameter="interface",
        )
    return interface, checked_name(name)


def _shown(key: tuple[type, str | None]) -> str:
    interface, name = key
    return interface.__qualname__ if name is None else f"{interface.__qualname__} {name!r}"
