"""Resilience policies for calls that leave the process: decorators, pre-set for each transport, that can be stacked."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

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
    SharedRateLimiter,
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
    retry_with_exponential_backoff,
)
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import (
    ClientRetries,
    ClientRetriesWarning,
    RevealLoginFailure,
    check_client,
    classify,
    client_retries,
    keep_vault_answers,
    register_transport,
)
from omnibase_infra.infrastructure.resilience.transports.sqlstate import ends_transaction

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience import registry
    from omnibase_infra.infrastructure.resilience.adaptive_throttle import (
        AdaptiveThrottle,
        create_consul_adaptive_throttle,
        create_database_adaptive_throttle,
        create_grpc_adaptive_throttle,
        create_kafka_adaptive_throttle,
        create_network_adaptive_throttle,
        create_valkey_adaptive_throttle,
        create_vault_adaptive_throttle,
    )
    from omnibase_infra.infrastructure.resilience.bulkhead import (
        Bulkhead,
        create_consul_bulkhead,
        create_database_bulkhead,
        create_grpc_bulkhead,
        create_kafka_bulkhead,
        create_network_bulkhead,
        create_valkey_bulkhead,
        create_vault_bulkhead,
    )
    from omnibase_infra.infrastructure.resilience.credential_refresh import (
        Credential,
        CredentialRefresh,
        SyncCredential,
        with_credential_refresh,
    )
    from omnibase_infra.infrastructure.resilience.credential_refresh_manager import (
        CredentialProvider,
        CredentialRefreshManager,
    )
    from omnibase_infra.infrastructure.resilience.fallback import Fallback, with_fallback
    from omnibase_infra.infrastructure.resilience.hedging import (
        Hedge,
        create_consul_hedge,
        create_database_hedge,
        create_grpc_hedge,
        create_kafka_hedge,
        create_network_hedge,
        create_valkey_hedge,
        create_vault_hedge,
    )
    from omnibase_infra.infrastructure.resilience.keyed_circuit_breaker import KeyedCircuitBreaker
    from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline, resilience
    from omnibase_infra.infrastructure.resilience.pipeline_factory import (
        create_consul_resilience,
        create_database_resilience,
        create_grpc_resilience,
        create_kafka_resilience,
        create_network_resilience,
        create_valkey_resilience,
        create_vault_resilience,
    )
    from omnibase_infra.infrastructure.resilience.pipeline_order import ResilienceWarning
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_link import close_shared_circuits
    from omnibase_infra.infrastructure.resilience.stale_cache import StaleCache, create_stale_cache
    from omnibase_infra.infrastructure.resilience.timeout import (
        Timeout,
        create_consul_timeout,
        create_database_timeout,
        create_grpc_timeout,
        create_kafka_timeout,
        create_network_timeout,
        create_valkey_timeout,
        create_vault_timeout,
    )
    from omnibase_infra.infrastructure.resilience.timeout_fallback import Fetched, fetch_with_timeout_fallback

__all__ = [
    "AdaptiveThrottle",
    "Bulkhead",
    "CircuitBreaker",
    "ClientRetries",
    "ClientRetriesWarning",
    "Credential",
    "CredentialProvider",
    "CredentialRefresh",
    "CredentialRefreshManager",
    "Fallback",
    "Fetched",
    "Hedge",
    "InfrastructureCircuitBreaker",
    "InfrastructureRetryPolicy",
    "KeyedCircuitBreaker",
    "RateLimiter",
    "ResiliencePipeline",
    "ResilienceWarning",
    "RetryBudget",
    "RevealLoginFailure",
    "SharedRateLimiter",
    "StaleCache",
    "SyncCredential",
    "Timeout",
    "TokenBucketLimiter",
    "add_observer",
    "check_client",
    "classify",
    "client_retries",
    "close_shared_circuits",
    "create_api_rate_limiter",
    "create_consul_adaptive_throttle",
    "create_consul_bulkhead",
    "create_consul_circuit_breaker",
    "create_consul_hedge",
    "create_consul_rate_limiter",
    "create_consul_resilience",
    "create_consul_retry_policy",
    "create_consul_timeout",
    "create_database_adaptive_throttle",
    "create_database_bulkhead",
    "create_database_circuit_breaker",
    "create_database_hedge",
    "create_database_rate_limiter",
    "create_database_resilience",
    "create_database_retry_policy",
    "create_database_timeout",
    "create_grpc_adaptive_throttle",
    "create_grpc_bulkhead",
    "create_grpc_circuit_breaker",
    "create_grpc_hedge",
    "create_grpc_rate_limiter",
    "create_grpc_resilience",
    "create_grpc_retry_policy",
    "create_grpc_timeout",
    "create_kafka_adaptive_throttle",
    "create_kafka_bulkhead",
    "create_kafka_circuit_breaker",
    "create_kafka_hedge",
    "create_kafka_rate_limiter",
    "create_kafka_resilience",
    "create_kafka_retry_policy",
    "create_kafka_timeout",
    "create_network_adaptive_throttle",
    "create_network_bulkhead",
    "create_network_circuit_breaker",
    "create_network_hedge",
    "create_network_rate_limiter",
    "create_network_resilience",
    "create_network_retry_policy",
    "create_network_timeout",
    "create_stale_cache",
    "create_valkey_adaptive_throttle",
    "create_valkey_bulkhead",
    "create_valkey_circuit_breaker",
    "create_valkey_hedge",
    "create_valkey_rate_limiter",
    "create_valkey_resilience",
    "create_valkey_retry_policy",
    "create_valkey_timeout",
    "create_vault_adaptive_throttle",
    "create_vault_bulkhead",
    "create_vault_circuit_breaker",
    "create_vault_hedge",
    "create_vault_rate_limiter",
    "create_vault_resilience",
    "create_vault_retry_policy",
    "create_vault_timeout",
    "ends_transaction",
    "fetch_with_timeout_fallback",
    "flush_observers",
    "keep_vault_answers",
    "register_transport",
    "registry",
    "resilience",
    "retry_with_exponential_backoff",
    "translate",
    "with_credential_refresh",
    "with_fallback",
]

# What most programs need comes at once, the rest when it is first asked for: imports are paid for at every start.
_TRANSPORTS = ("consul", "database", "grpc", "kafka", "network", "valkey", "vault")
_LATE = {
    "AdaptiveThrottle": "adaptive_throttle",
    "Bulkhead": "bulkhead",
    "Credential": "credential_refresh",
    "CredentialProvider": "credential_refresh_manager",
    "CredentialRefresh": "credential_refresh",
    "CredentialRefreshManager": "credential_refresh_manager",
    "Fallback": "fallback",
    "Fetched": "timeout_fallback",
    "Hedge": "hedging",
    "KeyedCircuitBreaker": "keyed_circuit_breaker",
    "ResiliencePipeline": "pipeline",
    "ResilienceWarning": "pipeline_order",
    "StaleCache": "stale_cache",
    "SyncCredential": "credential_refresh",
    "Timeout": "timeout",
    "close_shared_circuits": "shared_state.circuit_link",
    "create_stale_cache": "stale_cache",
    "fetch_with_timeout_fallback": "timeout_fallback",
    "resilience": "pipeline",
    "with_credential_refresh": "credential_refresh",
    "with_fallback": "fallback",
    **{f"create_{transport}_adaptive_throttle": "adaptive_throttle" for transport in _TRANSPORTS},
    **{f"create_{transport}_bulkhead": "bulkhead" for transport in _TRANSPORTS},
    **{f"create_{transport}_hedge": "hedging" for transport in _TRANSPORTS},
    **{f"create_{transport}_resilience": "pipeline_factory" for transport in _TRANSPORTS},
    **{f"create_{transport}_timeout": "timeout" for transport in _TRANSPORTS},
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return cast("object", getattr(import_module(f"{__name__}.{_LATE[name]}"), name))
