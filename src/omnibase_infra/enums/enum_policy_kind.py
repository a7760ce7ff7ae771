"""The kinds of policies that the registry lists."""

from enum import StrEnum


class EnumPolicyKind(StrEnum):
    """What a policy does with the calls it guards."""

    CIRCUIT_BREAKER = "circuit_breaker"
    """Refuses calls to what has just failed; one circuit, or one for each key."""
    RATE_LIMITER = "rate_limiter"
    """Bounds calls in a time."""
    BULKHEAD = "bulkhead"
    """Bounds calls at a time."""
    RETRY_BUDGET = "retry_budget"
    """Bounds retries as a share of the calls."""
