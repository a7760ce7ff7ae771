"""Resilience policies for calls that leave the process: decorators, pre-set for each transport, that can be stacked."""

from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import (
    CircuitBreaker,
    InfrastructureCircuitBreaker,
    create_consul_circuit_breaker,
    create_database_circuit_breaker,
    create_grpc_circuit_breaker,
    create_kafka_circuit_breaker,
    create_network_circuit_breaker,
    create_valkey_circuit_breaker,
    create_vault_circuit_breaker,
)
from omnibase_infra.infrastructure.resilience.observers import add_observer, flush_observers
from omnibase_infra.infrastructure.resilience.rate_limiter import (
    RateLimiter,
    TokenBucketLimiter,
    create_api_rate_limiter,
    create_consul_rate_limiter,
    create_database_rate_limiter,
    create_grpc_rate_limiter,
    create_kafka_rate_limiter,
    create_network_rate_limiter,
    create_valkey_rate_limiter,
    create_vault_rate_limiter,
)
from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget
from omnibase_infra.infrastructure.resilience.retry_policy import (
    InfrastructureRetryPolicy,
    create_consul_retry_policy,
    create_database_retry_policy,
    create_grpc_retry_policy,
    create_kafka_retry_policy,
    create_network_retry_policy,
    create_valkey_retry_policy,
    create_vault_retry_policy,
)
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import classify, register_transport
from omnibase_infra.infrastructure.resilience.transports.sqlstate import ends_transaction

__all__ = [
    "CircuitBreaker",
    "InfrastructureCircuitBreaker",
    "InfrastructureRetryPolicy",
    "RateLimiter",
    "RetryBudget",
    "TokenBucketLimiter",
    "add_observer",
    "classify",
    "create_api_rate_limiter",
    "create_consul_circuit_breaker",
    "create_consul_rate_limiter",
    "create_consul_retry_policy",
    "create_database_circuit_breaker",
    "create_database_rate_limiter",
    "create_database_retry_policy",
    "create_grpc_circuit_breaker",
    "create_grpc_rate_limiter",
    "create_grpc_retry_policy",
    "create_kafka_circuit_breaker",
    "create_kafka_rate_limiter",
    "create_kafka_retry_policy",
    "create_network_circuit_breaker",
    "create_network_rate_limiter",
    "create_network_retry_policy",
    "create_valkey_circuit_breaker",
    "create_valkey_rate_limiter",
    "create_valkey_retry_policy",
    "create_vault_circuit_breaker",
    "create_vault_rate_limiter",
    "create_vault_retry_policy",
    "ends_transaction",
    "flush_observers",
    "register_transport",
    "translate",
]
