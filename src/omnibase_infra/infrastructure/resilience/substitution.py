"""When another answer stands in for a failed call, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import (
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.observers import emit
from omnibase_infra.infrastructure.resilience.transports import classify
from omnibase_infra.utils.util_correlation import correlation_id_var

UNANSWERED: Final = frozenset({EnumFailureKind.TIMEOUT, EnumFailureKind.UNAVAILABLE, EnumFailureKind.CONNECTION})
"""The dependency gave no answer at all: what it would have said may be had elsewhere."""

_REJECTED_AS: Final = (
    (InfraTimeoutError, EnumFailureKind.TIMEOUT),
    (InfraUnavailableError, EnumFailureKind.UNAVAILABLE),
    (InfraConnectionError, EnumFailureKind.CONNECTION),
    (InfraRateLimitedError, EnumFailureKind.THROTTLED),
)


def kind_to_answer(exc: Exception, transport: EnumInfraTransportType | None) -> EnumFailureKind:
    """The kind of a failure; a rejection by one of our own policies counts as what its error says.

    An open circuit is an `InfraUnavailableError`, and its caller needs another answer as much as one who got a 503.
    """
    kind = classify(exc, transport)
    if kind is EnumFailureKind.REJECTED:
        for cls, rejected_as in _REJECTED_AS:
            if isinstance(exc, cls):
                return rejected_as
    return kind


def checked_kinds(on: object) -> frozenset[EnumFailureKind]:
    """The kinds that a policy was told to answer.

    Raises:
        ProtocolConfigurationError: When it is neither a kind nor several, or names one that nothing may answer.
    """
    asked: object = on
    given: tuple[object, ...] = (on,)
    if isinstance(on, Iterable) and not isinstance(on, str):
        given = tuple(cast("Iterable[object]", on))
    kinds = [kind for kind in given if isinstance(kind, EnumFailureKind) and kind in _MAY_BE_ANSWERED]
    if not kinds or len(kinds) < len(given):
        raise refused("on", asked, f"one or several EnumFailureKind: {', '.join(_MAY_BE_ANSWERED)}")
    return frozenset(kinds)


def announce(
    policy: str,
    name: str,
    transport: EnumInfraTransportType | None,
    operation: str,
    *,
    kind: EnumFailureKind,
    exc: Exception,
) -> None:
    """Tell observers that a failed call is answered from elsewhere."""
    emit(
        EnumResilienceEvent.FALLBACK_USED,
        policy=policy,
        name=name,
        transport=transport,
        operation=operation,
        correlation_id=correlation_id_var.get(),
        failure_kind=kind,
        error_type=type(exc).__name__,
    )


def chain(second: Exception, first: Exception) -> None:
    """Make the first failure the cause of the other answer's error, behind the causes which that has already."""
    last = _causes(second)[-1]
    if last not in _causes(first):  # else the first failure is in the chain already
        last.__cause__ = first


def _causes(exc: BaseException) -> list[BaseException]:
    causes = [exc]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    return causes


_MAY_BE_ANSWERED: Final = tuple(
    kind for kind in EnumFailureKind if kind not in (EnumFailureKind.ABANDONED, EnumFailureKind.REJECTED)
)
"""A cancelled call wants no answer; a rejection counts as what its error says."""
