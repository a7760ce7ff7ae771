"""`AsyncPolicy` and `Policy` with one part each; a wait of zero; every class of failure opens the circuit."""

from __future__ import annotations

import inspect
from functools import partial

from redress import AsyncPolicy, AsyncRetry, Budget, CircuitBreaker, ErrorClass, Policy, Retry, default_classifier

from benchmarks.peers.peer import ATTEMPTS, FAILURES, Decorator, Peer, PlainCall


def _at_once(_context: object) -> float:
    return 0.0


def _guard(retry: dict[str, object] | None, circuit_breaker: CircuitBreaker | None) -> Decorator:
    common = {"classifier": default_classifier, "strategy": _at_once, "max_attempts": ATTEMPTS}

    def decorate(fn: PlainCall) -> PlainCall:
        if inspect.iscoroutinefunction(fn):
            part = None if retry is None else AsyncRetry(**common, **retry)
            call = AsyncPolicy(retry=part, circuit_breaker=circuit_breaker).call

            async def wrapper(number: int) -> object:
                return await call(partial(fn, number))

            return wrapper
        part = None if retry is None else Retry(**common, **retry)
        call = Policy(retry=part, circuit_breaker=circuit_breaker).call
        return lambda number: call(partial(fn, number))

    return decorate


def retry() -> Decorator:
    return _guard({}, None)


def budgeted_retry() -> Decorator:
    return _guard({"budget": Budget(max_retries=10, window_s=60.0)}, None)


def bounded_retry(seconds: float) -> Decorator:
    return _guard({"deadline_s": seconds}, None)


def breaker(seconds: float) -> Decorator:
    circuit = CircuitBreaker(failure_threshold=FAILURES, recovery_timeout_s=seconds, trip_on=set(ErrorClass))
    return _guard(None, circuit)


PEER = Peer(
    label="redress",
    module="redress",
    distributions=("redress",),
    retry=retry,
    budgeted_retry=budgeted_retry,
    bounded_retry=bounded_retry,
    breaker=breaker,
    notes={"breaker": "no generations", "budgeted_retry": "a number of retries a window, not a share of the traffic"},
)
