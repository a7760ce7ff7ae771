"""The family of infrastructure errors. The class says what happened; the code is what other systems match on."""

from __future__ import annotations

from typing import ClassVar, Final

from omnibase_infra.enums import EnumCoreErrorCode, EnumInfraTransportType
from omnibase_infra.errors.error_onex import ModelOnexError

_CONNECTION_CODES: Final = {
    EnumInfraTransportType.DATABASE: EnumCoreErrorCode.DATABASE_CONNECTION_ERROR,
    EnumInfraTransportType.HTTP: EnumCoreErrorCode.NETWORK_ERROR,
    EnumInfraTransportType.GRPC: EnumCoreErrorCode.NETWORK_ERROR,
}


class RuntimeHostError(ModelOnexError):
    """Base of every infrastructure error: ``OPERATION_FAILED`` unless a code is given."""


class ProtocolConfigurationError(RuntimeHostError, ValueError):
    """A setting is wrong. Raised at decoration or load time; also a ``ValueError``."""

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.INVALID_CONFIGURATION
    http_status: ClassVar[int] = 400


class SecretResolutionError(RuntimeHostError):
    """A secret or credential could not be found."""

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.RESOURCE_NOT_FOUND
    http_status: ClassVar[int] = 404


class InfraConnectionError(RuntimeHostError, ConnectionError):
    """The dependency could not be reached. Also a builtin ``ConnectionError``; the code follows the transport."""

    http_status: ClassVar[int] = 503

    @property
    def error_code(self) -> EnumCoreErrorCode:
        """The given code, else the code of the context's transport."""
        context = self._origin.context
        transport = context.transport_type if context else None
        by_transport = _CONNECTION_CODES.get(transport) if transport else None
        return self._error_code or by_transport or EnumCoreErrorCode.SERVICE_UNAVAILABLE


class InfraTimeoutError(RuntimeHostError, TimeoutError):
    """No answer in time. Also a builtin ``TimeoutError``."""

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.TIMEOUT_ERROR
    http_status: ClassVar[int] = 504


class InfraAuthenticationError(RuntimeHostError):
    """The dependency refused the credentials."""

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.AUTHENTICATION_ERROR
    http_status: ClassVar[int] = 401


class InfraUnavailableError(RuntimeHostError):
    """The dependency cannot serve now, or its circuit is open (then ``circuit_state`` and ``rejected_by`` are set)."""

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.SERVICE_UNAVAILABLE
    http_status: ClassVar[int] = 503


class InfraRateLimitedError(RuntimeHostError):
    """Too many calls: told by the server, or by our own limiter (then ``rejected_by`` is set)."""

    default_code: ClassVar[EnumCoreErrorCode] = EnumCoreErrorCode.RATE_LIMIT_EXCEEDED
    http_status: ClassVar[int] = 429
