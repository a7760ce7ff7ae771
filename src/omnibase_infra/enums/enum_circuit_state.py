"""The states of a circuit."""

from enum import StrEnum


class EnumCircuitState(StrEnum):
    """What a circuit breaker does with the next call."""

    CLOSED = "closed"
    """Calls pass; failures are counted."""
    OPEN = "open"
    """Calls are rejected until the recovery time is over."""
    HALF_OPEN = "half_open"
    """A few probes pass; their results decide."""
    ISOLATED = "isolated"
    """Held open by hand until ``reset()``."""
    DISABLED = "disabled"
    """Everything passes and nothing is counted until ``reset()``."""
