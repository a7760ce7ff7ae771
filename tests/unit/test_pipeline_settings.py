"""Settings that contradict each other are refused, wasteful ones warned of, both with the arithmetic."""

from __future__ import annotations

import warnings

import pytest

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    InfrastructureRetryPolicy,
    ResilienceWarning,
    RetryBudget,
    Timeout,
    TokenBucketLimiter,
    create_database_circuit_breaker,
    create_database_hedge,
    create_database_retry_policy,
    resilience,
)
from omnibase_infra.infrastructure.resilience.pipeline_order import Policy
from omnibase_infra.models.resilience import ModelRetryBudgetConfig


def retry(attempts: int = 3, min_wait: float = 1, max_wait: float = 4, **settings: float) -> InfrastructureRetryPolicy:
    return create_database_retry_policy(attempts, min_wait, max_wait, **settings)  # type: ignore[arg-type]


def waiting(seconds: float | None) -> TokenBucketLimiter:
    return TokenBucketLimiter(1, 1, on_limit="wait", timeout=seconds)


@pytest.mark.parametrize(
    ("policies", "refused"),
    [
        ((Timeout(5), retry(), Timeout(6)), r"attempt timeout = 6 s: must be at most the total timeout = 5 s"),
        ((Timeout(1), retry(), Timeout(0.1)), r"min_wait = 1 s: must be below the total timeout = 1 s"),
        ((retry(max_elapsed=1), Timeout(0.1)), r"min_wait = 1 s: must be below max_elapsed = 1 s"),
    ],
)
def test_a_setting_that_could_never_take_effect_is_refused(policies: tuple[Policy, ...], refused: str) -> None:
    with pytest.raises(ProtocolConfigurationError, match=refused):
        resilience(*policies)


@pytest.mark.parametrize(
    ("policies", "warned"),
    [
        (
            (Timeout(20.9), retry(), Timeout(5)),  # 3 × 5 + min(4, 1 × 2) + min(4, 1 × 4)
            "3 attempts × 5 s + waits of up to 6 s = 21 s exceed the total timeout of 20.9 s: the last attempts are",
        ),
        ((retry(max_elapsed=20), Timeout(5)), "= 21 s exceed max_elapsed of 20 s"),
        ((Timeout(30), retry(max_elapsed=31), Timeout(5)), "max_elapsed = 31 s ends nothing: the total timeout does"),
        (
            (create_database_circuit_breaker(recovery_timeout=4.9), Timeout(5)),
            "recovery_timeout = 4.9 s is shorter than an attempt of 5 s",
        ),
        (
            (Timeout(5), create_database_circuit_breaker(recovery_timeout=4.9)),
            "recovery_timeout = 4.9 s is shorter than an attempt of 5 s",
        ),
        (
            (
                create_database_circuit_breaker(failure_rate=0.5, window=10, minimum_calls=26),
                TokenBucketLimiter(2, 5),
            ),
            "never judged: 2/s × 10 s + a burst of 5 = 25 calls at most, below minimum_calls = 26",
        ),
        ((Timeout(5), Bulkhead(1, 1, 5)), "the bulkhead lets a call wait up to 5 s, but the total timeout ends it"),
        ((Timeout(9), waiting(None)), "the rate limiter lets a call wait without end, but the total timeout ends"),
        ((retry(), Timeout(2), Bulkhead(1, 1, 3)), "the bulkhead lets a call wait up to 3 s, but the attempt timeout"),
        ((retry(), Timeout(5), Timeout(6)), "of two attempt timeouts, 5 s and 6 s inside it, the longer one ends"),
        ((Timeout(6), Timeout(5), Bulkhead(1)), "of two total timeouts, 6 s and 5 s inside it, the longer one ends"),
    ],
)  # fmt: skip
def test_a_wasteful_setting_is_warned_of_with_the_arithmetic(policies: tuple[Policy, ...], warned: str) -> None:
    with pytest.warns(ResilienceWarning) as caught:
        resilience(*policies)
    assert [warned in str(warning.message) for warning in caught] == [True]


@pytest.mark.parametrize(
    "policies",
    [
        (Timeout(21), retry(), Timeout(5)),
        (Timeout(5), retry(1), Timeout(5)),
        (Timeout(30), retry(max_elapsed=30), Timeout(5)),
        (create_database_circuit_breaker(recovery_timeout=5), Timeout(5)),
        (create_database_circuit_breaker(recovery_timeout=0), Timeout(5)),
        (create_database_circuit_breaker(recovery_timeout=1, recovery_multiplier=2), Timeout(5)),
        (create_database_circuit_breaker(failure_rate=0.5, window=10, minimum_calls=25), TokenBucketLimiter(2, 5)),
        (Timeout(5), Bulkhead(1, 0, 60)),
        (Timeout(5), Bulkhead(1, 1, 4.9)),
        (Bulkhead(1, 1, 60), Timeout(5)),
        (retry(), Timeout(5), Bulkhead(1, 1, 1), Timeout(4)),
    ],
)
def test_settings_that_just_fit_are_not_warned_of(policies: tuple[Policy, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resilience(*policies)


def test_strategies_of_the_user_s_are_not_judged_by_the_preset_s_numbers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resilience(Timeout(6), create_database_retry_policy(wait=lambda _: 0.0), Timeout(5))
        resilience(Timeout(6), create_database_retry_policy(stop=lambda _: True), Timeout(5))


def test_a_budget_that_never_grants_a_retry_is_warned_of() -> None:
    never = ModelRetryBudgetConfig(ratio=0, min_per_second=0.05, window=10)
    with pytest.warns(ResilienceWarning, match=r"never grants a retry: ratio = 0, and min_per_second = 0\.05 × 10 s"):
        resilience(create_database_retry_policy(retry_budget=never))


def test_a_hedge_that_counts_each_call_a_second_time_on_a_shared_budget_is_warned_of() -> None:
    budget = RetryBudget()
    retries = create_database_retry_policy(retry_budget=budget)
    with pytest.warns(ResilienceWarning, match="give it counts_calls=False"):
        resilience(retries, create_database_hedge(idempotent=True, retry_budget=budget))
    resilience(retries, create_database_hedge(idempotent=True, retry_budget=budget, counts_calls=False))
