"""One decorator with a config for each part; rate and burst are one number to it, the period makes up for it."""

from __future__ import annotations

from pyresilience import (
    BulkheadConfig,
    CircuitBreakerConfig,
    FallbackConfig,
    RateLimiterConfig,
    RetryBudgetConfig,
    RetryConfig,
    TimeoutConfig,
    resilient,
)

from benchmarks.peers.peer import ATTEMPTS, BURST, FAILURES, RATE, Decorator, Peer


def _retry() -> RetryConfig:
    return RetryConfig(max_attempts=ATTEMPTS, delay=0.0, max_delay=0.0, jitter=False, retry_on=(ConnectionError,))


def _budget() -> RetryBudgetConfig:
    return RetryBudgetConfig(max_retries=10, refill_rate=1.0)


def _breaker(seconds: float) -> CircuitBreakerConfig:
    return CircuitBreakerConfig(failure_threshold=FAILURES, recovery_timeout=seconds, success_threshold=1)


def _limiter(rate: float, burst: int, max_wait: float = 0.0) -> RateLimiterConfig:
    return RateLimiterConfig(max_calls=burst, period=burst / rate, max_wait=max_wait)


def retry() -> Decorator:
    return resilient(retry=_retry())


def budgeted_retry() -> Decorator:
    return resilient(retry=_retry(), retry_budget=_budget())


def bounded_retry(seconds: float) -> Decorator:
    return resilient(retry=_retry(), timeout=TimeoutConfig(seconds=seconds, per_attempt=False))


def breaker(seconds: float) -> Decorator:
    return resilient(circuit_breaker=_breaker(seconds))


def limiter(rate: float, burst: int) -> Decorator:
    return resilient(rate_limiter=_limiter(rate, burst))


def waiting_limiter(rate: float, burst: int) -> Decorator:
    return resilient(rate_limiter=_limiter(rate, burst, 3600.0))


def timeout(seconds: float) -> Decorator:
    return resilient(timeout=TimeoutConfig(seconds=seconds))


def bulkhead(limit: int) -> Decorator:
    return resilient(bulkhead=BulkheadConfig(max_concurrent=limit, max_wait=0.0))


def stack() -> Decorator:
    return resilient(
        retry=_retry(), retry_budget=_budget(), circuit_breaker=_breaker(60.0), rate_limiter=_limiter(RATE, BURST)
    )


def full_stack() -> Decorator:
    return resilient(
        retry=_retry(),
        retry_budget=_budget(),
        circuit_breaker=_breaker(60.0),
        rate_limiter=_limiter(RATE, BURST),
        bulkhead=BulkheadConfig(max_concurrent=100, max_wait=0.0),
        timeout=TimeoutConfig(seconds=10.0),
        fallback=FallbackConfig(handler=None),
    )


PEER = Peer(
    label="pyresilience",
    module="pyresilience",
    distributions=("pyresilience",),
    typed=(
        "from pyresilience import CircuitBreakerConfig, resilient",
        "resilient(circuit_breaker=CircuitBreakerConfig())",
    ),
    retry=retry,
    budgeted_retry=budgeted_retry,
    bounded_retry=bounded_retry,
    breaker=breaker,
    limiter=limiter,
    waiting_limiter=waiting_limiter,
    timeout=timeout,
    bulkhead=bulkhead,
    stack=stack,
    full_stack=full_stack,
    kinds={"full_stack": frozenset({"async"})},
    notes={
        "breaker": "no half-open limit, no generations",
        "limiter": "its async limiter has no lock",
        "waiting_limiter": "no lock, wakes up every 10 ms, no order",
        "stack": "no half-open limit, no lock around the limiter",
        "full_stack": "one timeout; no half-open limit",
        "budgeted_retry": "a number of retries with a refill, not a share of the traffic",
    },
)
