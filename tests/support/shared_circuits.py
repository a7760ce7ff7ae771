"""What tests of shared circuits need: workers that share nothing but the store, and a wait for what they hear."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from omnibase_infra.infrastructure.resilience import InfrastructureCircuitBreaker
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

PATIENCE = 10.0
_workers = itertools.count(1)


def asleep(port: int, name: str, scheme: str = "valkey", **settings: object) -> InfrastructureCircuitBreaker:
    """A breaker with a link of its own, as in a process of its own: it trips alone, at the second failure."""
    of_sharing = {key: settings.pop(key) for key in tuple(settings) if key in ModelSharedCircuitConfig.model_fields}
    clock = settings.pop("clock", time.monotonic)
    password = f":{settings.pop('password')}@" if "password" in settings else ""
    url = f"{scheme}://{password}127.0.0.1:{port}/0?client_name=worker-{next(_workers)}"
    shared = ModelSharedCircuitConfig(**{"url": url, "quorum": 1, "patience": 1.0, "timeout": 1.0, **of_sharing})
    plain = {"failure_threshold": 2, "success_threshold": 1, "recovery_timeout": 60.0, **settings}
    return InfrastructureCircuitBreaker(ModelCircuitBreakerConfig(shared=shared, **plain), name=name, clock=clock)


def worker(port: int, name: str, scheme: str = "valkey", **settings: object) -> InfrastructureCircuitBreaker:
    """The same, once it follows the store."""
    breaker = asleep(port, name, scheme, **settings)
    breaker.call(fine)
    until(lambda: link_of(breaker).is_up)
    return breaker


def fine() -> str:
    return "fine"


def link_of(breaker: InfrastructureCircuitBreaker):
    return breaker._follower._link


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.001)
