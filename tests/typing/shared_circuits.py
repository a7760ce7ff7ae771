"""What the type checkers see of circuits that workers share."""

from __future__ import annotations

from typing import assert_type

from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    KeyedCircuitBreaker,
    create_database_circuit_breaker,
    create_database_resilience,
)
from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline
from omnibase_infra.mixins import MixinAsyncCircuitBreaker


def host_of(host: str) -> str:
    return host


URL = "redis+cluster://127.0.0.1:1"

plain = create_database_circuit_breaker(name="orders", shared=URL, quorum=2)
keyed = create_database_circuit_breaker(name="hosts", shared=URL, key=host_of)
whole = create_database_resilience(name="payments", shared=URL, quorum=2)
kept = create_database_resilience(name="kept", shared=None)
create_database_circuit_breaker(name="wrong", shared=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(plain, InfrastructureCircuitBreaker)
assert_type(keyed, KeyedCircuitBreaker)
assert_type(whole, ResiliencePipeline)


class Service(MixinAsyncCircuitBreaker):
    def __init__(self) -> None:
        self._init_circuit_breaker(service_name="orders", shared=URL, quorum=2)
