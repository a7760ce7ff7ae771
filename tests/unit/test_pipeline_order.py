"""Which orders a pipeline takes, what it calls them, and which it refuses or warns of."""

from __future__ import annotations

import inspect
import warnings

import pytest

from omnibase_infra.enums import EnumPipelineStage as Stage
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    CredentialRefresh,
    Fallback,
    RateLimiter,
    ResiliencePipeline,
    ResilienceWarning,
    Timeout,
    create_database_adaptive_throttle,
    create_database_bulkhead,
    create_database_circuit_breaker,
    create_database_hedge,
    create_database_rate_limiter,
    create_database_resilience,
    create_database_retry_policy,
    create_stale_cache,
    resilience,
)


class Token:
    is_expired = False

    async def refresh(self) -> None:
        pass


MAKE = {
    "fallback": lambda: Fallback(value=None),
    "cache": create_stale_cache,
    "timeout": lambda: Timeout(60),
    "attempt": lambda: Timeout(5),
    "retry": create_database_retry_policy,
    "hedge": lambda: create_database_hedge(idempotent=True),
    "throttle": create_database_adaptive_throttle,
    "breaker": create_database_circuit_breaker,
    "keyed": lambda: create_database_circuit_breaker(key=lambda *_: 0),
    "limiter": create_database_rate_limiter,
    "bulkhead": create_database_bulkhead,
    "credential": lambda: CredentialRefresh(Token()),
}
EVERYTHING = "fallback timeout retry hedge throttle breaker limiter bulkhead attempt credential"


def _line() -> int:
    return inspect.stack()[1].lineno


def pipeline(names: str) -> ResiliencePipeline:
    return resilience(*(MAKE[name]() for name in names.split()))


def test_the_default_order_of_all_policies_is_named_and_printed() -> None:
    whole = pipeline(EVERYTHING)
    assert whole.stages == tuple(stage for stage in Stage if stage is not Stage.CALL_BREAKER)
    assert str(whole) == (
        "fallback → total timeout → retry → hedge → adaptive throttle → circuit breaker → rate limiter → bulkhead → "
        "attempt timeout → credential refresh → function"
    )
    lines = whole.describe().splitlines()
    assert lines[0] == " 1. fallback            answers connection, timeout, unavailable"
    assert lines[9].startswith("10. credential refresh  one renewal")


@pytest.mark.parametrize(
    ("names", "stages"),
    [
        ("breaker retry limiter", (Stage.CALL_BREAKER, Stage.RETRY, Stage.RATE_LIMITER)),
        ("retry breaker limiter", (Stage.RETRY, Stage.CIRCUIT_BREAKER, Stage.RATE_LIMITER)),
        ("keyed retry", (Stage.CALL_BREAKER, Stage.RETRY)),
        ("retry keyed breaker", (Stage.RETRY, Stage.CIRCUIT_BREAKER, Stage.CIRCUIT_BREAKER)),
        ("cache retry", (Stage.FALLBACK, Stage.RETRY)),
        ("timeout", (Stage.ATTEMPT_TIMEOUT,)),
        ("timeout credential", (Stage.ATTEMPT_TIMEOUT, Stage.CREDENTIAL_REFRESH)),
        ("timeout breaker", (Stage.TOTAL_TIMEOUT, Stage.CIRCUIT_BREAKER)),
        ("timeout retry attempt", (Stage.TOTAL_TIMEOUT, Stage.RETRY, Stage.ATTEMPT_TIMEOUT)),
        ("retry attempt breaker", (Stage.RETRY, Stage.ATTEMPT_TIMEOUT, Stage.CIRCUIT_BREAKER)),
        ("timeout limiter fallback retry", (Stage.TOTAL_TIMEOUT, Stage.RATE_LIMITER, Stage.FALLBACK, Stage.RETRY)),
    ],
)  # fmt: skip
def test_a_policy_is_named_by_where_it_stands(names: str, stages: tuple[Stage, ...]) -> None:
    assert pipeline(names).stages == stages


@pytest.mark.parametrize("hiding", ["retry", "breaker", "keyed", "hedge", "throttle", "credential"])
def test_what_stands_outside_a_fallback_and_acts_on_failures_is_refused(hiding: str) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"the fallback answers before the .* can see the failure"):
        pipeline(f"{hiding} fallback")


@pytest.mark.parametrize("twice", ["retry", "fallback", "hedge", "fallback cache"])
def test_two_policies_whose_attempts_would_multiply_are_refused(twice: str) -> None:
    first, second = (twice.split() * 2)[:2]
    with pytest.raises(ProtocolConfigurationError, match="policies: two of"):
        pipeline(f"{first} {second}")


def test_one_object_in_two_places_is_refused() -> None:
    retry = create_database_retry_policy()
    with pytest.raises(ProtocolConfigurationError, match="the InfrastructureRetryPolicy is given twice"):
        resilience(retry, Timeout(5), retry)


def test_no_policy_at_all_is_refused() -> None:
    with pytest.raises(ProtocolConfigurationError, match="policies: give at least one"):
        resilience()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (create_database_retry_policy, r"a RetryPolicyFactory, not shown.*call the factory"),
        (create_database_resilience, r"a ResiliencePipelineFactory, not shown.*call the factory"),
        (RateLimiter(), r"a RateLimiter, not shown"),
        (Timeout, r"the class Timeout"),
        (lambda: None, r"a function, not shown"),
        ("postgresql://svc:hunter2@db", r"a str, not shown"),
        (3, r"policies = 3: must be made of policies: Fallback, StaleCache, .*Timeout"),
        (None, r"policies = None: must be made of policies"),
        ([Timeout(5)], r"a list, not shown"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_with_what_is_allowed(given: object, shown: str) -> None:
    with pytest.raises(ProtocolConfigurationError, match=shown) as caught:
        resilience(given)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_a_pipeline_within_a_pipeline_is_refused_and_its_policies_are_taken() -> None:
    inner = create_database_resilience()
    with pytest.raises(ProtocolConfigurationError, match=r"give its own policies, \*pipeline\.policies"):
        resilience(Fallback(value=None), inner)  # type: ignore[arg-type]
    assert resilience(Fallback(value=None), *inner.policies).stages == (Stage.FALLBACK, *inner.stages)


def test_the_transport_is_that_of_the_first_policy_that_has_one() -> None:
    assert resilience(Timeout(5), create_database_rate_limiter()).transport == "db"
    assert resilience(Timeout(5)).transport is None


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        ("bulkhead retry", "places are held through the waits between attempts"),
        ("hedge retry", "each of its requests would be retried by itself"),
    ],
)
def test_an_order_that_costs_more_than_it_gives_is_warned_of_at_the_line_that_builds_it(
    names: str, warned: str
) -> None:
    policies = [MAKE[name]() for name in names.split()]
    line = _line() + 2
    with pytest.warns(ResilienceWarning, match=warned) as caught:
        resilience(*policies)
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


def test_a_preset_s_warning_points_at_the_line_that_calls_the_factory() -> None:
    line = _line() + 2
    with pytest.warns(ResilienceWarning) as caught:
        create_database_resilience(total_timeout=6)
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


@pytest.mark.parametrize("names", [EVERYTHING, "breaker retry limiter", "retry breaker limiter"])
def test_a_sensible_order_is_not_warned_of(names: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline(names)
