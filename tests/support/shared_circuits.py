"""What tests of shared circuits need: workers that share nothing but the store, and a wait for what they hear."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from omnibase_infra.infrastructure.resilience import InfrastructureCircuitBreaker, KeyedCircuitBreaker
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

PATIENCE = 10.0
_workers = itertools.count(1)


def asleep(store: int | str, name: str, scheme: str = "valkey", **settings: object) -> InfrastructureCircuitBreaker:
    """A breaker with a link of its own, as in a process of its own: it trips alone, at the second failure.

    Args:
        store: The port of a server, or a URL. With options in it, the link is that of all with the same.
        name: Of the circuit.
        scheme: Of the URL, with a port.
        settings: Of the circuit, and of how it is shared.
    """
    shared = sharing(store, scheme, settings)
    clock = settings.pop("clock", time.monotonic)
    plain = {"failure_threshold": 2, "success_threshold": 1, "recovery_timeout": 60.0, **settings}
    return InfrastructureCircuitBreaker(ModelCircuitBreakerConfig(shared=shared, **plain), name=name, clock=clock)


def keyed(store: int | str, name: str, *, max_keys: int = 100, **settings: object) -> KeyedCircuitBreaker:
    """The same with a circuit for each key, which is the argument of the call."""
    shared = sharing(store, "valkey", settings)
    clock = settings.pop("clock", time.monotonic)
    plain = {"failure_threshold": 2, "success_threshold": 1, "recovery_timeout": 60.0, **settings}
    template = InfrastructureCircuitBreaker(ModelCircuitBreakerConfig(**plain), clock=clock)
    return KeyedCircuitBreaker(template, key=lambda key, *_: key, name=name, max_keys=max_keys, shared=shared)


def sharing(store: int | str, scheme: str, settings: dict[str, object]) -> ModelSharedCircuitConfig:
    """How a worker shares, with a link of its own; its part of the settings is taken out of them."""
    of_sharing = {key: settings.pop(key) for key in tuple(settings) if key in ModelSharedCircuitConfig.model_fields}
    password = f":{settings.pop('password')}@" if "password" in settings else ""
    plain = store if isinstance(store, str) else f"{scheme}://{password}127.0.0.1:{store}/0"
    url = plain if "?" in plain else f"{plain}?client_name=worker-{next(_workers)}"
    return ModelSharedCircuitConfig(**{"url": url, "quorum": 1, "patience": 1.0, "timeout": 1.0, **of_sharing})


def worker(store: int | str, name: str, scheme: str = "valkey", **settings: object) -> InfrastructureCircuitBreaker:
    """The same as `asleep`, once it follows the store."""
    breaker = asleep(store, name, scheme, **settings)
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
