"""What a service sets up once, when it starts: its container, and the registry of its policies."""

from omnibase_infra.runtime.container_wiring import wire_infrastructure_services
from omnibase_infra.runtime.model_onex_container import ModelONEXContainer
from omnibase_infra.runtime.model_policy_allow_list import ModelPolicyAllowList
from omnibase_infra.runtime.model_policy_registration import ModelPolicyRegistration
from omnibase_infra.runtime.registry_policy import RegistryPolicy
from omnibase_infra.runtime.registry_service import RegistryService

__all__ = [
    "ModelONEXContainer",
    "ModelPolicyAllowList",
    "ModelPolicyRegistration",
    "RegistryPolicy",
    "RegistryService",
    "wire_infrastructure_services",
]
