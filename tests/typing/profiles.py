"""What the type checkers see of profiles: a word that every factory takes, and the same policies."""

from __future__ import annotations

from typing import assert_type

from omnibase_infra.infrastructure.resilience import (
    AdaptiveThrottle,
    Bulkhead,
    Hedge,
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    KeyedCircuitBreaker,
    ResiliencePipeline,
    StaleCache,
    Timeout,
    TokenBucketLimiter,
    create_consul_bulkhead,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_resilience,
    create_grpc_adaptive_throttle,
    create_kafka_retry_policy,
    create_network_hedge,
    create_stale_cache,
    create_valkey_rate_limiter,
    create_vault_timeout,
)
from omnibase_infra.models.resilience import ModelRetryConfig
from omnibase_infra.presets import resolve


def host_of(url: str) -> str:
    return url


def profiled(profile: str | None) -> None:
    assert_type(create_database_resilience("orders", profile=profile), ResiliencePipeline)
    assert_type(create_database_circuit_breaker(profile=profile), InfrastructureCircuitBreaker)
    assert_type(create_database_circuit_breaker(profile=profile, key=host_of), KeyedCircuitBreaker)
    assert_type(create_kafka_retry_policy(profile=profile), InfrastructureRetryPolicy)
    assert_type(create_database_rate_limiter(profile=profile), TokenBucketLimiter)
    assert_type(create_valkey_rate_limiter(profile=profile), TokenBucketLimiter)
    assert_type(create_consul_bulkhead(profile=profile), Bulkhead)
    assert_type(create_vault_timeout(profile=profile), Timeout)
    assert_type(create_network_hedge(idempotent=True, profile=profile), Hedge)
    assert_type(create_grpc_adaptive_throttle(profile=profile), AdaptiveThrottle)
    assert_type(create_stale_cache(profile=profile), StaleCache)
    assert_type(resolve("database", "retry", ModelRetryConfig, profile=profile), ModelRetryConfig)
