"""The three policies with numbers under which each shows at once whether it guards a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from omnibase_infra.errors import InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    TokenBucketLimiter,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)

Policy = InfrastructureCircuitBreaker | InfrastructureRetryPolicy | TokenBucketLimiter

T = TypeVar("T")

POLICIES: dict[str, Callable[[], Policy]] = {
    "breaker": lambda: create_database_circuit_breaker(1, clock=lambda: 0.0),
    "retry": lambda: create_database_retry_policy(3, 0, 0, sleep=lambda _: None),
    "limiter": lambda: create_database_rate_limiter(1, 1, clock=lambda: 0.0),
}


class Body:
    """What the guarded callable does: doubles its argument, after as many failures as it was told to have."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self, x: int) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError("the server is gone")
        return 2 * x


def assert_guarded(kind: str, body: Body, run: Callable[[int], int]) -> None:
    """Prove by its own effect that the policy stands around the body."""
    if kind == "breaker":
        body.failures = 1
        with pytest.raises(ConnectionError):
            run(1)
        with pytest.raises(InfraUnavailableError, match="Circuit breaker open"):
            run(2)
        assert body.calls == 1
    elif kind == "retry":
        body.failures = 2
        assert run(4) == 8
        assert body.calls == 3
    else:
        assert run(4) == 8
        with pytest.raises(InfraRateLimitedError):
            run(2)
        assert body.calls == 1
