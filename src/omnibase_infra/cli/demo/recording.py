"""What happened in one run of the demo, as plain data. Times are seconds since the start of the workload."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from omnibase_infra.enums import EnumCircuitState

Outcome = Literal["success", "rejected", "failed"]
"""How a call ended for its caller; rejected: one of the policies refused it, and the database was not asked."""


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call of the protected function."""

    at: float
    outcome: Outcome
    queries: int
    """How often the database was asked for this one call."""
    error_type: str | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One time the database itself was asked."""

    at: float
    server_up: bool


@dataclass(frozen=True, slots=True)
class StateChange:
    """The circuit came into this state."""

    at: float
    state: EnumCircuitState


@dataclass(slots=True)
class Recording:
    """All samples of one run, in the order in which they came."""

    calls: list[Call] = field(default_factory=list[Call])
    queries: list[Query] = field(default_factory=list[Query])
    retries: list[float] = field(default_factory=list[float])
    states: list[StateChange] = field(default_factory=lambda: [StateChange(0.0, EnumCircuitState.CLOSED)])
    crashed_at: float | None = None
    restored_at: float | None = None
    ended_at: float = 0.0
    foreign_errors: Counter[str] = field(default_factory=Counter[str])
    """Types of exceptions outside the ONEX family that came out of the protected function."""
    texts_searched: int = 0
    leaks: Counter[str] = field(default_factory=Counter[str])
    """Where a secret was found, for example `str(InfraConnectionError)`."""

    @property
    def state(self) -> EnumCircuitState:
        """The circuit's last known state."""
        return self.states[-1].state
