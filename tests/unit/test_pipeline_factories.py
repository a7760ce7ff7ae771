"""`create_<service>_resilience`: the whole stack of each transport from its presets, and what overrides it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.circuits import fresh
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumInfraTransportType, EnumPipelineStage
from omnibase_infra.errors import (
    InfraConnectionError,
    InfraUnavailableError,
    ProtocolConfigurationError,
)
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    CredentialRefresh,
    Fallback,
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    KeyedCircuitBreaker,
    ResiliencePipeline,
    Timeout,
    TokenBucketLimiter,
    create_database_adaptive_throttle,
    create_database_bulkhead,
    create_database_circuit_breaker,
    create_database_hedge,
    create_database_rate_limiter,
    create_database_resilience,
    create_database_retry_policy,
    create_stale_cache,
)
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES, ResiliencePipelineFactory
from omnibase_infra.models.resilience import (
    ModelBulkheadConfig,
    ModelCircuitBreakerConfig,
    ModelRateLimitConfig,
    ModelRetryConfig,
    ModelTimeoutConfig,
)
from omnibase_infra.presets import load_presets, resolve

PRESET = ("total timeout", "retry", "circuit breaker", "rate limiter", "bulkhead", "attempt timeout")


class Token:
    is_expired = False

    async def refresh(self) -> None:
        pass


def at(pipeline: ResiliencePipeline, stage: str) -> object:
    return pipeline.policies[pipeline.stages.index(EnumPipelineStage(stage))]


def retry_of(pipeline: ResiliencePipeline) -> InfrastructureRetryPolicy:
    found = at(pipeline, "retry")
    assert isinstance(found, InfrastructureRetryPolicy)
    return found


@pytest.fixture
def presets(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "presets.toml"
    load_presets()


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
def test_each_transport_s_stack_has_the_numbers_of_its_presets_and_is_not_warned_of(
    factory: ResiliencePipelineFactory,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = factory()
        factory(breaker_scope="call")
    section = factory.section
    times = resolve(section, "timeout", ModelTimeoutConfig)
    total, retry, breaker, limiter, bulkhead, attempt = pipeline.policies
    assert pipeline.stages == PRESET
    assert isinstance(total, Timeout)
    assert isinstance(attempt, Timeout)
    assert (total.seconds, attempt.seconds) == (times.total, times.attempt)
    assert isinstance(retry, InfrastructureRetryPolicy)
    assert retry.config == resolve(section, "retry", ModelRetryConfig)
    assert isinstance(breaker, InfrastructureCircuitBreaker)
    assert breaker.config == resolve(section, "circuit_breaker", ModelCircuitBreakerConfig)
    assert isinstance(limiter, TokenBucketLimiter)
    rates = resolve(section, "rate_limit", ModelRateLimitConfig)
    assert (limiter.rate, limiter.capacity) == (rates.rate, rates.capacity)
    assert isinstance(bulkhead, Bulkhead)
    assert bulkhead.config == resolve(section, "bulkhead", ModelBulkheadConfig)
    assert {policy.transport for policy in pipeline.policies} == {pipeline.transport}


def test_there_is_one_for_each_transport_that_has_presets() -> None:
    assert {factory.transport for factory in FACTORIES.values()} == set(EnumInfraTransportType) - {
        EnumInfraTransportType.RUNTIME,
        EnumInfraTransportType.INFISICAL,
    }


def test_the_breaker_of_calls_stands_outside_the_total_timeout_and_the_retry() -> None:
    assert create_database_resilience(breaker_scope="call").stages[:3] == (
        EnumPipelineStage.CALL_BREAKER,
        EnumPipelineStage.TOTAL_TIMEOUT,
        EnumPipelineStage.RETRY,
    )


def test_a_file_the_environment_and_arguments_override_the_presets_in_this_order(
    presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    presets.write_text(
        "[database.retry]\nmax_attempts = 2\nmin_wait = 0.5\nmax_wait = 1\n[database.timeout]\ntotal = false\n"
    )
    load_presets(presets)
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RETRY__MIN_WAIT", "0.25")
    pipeline = create_database_resilience()
    retry = retry_of(pipeline)
    assert (retry.max_attempts, retry.min_wait, retry.max_wait) == (2, 0.25, 1)
    assert pipeline.stages == PRESET[1:]
    own = create_database_retry_policy(4)
    assert at(create_database_resilience(retry=own, total_timeout=60), "retry") is own


def test_a_service_inherits_from_its_transport_and_is_the_target_named_in_errors(presets: Path) -> None:
    presets.write_text("[services.orders.retry]\nmax_attempts = 1\n[services.orders.bulkhead]\nmax_concurrent = 3\n")
    load_presets(presets)
    pipeline = create_database_resilience("orders")
    assert retry_of(pipeline).max_attempts == 1
    assert retry_of(pipeline).max_wait == 10

    @pipeline
    async def query() -> None:
        raise ConnectionResetError

    with pytest.raises(InfraConnectionError) as caught:
        asyncio.run(query())
    assert caught.value.context.target_name == "orders"


@pytest.mark.parametrize("absent", ["total_timeout", "retry", "circuit_breaker", "rate_limiter", "bulkhead"])
def test_none_leaves_a_policy_out(absent: str) -> None:
    stages = create_database_resilience(**{absent: None}).stages  # type: ignore[arg-type]
    assert stages == tuple(stage for stage in PRESET if stage != absent.replace("_", " "))


def test_without_any_policy_left_there_is_no_pipeline() -> None:
    with pytest.raises(ProtocolConfigurationError, match="policies: give at least one"):
        create_database_resilience(
            total_timeout=None, retry=None, circuit_breaker=None, rate_limiter=None, bulkhead=None, attempt_timeout=None
        )


def test_policies_that_are_given_stand_in_their_places() -> None:
    given = {
        "fallback": Fallback(value=None),
        "total_timeout": Timeout(60),
        "retry": create_database_retry_policy(),
        "hedge": create_database_hedge(idempotent=True),
        "adaptive_throttle": create_database_adaptive_throttle(),
        "circuit_breaker": create_database_circuit_breaker(key=lambda *_: 0),
        "rate_limiter": create_database_rate_limiter(),
        "bulkhead": create_database_bulkhead(),
        "attempt_timeout": Timeout(5),
        "credential_refresh": CredentialRefresh(Token()),
    }
    pipeline = create_database_resilience(**given)  # type: ignore[arg-type]
    assert pipeline.policies == tuple(given.values())
    assert [stage.replace(" ", "_") for stage in pipeline.stages] == list(given)


def test_a_function_and_numbers_are_made_into_policies_of_the_service() -> None:
    pipeline = create_database_resilience("orders", fallback=lambda: 0, total_timeout=31, attempt_timeout=4)
    fallback, total, attempt = pipeline.policies[0], pipeline.policies[1], pipeline.policies[-1]
    assert isinstance(fallback, Fallback)
    assert isinstance(total, Timeout)
    assert isinstance(attempt, Timeout)
    assert (total.seconds, attempt.seconds) == (31, 4)
    assert {policy.name for policy in (fallback, total, attempt)} == {"orders"}


def test_a_stale_cache_may_be_the_fallback() -> None:
    calls: list[int] = []

    @create_database_resilience(fallback=create_stale_cache(ttl=0.001, max_stale=600), retry=None)
    async def fetch(key: int) -> int:
        calls.append(key)
        if len(calls) > 1:
            raise ConnectionResetError
        return key

    async def main() -> list[int]:
        first = await fetch(7)
        await asyncio.sleep(0.01)
        return [first, await fetch(7)]

    assert asyncio.run(main()) == [7, 7]
    assert calls == [7, 7]


def test_two_pipelines_of_one_name_share_one_circuit_and_unnamed_ones_none() -> None:
    name = fresh("orders")
    one, other = create_database_resilience(name=name), create_database_resilience(name=name)
    assert at(one, "circuit breaker") is at(other, "circuit breaker")
    assert at(one, "retry") is not at(other, "retry")
    assert at(create_database_resilience("orders"), "circuit breaker") is not at(
        create_database_resilience("orders"), "circuit breaker"
    )


def test_the_name_is_the_target_in_the_errors_of_every_policy() -> None:
    name = fresh("orders")
    pipeline = create_database_resilience(
        name=name, circuit_breaker=create_database_circuit_breaker(2, name=name), retry=None
    )

    @pipeline
    async def query() -> None:
        raise ConnectionResetError

    async def targets() -> Iterator[str | None]:
        seen: list[str | None] = []
        for _ in range(3):
            with pytest.raises((InfraConnectionError, InfraUnavailableError)) as caught:
                await query()
            seen.append(caught.value.context.target_name)
        return iter(seen)

    assert set(run(targets())) == {name}
    retried = create_database_resilience(name=name, circuit_breaker=None, rate_limiter=None)
    assert retry_of(retried).name == name
    named = create_database_resilience("payments").policies
    assert {policy.name for policy in named if not isinstance(policy, InfrastructureCircuitBreaker)} == {"payments"}


def test_idempotent_reaches_the_preset_s_retry() -> None:
    assert retry_of(create_database_resilience(idempotent=False)).idempotent is False
    assert retry_of(create_database_resilience()).idempotent is None


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ({"retry": 3}, r"retry = 3: must be InfrastructureRetryPolicy, as create_database_retry_policy\(\) returns"),
        ({"retry": create_database_retry_policy}, r"retry = \(a RetryPolicyFactory, not shown\): must be Infra"),
        ({"bulkhead": 10}, r"bulkhead = 10: must be Bulkhead, as create_database_bulkhead\(\) returns, or None"),
        ({"circuit_breaker": True}, r"circuit_breaker = True: must be InfrastructureCircuitBreaker or KeyedCircuitBre"),
        ({"rate_limiter": 5.0}, r"rate_limiter = 5\.0: must be TokenBucketLimiter, as create_database_rate_limiter"),
        ({"hedge": 0.1}, r"hedge = 0\.1: must be Hedge, as create_database_hedge\(\) returns, or None"),
        ({"adaptive_throttle": 2}, r"adaptive_throttle = 2: must be AdaptiveThrottle"),
        ({"credential_refresh": "secret"}, r"credential_refresh = \(a str, not shown\): must be CredentialRefresh, or"),
        ({"fallback": "x"}, r"fallback = \(a str, not shown\): must be a function of the call's arguments, a Fallback"),
        ({"total_timeout": "5"}, r"total_timeout = \(a str, not shown\): must be a finite number of seconds, above 0"),
        ({"total_timeout": 0}, r"total_timeout = 0: must be a finite number of seconds, above 0, a Timeout, or None"),
        ({"attempt_timeout": float("nan")}, r"attempt_timeout = nan: must be a finite number"),
        ({"attempt_timeout": True}, r"attempt_timeout = True: must be a finite number"),
        ({"attempt_timeout": 40}, r"attempt timeout = 40 s: must be at most the total timeout = 30 s"),
        ({"breaker_scope": "calls"}, r"breaker_scope = \(a str, not shown\): must be 'attempt' or 'call'"),
        ({"service": 5}, r"service = 5: must be text that is not blank"),
        ({"service": lambda: None}, r"service = \(a function, not shown\): must be text"),
        ({"name": ""}, r"name = \(empty\): must be text that is not blank"),
        ({"idempotent": "yes"}, r"idempotent = \(a str, not shown\): must be true or false"),
        ({"idempotent": True, "retry": None}, r"idempotent = True: must be None, since there is no retry"),
        (
            {"idempotent": True, "retry": create_database_retry_policy()},
            r"idempotent = True: must be given to the retry policy itself",
        ),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_with_what_is_allowed(arguments: dict[str, object], refused: str) -> None:
    with pytest.raises(ProtocolConfigurationError, match=refused):
        create_database_resilience(**arguments)  # type: ignore[arg-type]


def test_a_keyed_breaker_opens_for_the_key_that_fails() -> None:
    breaker = create_database_circuit_breaker(2, key=lambda host: host)
    assert isinstance(breaker, KeyedCircuitBreaker)

    @create_database_resilience(circuit_breaker=breaker, retry=None)
    async def fetch(host: str) -> str:
        if host == "down":
            raise ConnectionResetError
        return host

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(InfraConnectionError):
                await fetch("down")
        with pytest.raises(InfraUnavailableError, match="Circuit breaker open"):
            await fetch("down")
        assert await fetch("up") == "up"

    asyncio.run(main())
