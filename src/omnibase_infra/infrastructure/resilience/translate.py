"""From a failure to the one error the caller sees: our own sentence, the original only as its cause."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import lru_cache
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
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
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
    origin = _origin(
        transport,
        operation,
        target_name,
        type(exc),  # type: ignore[arg-type]  # typeshed: a class is hashable by its metaclass
        happened,
        failure.code,
        retry_count,
    )
    error = policy_error(cls, origin, failure.retry_after_seconds, correlation_id)
    error.__cause__ = exc
    return error


@lru_cache(maxsize=1024)
def _origin(  # noqa: PLR0917  # a cache takes longer to find what was given by keyword
    transport: EnumInfraTransportType | None,
    operation: str | None,
    target_name: str | None,
    failed_by: type[BaseException],
    happened: str,
    code: str | None,
    retry_count: int | None,
) -> ErrorOrigin:
    """What like failures of one place become has all this in common: made once, not in each failing call."""
    from omnibase_infra.errors.model_infra_error_context import call_context

    name = failed_by.__qualname__

    def describe(_error: ModelOnexError) -> str:
        from omnibase_infra.utils.util_sanitize import sanitize

        target = target_name or transport or "the dependency"
        attempts = f" after {retry_count} attempts" if retry_count and retry_count > 1 else ""
        shown_code = f" {code}" if code else ""
        return sanitize(f"{operation or 'call'} failed: {target} {happened}{attempts} ({name}{shown_code})")

    details: dict[str, JsonValue] = {"retry_count": retry_count, "driver_code": code}
    return ErrorOrigin(
        describe,
        call_context(transport, operation, target_name, f"{failed_by.__module__}.{name}"),
        details={key: value for key, value in details.items() if value is not None},
    )


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
