"""The settings of the policies: frozen, checked at construction, with the shipped numbers as defaults."""

from omnibase_infra.models.resilience.model_circuit_breaker_config import ModelCircuitBreakerConfig
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.models.resilience.model_rate_limit_config import ModelRateLimitConfig
from omnibase_infra.models.resilience.model_retry_budget_config import ModelRetryBudgetConfig
from omnibase_infra.models.resilience.model_retry_config import ModelRetryConfig

__all__ = [
    "ModelCircuitBreakerConfig",
    "ModelConfigBase",
    "ModelRateLimitConfig",
    "ModelRetryBudgetConfig",
    "ModelRetryConfig",
]
