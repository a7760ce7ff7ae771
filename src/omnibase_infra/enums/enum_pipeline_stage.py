"""The places of a pipeline, outermost first."""

from enum import StrEnum


class EnumPipelineStage(StrEnum):
    """Where a policy stands in the whole stack; the order of the members is the default order."""

    FALLBACK = "fallback"
    CALL_BREAKER = "circuit breaker of calls"
    TOTAL_TIMEOUT = "total timeout"
    RETRY = "retry"
    HEDGE = "hedge"
    ADAPTIVE_THROTTLE = "adaptive throttle"
    CIRCUIT_BREAKER = "circuit breaker"
    RATE_LIMITER = "rate limiter"
    BULKHEAD = "bulkhead"
    ATTEMPT_TIMEOUT = "attempt timeout"
    CREDENTIAL_REFRESH = "credential refresh"
