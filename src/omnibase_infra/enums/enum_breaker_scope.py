"""What a pipeline's circuit breaker counts."""

from enum import StrEnum


class EnumBreakerScope(StrEnum):
    """Each attempt, or the whole call with all its attempts."""

    ATTEMPT = "attempt"
    CALL = "call"
