"""The shipped bounds fit together, and fit the retries, breakers and bulkheads that are shipped beside them."""

from __future__ import annotations

import pytest

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.rules import backoff
from omnibase_infra.models.resilience import (
    ModelBulkheadConfig,
    ModelCircuitBreakerConfig,
    ModelRateLimitConfig,
    ModelRetryConfig,
    ModelTimeoutConfig,
)
from omnibase_infra.presets import resolve

TRANSPORTS = ("database", "kafka", "network", "vault", "consul", "valkey", "grpc")
each_section = pytest.mark.parametrize("section", ["defaults", *TRANSPORTS])
each_transport = pytest.mark.parametrize("section", TRANSPORTS)


def timeout(section: str) -> ModelTimeoutConfig:
    return resolve(section, "timeout", ModelTimeoutConfig)


def bulkhead(section: str) -> ModelBulkheadConfig:
    return resolve(section, "bulkhead", ModelBulkheadConfig)


@each_section
def test_all_attempts_with_their_longest_waits_fit_the_total(section: str) -> None:
    bounds, retry = timeout(section), resolve(section, "retry", ModelRetryConfig)
    assert bounds.attempt is not None
    assert bounds.total is not None
    waits = sum(backoff.ceiling(n, retry.min_wait, retry.max_wait) for n in range(1, retry.max_attempts))
    # Each attempt may have waited for its place before.
    attempts = retry.max_attempts * (bounds.attempt + bulkhead(section).max_wait)
    assert attempts + waits <= bounds.total


@each_section
def test_an_open_circuit_outlasts_an_attempt(section: str) -> None:
    attempt = timeout(section).attempt
    assert attempt is not None
    assert resolve(section, "circuit_breaker", ModelCircuitBreakerConfig).recovery_timeout >= 2 * attempt


@each_transport
def test_a_full_queue_is_served_within_its_wait_by_calls_of_a_usual_length(section: str) -> None:
    limits, attempt = bulkhead(section), timeout(section).attempt
    assert attempt is not None
    rounds = limits.max_queue / limits.max_concurrent
    assert rounds * attempt / 100 < limits.max_wait


@each_transport
def test_the_places_carry_the_limited_rate_of_calls_of_a_usual_length(section: str) -> None:
    attempt = timeout(section).attempt
    assert attempt is not None
    rate = resolve(section, "rate_limit", ModelRateLimitConfig).rate
    assert rate * attempt / 100 <= bulkhead(section).max_concurrent


def test_nothing_is_left_behind_unless_somebody_says_so() -> None:
    assert not any(timeout(section).abandon for section in ("defaults", *TRANSPORTS))


def test_the_generic_numbers_are_the_models_own() -> None:
    assert timeout("defaults") == ModelTimeoutConfig()
    assert bulkhead("defaults") == ModelBulkheadConfig()


def test_each_bound_may_be_switched_off() -> None:
    assert ModelTimeoutConfig(attempt=None).total == 120
    assert ModelTimeoutConfig(total=None, attempt=3600).attempt == 3600


def test_an_attempt_longer_than_the_total_is_refused() -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        ModelTimeoutConfig(attempt=10, total=5)
    assert caught.value.message == "attempt = 10.0: must be at most total = 5.0"
    assert ModelTimeoutConfig(attempt=5, total=5).total == 5


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("attempt", 0, "a finite number, above 0, or None"),
        ("total", -1, "a finite number, above 0, or None"),
        ("total", float("inf"), "a finite number, above 0, or None"),
        ("abandon", 1, "true or false"),
    ],
)
def test_a_wrong_bound_is_named(name: str, value: object, allowed: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        ModelTimeoutConfig(**{name: value})
    assert caught.value.message.startswith(f"{name} = {value}: must be {allowed}")
