"""Settings of a circuit breaker."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.models.resilience.model_config_base import ModelConfigBase
from omnibase_infra.models.resilience.model_shared_circuit_config import ModelSharedCircuitConfig
from omnibase_infra.utils.util_builtin_numbers import shipped_float, shipped_int

_max_recovery_timeout = shipped_float("circuit_breaker", "max_recovery_timeout")


class ModelCircuitBreakerConfig(ModelConfigBase):
    """When a circuit opens, how long it stays open, and how it closes again. Times are seconds.

    The defaults are the shipped ``[defaults.circuit_breaker]``.

    Attributes:
        failure_threshold: Consecutive counted failures that open the circuit.
        recovery_timeout: How long it stays open before a probe is admitted. Zero means at once.
        success_threshold: Successful probes that close it.
        half_open_max_calls: Probes admitted at a time.
        recovery_multiplier: Growth of the recovery time with each opening in a row; 1 keeps it constant.
        max_recovery_timeout: Cap of the grown recovery time. Unless given, at least ``recovery_timeout``.
        recovery_jitter: Share by which a recovery time may be lengthened at random.
        connection_weight: What a lost or refused connection counts as a consecutive failure; a hang counts 1.
        failure_rate: Share of failures within the window that opens the circuit too; None for no rate window.
        window: Length of the rate window.
        minimum_calls: Calls the window must hold before a rate counts.
        slow_call_seconds: From this duration on a call is slow; None for no notion of slow.
        slow_call_rate: Share of slow calls within the window that opens the circuit too.
        shared: Where and how workers share the circuit; None, or one without a ``url``, for a circuit of this process.

    Raises:
        ProtocolConfigurationError: When a setting is out of range, or one of the two ``slow_call_*`` is given alone.
    """

    failure_threshold: int = Field(default_factory=shipped_int("circuit_breaker", "failure_threshold"), ge=1)
    recovery_timeout: float = Field(default_factory=shipped_float("circuit_breaker", "recovery_timeout"), ge=0)
    success_threshold: int = Field(default_factory=shipped_int("circuit_breaker", "success_threshold"), ge=1)
    half_open_max_calls: int = Field(default_factory=shipped_int("circuit_breaker", "half_open_max_calls"), ge=1)
    recovery_multiplier: float = Field(default_factory=shipped_float("circuit_breaker", "recovery_multiplier"), ge=1)
    max_recovery_timeout: float = Field(
        default_factory=lambda data: max(_max_recovery_timeout(), data.get("recovery_timeout", 0)), ge=0
    )
    recovery_jitter: float = Field(default_factory=shipped_float("circuit_breaker", "recovery_jitter"), ge=0, le=1)
    connection_weight: float = Field(default_factory=shipped_float("circuit_breaker", "connection_weight"), ge=0, le=1)
    failure_rate: float | None = Field(default=None, gt=0, le=1)
    window: float = Field(default_factory=shipped_float("circuit_breaker", "window"), gt=0)
    minimum_calls: int = Field(default_factory=shipped_int("circuit_breaker", "minimum_calls"), ge=1)
    slow_call_seconds: float | None = Field(default=None, gt=0)
    slow_call_rate: float | None = Field(default=None, gt=0, le=1)
    shared: ModelSharedCircuitConfig | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_recovery_timeout < self.recovery_timeout:
            raise ProtocolConfigurationError(
                f"max_recovery_timeout = {self.max_recovery_timeout}: must be at least"
                f" recovery_timeout = {self.recovery_timeout}",
                parameter="max_recovery_timeout",
            )
        if (self.slow_call_rate is None) != (self.slow_call_seconds is None):
            given, absent = "slow_call_rate", "slow_call_seconds"
            if self.slow_call_rate is None:
                given, absent = absent, given
            raise ProtocolConfigurationError(f"{given}: needs {absent} beside it, which is not set", parameter=given)
        return self
