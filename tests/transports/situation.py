"""One way in which a driver can fail, and what it is to us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType


@dataclass(frozen=True, slots=True)
class Situation:
    """A row of the table of failures: how to build the driver's own exception, and how it is classified."""

    driver: str
    situation: str
    make: Callable[[], BaseException]
    kind: EnumFailureKind
    sent: bool
    transport: EnumInfraTransportType
