"""What the simulated dependency fails with: exceptions as the real drivers raise them, without the drivers.

Class, module, descent, codes and texts are those that the classifiers of `transports` look at, so that a policy decides
as it does on a real failure. The messages are made up, and hold nothing of anyone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from errno import ECONNREFUSED, EHOSTUNREACH, EPIPE
from functools import partial
from types import MappingProxyType
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.errors_of_services import consul_errors, grpc_errors, http_errors, vault_errors
from omnibase_infra.simulator.errors_of_stores import RESET, database_errors, kafka_errors, valkey_errors
from omnibase_infra.simulator.stand_ins import DriverError, Entry


def driver_error(name: str, *, retry_after: float | None = None) -> Exception:
    """A new exception, as the driver raises it.

    Args:
        name: ``<driver>.<class or situation>``, as in `CATALOGUE`: ``asyncpg.TooManyConnectionsError``, ``httpx.429``.
        retry_after: Seconds after which the server wants to be asked again. Where the driver's exceptions have no
            place for a hint it is lost, as in real life.

    Raises:
        ProtocolConfigurationError: When the catalogue has no such name.
    """
    found = CATALOGUE.get(name)
    if found is None:
        raise ProtocolConfigurationError(f"name = {unknown_error(name)}", parameter="name")
    return found.make(retry_after if found.takes_hint else None)


def unknown_error(name: str) -> str:
    """The sentence about a name that the catalogue has not: the nearest of its names, else of the drivers."""
    near = get_close_matches(name, CATALOGUE, 3)
    drivers = sorted({known.partition(".")[0] for known in CATALOGUE})
    meant = f"did you mean {' or '.join(near)}?" if near else f"allowed: errors of {', '.join(drivers)}"
    return f"{name}: unknown; {meant}"


def _builtin() -> Iterator[Entry]:
    for name, kind, make in (
        ("BrokenPipeError", Kind.CONNECTION, partial(BrokenPipeError, EPIPE, "Broken pipe")),
        ("ConnectionRefusedError", Kind.CONNECTION, partial(ConnectionRefusedError, ECONNREFUSED, "refused")),
        ("ConnectionResetError", Kind.CONNECTION, RESET),
        ("HostUnreachable", Kind.CONNECTION, partial(OSError, EHOSTUNREACH, "No route to host")),
        ("RuntimeError", Kind.CALLER, partial(RuntimeError, "not about the dependency")),
        ("TimeoutError", Kind.TIMEOUT, partial(TimeoutError, "timed out")),
        ("gaierror", Kind.CONNECTION, partial(socket.gaierror, socket.EAI_NONAME, "Name or service not known")),
    ):
        yield f"builtin.{name}", DriverError(kind, partial(_unhinted, make))


def _unhinted(make: Callable[[], Exception], _: float | None) -> Exception:
    return make()


_FAMILIES: Final = (
    *(_builtin, consul_errors, database_errors, grpc_errors, http_errors, kafka_errors, valkey_errors, vault_errors),
)

CATALOGUE: Final[Mapping[str, DriverError]] = MappingProxyType(
    dict(sorted(entry for family in _FAMILIES for entry in family()))
)
"""Every name that a scenario's errors may have: ``builtin`` for Python's own, else the driver's."""
