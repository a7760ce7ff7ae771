"""From a failure to the one error the caller sees: our own sentence, the original only as its cause."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelOnexError,
    RuntimeHostError,
)
from omnibase_infra.infrastructure.resilience.transports import failure_of

if TYPE_CHECKING:
    from uuid import UUID

    from pydantic import JsonValue

P = ParamSpec("P")
T = TypeVar("T")

BECOMES: Final[dict[EnumFailureKind, tuple[type[RuntimeHostError], str]]] = {
    EnumFailureKind.CONNECTION: (InfraConnectionError, "could not be reached"),
    EnumFailureKind.TIMEOUT: (InfraTimeoutError, "did not answer in time"),
    EnumFailureKind.UNAVAILABLE: (InfraUnavailableError, "cannot serve now"),
    EnumFailureKind.THROTTLED: (InfraRateLimitedError, "asks for fewer calls"),
    EnumFailureKind.AUTHENTICATION: (InfraAuthenticationError, "refused the credentials"),
}


def translate(
    exc: BaseException,
    *,
    transport: EnumInfraTransportType | None = None,
    operation: str | None = None,
    target_name: str | None = None,
    retry_count: int | None = None,
    correlation_id: UUID | None = None,
) -> BaseException:
    """The ONEX error for a failure, chained from it; errors of the caller and ONEX errors come back as they are.

    Args:
        exc: What the call raised.
        transport: Transport of the call; it decides the code of an `InfraConnectionError`.
        operation: What was attempted, such as the function's name.
        target_name: The service or policy that was called.
        retry_count: Attempts made, when a retry gives up.
        correlation_id: Id of the logical call; the current one when None.
    """
    if isinstance(exc, ModelOnexError):
        return exc
    failure = failure_of(exc, transport)
    becomes = BECOMES.get(failure.kind)
    if becomes is None:
        return exc
    cls, happened = becomes
    name = type(exc).__qualname__

    def describe() -> str:
        target = target_name or transport or "the dependency"
        attempts = f" after {retry_count} attempts" if retry_count and retry_count > 1 else ""
        code = f" {failure.code}" if failure.code else ""
        from omnibase_infra.utils.util_sanitize import sanitize

        return sanitize(f"{operation or 'call'} failed: {target} {happened}{attempts} ({name}{code})")

    from omnibase_infra.errors.model_infra_error_context import call_context

    details: dict[str, JsonValue] = {}
    if retry_count is not None:
        details["retry_count"] = retry_count
    if failure.code is not None:
        details["driver_code"] = failure.code
    error = cls.of_policy(
        describe,
        context=call_context(transport, operation, target_name, f"{type(exc).__module__}.{name}"),
        correlation_id=correlation_id,
        retry_after_seconds=failure.retry_after_seconds,
        details=details,
    )
    error.__cause__ = exc
    return error


def translating_async(
    fn: Callable[P, Coroutine[object, None, T]], becomes: Callable[[Exception], BaseException]
) -> Callable[P, Coroutine[object, None, T]]:
    """A coroutine function that raises what its failures become, chained from them."""

    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await fn(*args, **kwargs)
        except Exception as exc:
            error = becomes(exc)
            try:
                if error is exc:
                    raise
                raise error from exc
            finally:
                del error  # else it and this frame would hold each other until a garbage collection

    return call


def translating_sync(fn: Callable[P, T], becomes: Callable[[Exception], BaseException]) -> Callable[P, T]:
    """The same for a plain function."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return fn(*args, **kwargs)
        except Exception as exc:
            error = becomes(exc)
            try:
                if error is exc:
                    raise
                raise error from exc
            finally:
                del error  # else it and this frame would hold each other until a garbage collection

    return call
