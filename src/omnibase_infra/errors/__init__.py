"""The one family of errors that leaves this package."""

from typing import TYPE_CHECKING

from omnibase_infra.errors.error_infra import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ProtocolConfigurationError,
    RuntimeHostError,
    SecretResolutionError,
)
from omnibase_infra.errors.error_onex import ModelOnexError, OnexError

if TYPE_CHECKING:
    from omnibase_infra.errors.model_infra_error_context import ModelInfraErrorContext
    from omnibase_infra.errors.model_onex_error_record import ModelOnexErrorRecord

__all__ = [
    "InfraAuthenticationError",
    "InfraConnectionError",
    "InfraRateLimitedError",
    "InfraTimeoutError",
    "InfraUnavailableError",
    "ModelInfraErrorContext",
    "ModelOnexError",
    "ModelOnexErrorRecord",
    "OnexError",
    "ProtocolConfigurationError",
    "RuntimeHostError",
    "SecretResolutionError",
]


def __getattr__(name: str) -> object:
    # The pydantic models are half of the package's import time, and a process that only guards calls needs none.
    if name == "ModelInfraErrorContext":
        from omnibase_infra.errors.model_infra_error_context import ModelInfraErrorContext

        return ModelInfraErrorContext
    if name == "ModelOnexErrorRecord":
        from omnibase_infra.errors.model_onex_error_record import ModelOnexErrorRecord

        return ModelOnexErrorRecord
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
