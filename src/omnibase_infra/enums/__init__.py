"""The words of the package, one enum a file."""

from omnibase_infra.enums.enum_breaker_scope import EnumBreakerScope
from omnibase_infra.enums.enum_circuit_state import EnumCircuitState
from omnibase_infra.enums.enum_core_error_code import CoreErrorCode, EnumCoreErrorCode
from omnibase_infra.enums.enum_failure_kind import EnumFailureKind
from omnibase_infra.enums.enum_infra_transport_type import EnumInfraTransportType
from omnibase_infra.enums.enum_on_limit import EnumOnLimit
from omnibase_infra.enums.enum_on_store_failure import EnumOnStoreFailure
from omnibase_infra.enums.enum_pipeline_stage import EnumPipelineStage
from omnibase_infra.enums.enum_policy_kind import EnumPolicyKind
from omnibase_infra.enums.enum_rate_limit_strategy import EnumRateLimitStrategy
from omnibase_infra.enums.enum_resilience_event import EnumResilienceEvent
from omnibase_infra.enums.enum_scenario_event import EnumScenarioEvent
from omnibase_infra.enums.enum_stack_kind import EnumStackKind
from omnibase_infra.enums.enum_unset import EnumUnset

__all__ = [
    "CoreErrorCode",
    "EnumBreakerScope",
    "EnumCircuitState",
    "EnumCoreErrorCode",
    "EnumFailureKind",
    "EnumInfraTransportType",
    "EnumOnLimit",
    "EnumOnStoreFailure",
    "EnumPipelineStage",
    "EnumPolicyKind",
    "EnumRateLimitStrategy",
    "EnumResilienceEvent",
    "EnumScenarioEvent",
    "EnumStackKind",
    "EnumUnset",
]
