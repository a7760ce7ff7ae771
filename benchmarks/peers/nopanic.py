"""The breaker opens at five failures of five calls in its window, the only way it counts."""

from __future__ import annotations

import nopanic

from benchmarks.peers.peer import ATTEMPTS, BURST, FAILURES, KEY_BURST, KEY_SECONDS, RATE, Decorator, Peer, Take


def retry() -> Decorator:
    return nopanic.retry(ATTEMPTS, ConnectionError, 0.0)


def budgeted_retry() -> Decorator:
    return nopanic.retry(ATTEMPTS, ConnectionError, 0.0, budget=nopanic.RetryBudget())


def bounded_retry(seconds: float) -> Decorator:
    return nopanic.retry(ATTEMPTS, ConnectionError, 0.0, max_time=seconds)


def breaker(seconds: float) -> Decorator:
    return nopanic.circuit_breaker(failure_threshold=0.5, min_calls=FAILURES, reset_timeout=seconds)


def limiter(rate: float, burst: int) -> Decorator:
    return nopanic.rate_limit(rate, burst=burst, max_wait=0.0)


def waiting_limiter(rate: float, burst: int) -> Decorator:
    return nopanic.rate_limit(rate, burst=burst)


def timeout(seconds: float) -> Decorator:
    return nopanic.timeout(seconds)


def bulkhead(limit: int) -> Decorator:
    return nopanic.bulkhead(limit, max_wait=0.0)


def stack() -> Decorator:
    return nopanic.compose(breaker(60.0), budgeted_retry(), limiter(RATE, BURST))


def full_stack() -> Decorator:
    return nopanic.compose(
        nopanic.fallback(None),
        nopanic.timeout(60.0),
        budgeted_retry(),
        breaker(60.0),
        limiter(RATE, BURST),
        bulkhead(100),
        nopanic.timeout(10.0),
    )


def keyed_limiter(keys: int) -> Take:
    policies = nopanic.keyed(
        lambda _key: nopanic.rate_limit(1, KEY_SECONDS, burst=KEY_BURST, max_wait=0.0),
        key=lambda key: key,
        maxsize=2 * keys,
    )
    granted = policies(lambda _key: True)

    def take(key: str) -> bool:
        try:
            return granted(key)
        except nopanic.RateLimited:
            return False

    return take


def keyed_breaker(keys: int) -> Decorator:
    return nopanic.keyed(lambda _key: breaker(60.0), key=lambda key: key, maxsize=2 * keys)


PEER = Peer(
    label="nopanic",
    module="nopanic",
    distributions=("nopanic",),
    typed=("import nopanic", "nopanic.circuit_breaker()"),
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
    keyed_limiter=keyed_limiter,
    keyed_breaker=keyed_breaker,
    kinds={"full_stack": frozenset({"async"})},
    notes={
        "breaker": "a failure rate over a window",
        "stack": "its breaker has a failure rate over a window",
        "full_stack": "its breaker has a failure rate over a window",
        "keyed_limiter": "drops limited keys when full",
        "keyed_breaker": "drops open circuits when full",
    },
)
