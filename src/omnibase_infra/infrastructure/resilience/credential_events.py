"""What is said of a credential's renewal: the error when it failed, the event when it did not."""

from __future__ import annotations

from omnibase_infra.enums import EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraAuthenticationError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience.observers import emit
from omnibase_infra.utils.util_correlation import correlation_id_var


def refresh_failed(exc: Exception, name: str, transport: EnumInfraTransportType | None) -> InfraAuthenticationError:
    """A new error for one of the callers whom a failed renewal leaves without a credential; the class of `exc` only."""
    from omnibase_infra.errors.model_infra_error_context import call_context

    cls = type(exc)
    return policy_error(
        InfraAuthenticationError,
        ErrorOrigin(
            lambda _: f"Failed to refresh authentication credentials ({cls.__qualname__})",
            call_context(transport, "credential_refresh", name, f"{cls.__module__}.{cls.__qualname__}"),
        ),
    )


def announce_refresh(name: str, transport: EnumInfraTransportType | None) -> None:
    """Tell observers that a credential was renewed."""
    emit(
        EnumResilienceEvent.CREDENTIAL_REFRESHED,
        policy="credential_refresh",
        name=name,
        transport=transport,
        operation="credential_refresh",
        correlation_id=correlation_id_var.get(),
    )
