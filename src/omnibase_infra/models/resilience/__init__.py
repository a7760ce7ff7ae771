"""The settings of the policies: frozen, checked at construction, with the shipped numbers as defaults."""

from omnibase_infra.models.resilience.model_adaptive_throttle_config import ModelAdaptiveThrottleConfig
from omnibase_infra.models.resilience.model_bulkhead_config import ModelBulkheadConfig
from omnibase_infra.models.resilience.model_circuit_breaker_config import ModelCircuitBreakerConfig
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.models.resilience.model_credential_refresh_config import ModelCredentialRefreshConfig
from omnibase_infra.models.resilience.model_fallback_config import ModelFallbackConfig
from omnibase_infra.models.resilience.model_hedge_config import ModelHedgeConfig
from omnibase_infra.models.resilience.model_kind_explanation import ModelKindExplanation
from omnibase_infra.models.resilience.model_pipeline_explanation import ModelPipelineExplanation
from omnibase_infra.models.resilience.model_policy_snapshot import ModelPolicySnapshot
from omnibase_infra.models.resilience.model_rate_limit_config import ModelRateLimitConfig
from omnibase_infra.models.resilience.model_retry_budget_config import ModelRetryBudgetConfig
from omnibase_infra.models.resilience.model_retry_config import ModelRetryConfig
from omnibase_infra.models.resilience.model_shared_circuit_config import ModelSharedCircuitConfig
from omnibase_infra.models.resilience.model_stale_cache_config import ModelStaleCacheConfig
from omnibase_infra.models.resilience.model_timeout_config import ModelTimeoutConfig

__all__ = [
    "ModelAdaptiveThrottleConfig",
    "ModelBulkheadConfig",
    "ModelCircuitBreakerConfig",
    "ModelConfigBase",
    "ModelCredentialRefreshConfig",
    "ModelFallbackConfig",
    "ModelHedgeConfig",
    "ModelKindExplanation",
    "ModelPipelineExplanation",
    "ModelPolicySnapshot",
    "ModelRateLimitConfig",
    "ModelRetryBudgetConfig",
    "ModelRetryConfig",
    "ModelSharedCircuitConfig",
    "ModelStaleCacheConfig",
    "ModelTimeoutConfig",
]
