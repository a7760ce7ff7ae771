"""Settings of a circuit that several processes share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.utils.util_builtin_numbers import shipped_float, shipped_int
from omnibase_infra.utils.util_store_url import STORE_URLS, is_store_url


def _store_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not is_store_url(url.get_secret_value()):
        raise ValueError
    return url


class ModelSharedCircuitConfig(ModelConfigBase):
    """Where workers share a circuit, and how. Times are seconds.

    The defaults are the shipped ``[defaults.circuit_breaker.shared]``.

    Attributes:
        url: The store: ``redis``, ``rediss``, ``redis+unix``, ``redis+sentinel``, ``redis+cluster``, and the same with
            ``valkey``; None keeps the circuit local.
        quorum: Workers that must report a trip, or a failed probe, before it counts for all.
        poll_interval: How often the store is asked beside the subscription.
        patience: How long a call that would be a probe waits to hear whether it may be.
        timeout: How long the store may take to answer before it counts as failed.
        retry_interval: How often a failed store is tried again.
        lease: How long a probe's place outlives a worker that has vanished.
        expiry: How long the store remembers a circuit that nobody changes, beyond its recovery time.

    Raises:
        ProtocolConfigurationError: When a setting is out of range.
    """

    url: Annotated[SecretStr | None, AfterValidator(_store_url)] = Field(
        default=None, description=f"a URL such as {STORE_URLS}, or the same with valkey"
    )
    quorum: int = Field(default_factory=shipped_int("circuit_breaker", "shared", "quorum"), ge=1)
    poll_interval: float = Field(default_factory=shipped_float("circuit_breaker", "shared", "poll_interval"), gt=0)
    patience: float = Field(default_factory=shipped_float("circuit_breaker", "shared", "patience"), ge=0)
    timeout: float = Field(default_factory=shipped_float("circuit_breaker", "shared", "timeout"), gt=0)
    retry_interval: float = Field(default_factory=shipped_float("circuit_breaker", "shared", "retry_interval"), gt=0)
    lease: float = Field(default_factory=shipped_float("circuit_breaker", "shared", "lease"), gt=0)
    expiry: float = Field(default_factory=shipped_float("circuit_breaker", "shared", "expiry"), gt=0)
