"""The breaker opens at five failures of five calls in its window, the only way it counts; one probe closes it."""

from __future__ import annotations

from interlock import BulkheadStrategy, CircuitBreaker, Config, Pipeline, Registry, TimeoutStrategy

from benchmarks.peers.peer import FAILURES, Decorator, Peer, PlainCall


def _config(seconds: float) -> Config:
    return Config(
        failure_rate_threshold=0.5,
        minimum_number_of_calls=FAILURES,
        permitted_calls_in_half_open=1,
        wait_duration_in_open=seconds,
    )


def breaker(seconds: float) -> Decorator:
    return CircuitBreaker(name="orders", config=_config(seconds))


def timeout(seconds: float) -> Decorator:
    return Pipeline(TimeoutStrategy(seconds))


def bulkhead(limit: int) -> Decorator:
    return Pipeline(BulkheadStrategy(limit))


def keyed_breaker(_keys: int) -> Decorator:
    registry = Registry(config=_config(60.0))

    def decorate(fn: PlainCall) -> PlainCall:
        async def wrapper(key: str) -> object:
            return await registry.get(key).call(fn, key)

        return wrapper

    return decorate


PEER = Peer(
    label="interlock-cb",
    module="interlock",
    distributions=("interlock-cb",),
    typed=("from interlock import CircuitBreaker, Config", 'CircuitBreaker(name="orders", config=Config())'),
    breaker=breaker,
    timeout=timeout,
    bulkhead=bulkhead,
    keyed_breaker=keyed_breaker,
    kinds={"keyed_breaker": frozenset({"async"})},
    notes={"breaker": "a failure rate over the last 100 calls", "keyed_breaker": "unbounded; a rate over 100 calls"},
)
