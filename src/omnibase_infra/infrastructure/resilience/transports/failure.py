"""What a classifier found out about one exception."""

from __future__ import annotations

from dataclasses import dataclass

from omnibase_infra.enums import EnumFailureKind


@dataclass(slots=True, frozen=True)
class Failure:
    """A failure in our own words."""

    kind: EnumFailureKind
    decided_by: str
    """The rule that decided, for a person who asks why."""
    code: str | None = None
    """The driver's or server's own code, such as an SQLSTATE."""
    retry_after_seconds: float | None = None
    """The server's hint when to come back, seconds."""
    sent: bool = True
    """Whether the call may have taken effect: False only when it surely has not."""
    idempotent: bool | None = None
    """Whether the failed request may be repeated without harm, where its method tells; None when nothing tells."""
    retry_forbidden: bool = False
    """The server has said that it wants no other attempt, whatever its kind and whoever says it may be repeated."""
    client_attempts: int = 1
    """How often the client had tried by itself when it reported the failure, as far as the exception proves it."""
