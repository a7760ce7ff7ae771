"""Every policy by its public factory, with the database preset's numbers where the work does not set them."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers.peer import ATTEMPTS, BURST, FAILURES, KEY_BURST, KEY_SECONDS, RATE, Decorator, Peer, Take
from benchmarks.peers.peer import stacked as one_above_the_other
from omnibase_infra.infrastructure.resilience import (
    RateLimiter,
    create_database_bulkhead,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_resilience,
    create_database_retry_policy,
    create_database_timeout,
    resilience,
)


def retry() -> Decorator:
    return create_database_retry_policy(ATTEMPTS, 0.0, 0.0, retry_budget=None, idempotent=True)


def budgeted_retry() -> Decorator:
    return create_database_retry_policy(ATTEMPTS, 0.0, 0.0, idempotent=True)


def bounded_retry(seconds: float) -> Decorator:
    return create_database_retry_policy(ATTEMPTS, 0.0, 0.0, max_elapsed=seconds, idempotent=True)


def breaker(seconds: float) -> Decorator:
    return create_database_circuit_breaker(FAILURES, seconds)


def limiter(rate: float, burst: int) -> Decorator:
    return create_database_rate_limiter(rate, burst)


def waiting_limiter(rate: float, burst: int) -> Decorator:
    return create_database_rate_limiter(rate, burst, on_limit="wait")


def timeout(seconds: float) -> Decorator:
    return create_database_timeout(seconds)


def bulkhead(limit: int) -> Decorator:
    return create_database_bulkhead(limit, 0)


def stack() -> Decorator:
    return resilience(
        create_database_circuit_breaker(FAILURES, 60.0),
        create_database_retry_policy(ATTEMPTS, 0.0, 0.0, idempotent=True),
        create_database_rate_limiter(RATE, BURST),
    )


def separate_stack() -> Decorator:
    return one_above_the_other(breaker(60.0), budgeted_retry(), limiter(RATE, BURST))


def full_stack() -> Decorator:
    return create_database_resilience(
        retry=create_database_retry_policy(ATTEMPTS, 0.0, 0.0, idempotent=True),
        rate_limiter=create_database_rate_limiter(RATE, BURST),
        fallback=_instead,
    )


async def _instead(number: int) -> object:
    return number


def keyed_limiter(keys: int) -> Take:
    acquire: Callable[[str, float, float], bool] = RateLimiter(max_keys=2 * keys).acquire
    return lambda key: acquire(key, 1 / KEY_SECONDS, KEY_BURST)


def keyed_breaker(keys: int) -> Decorator:
    return create_database_circuit_breaker(FAILURES, 60.0, key=lambda key: key, max_keys=2 * keys)


PEER = Peer(
    label="onex-resilience",
    module="omnibase_infra.infrastructure.resilience",
    distributions=("onex-resilience",),
    typed=(
        "from omnibase_infra.infrastructure.resilience import create_database_circuit_breaker",
        "create_database_circuit_breaker()",
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
    separate_stack=separate_stack,
    full_stack=full_stack,
    keyed_limiter=keyed_limiter,
    keyed_breaker=keyed_breaker,
    kinds={"full_stack": frozenset({"async"})},
)
