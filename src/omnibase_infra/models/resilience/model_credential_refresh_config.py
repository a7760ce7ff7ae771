"""Settings of a credential manager."""

from __future__ import annotations

from pydantic import Field

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float


class ModelCredentialRefreshConfig(ModelConfigBase):
    """How long before its end a credential is replaced. Times are seconds.

    The defaults are the shipped ``[defaults.credential_refresh]``.

    Attributes:
        refresh_threshold_seconds: A credential with less than this left is replaced at its next use.
        max_threshold_share: Share of a credential's lifetime that the threshold never exceeds, 0 to 1.
        ttl_seconds: Lifetime of a credential that does not tell its own.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    refresh_threshold_seconds: float = Field(
        default_factory=shipped_float("credential_refresh", "refresh_threshold_seconds"), ge=0
    )
    max_threshold_share: float = Field(
        default_factory=shipped_float("credential_refresh", "max_threshold_share"), ge=0, le=1
    )
    ttl_seconds: float = Field(default_factory=shipped_float("credential_refresh", "ttl_seconds"), gt=0)
