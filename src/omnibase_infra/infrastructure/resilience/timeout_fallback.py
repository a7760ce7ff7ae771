"""A plain function with a time limit, and another one for when it is late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, NotRequired, TypedDict, TypeVar

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import InfraTimeoutError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience.arguments import checked_seconds
from omnibase_infra.infrastructure.resilience.deadline import thread_finished_within
from omnibase_infra.infrastructure.resilience.decorate import is_async, qualified_name, refuse_deferred
from omnibase_infra.infrastructure.resilience.substitution import announce, chain, kind_to_answer
from omnibase_infra.utils.util_correlation import CorrelationContext

if TYPE_CHECKING:
    from uuid import UUID

T = TypeVar("T")
U = TypeVar("U")


class Fetched(TypedDict, Generic[T]):
    """What `fetch_with_timeout_fallback` returns."""

    data: T
    source: Literal["primary", "fallback"]
    degraded: bool
    warning: NotRequired[str]


def fetch_with_timeout_fallback(
    primary_func: Callable[[], T],
    fallback_func: Callable[[], U],
    timeout_seconds: float | None = None,
    correlation_id: UUID | str | None = None,
    *,
    transport: EnumInfraTransportType | None = EnumInfraTransportType.DATABASE,
) -> Fetched[T | U]:
    """Call a plain function, and another one when it does not answer in time.

    `primary_func` runs in a daemon thread with a copy of the caller's context variables, `fallback_func` in the
    caller's own. Nothing can stop a thread: **one that is late is left behind**. It runs on until its function
    returns, and its result is dropped; give the function a time-out of its own, or the threads add up. Works in any
    thread, and needs no signals. On an event loop's thread it would hold the loop: use `with_fallback` there.

    Args:
        primary_func: Called first. A time-out that it raises itself (a `TimeoutError`, a driver's) counts as one too.
        fallback_func: Called when `primary_func` is late.
        timeout_seconds: How long to wait, above 0, as short as need be; 5 by the preset ``[defaults.fallback]``,
            endless for ``inf``.
        correlation_id: Current during both calls; by default the one that is current, else a new one.
        transport: Transport named in the error.

    Returns:
        ``data``, its ``source``, whether it is ``degraded``, and then a ``warning``.

    Raises:
        InfraTimeoutError: When `primary_func` was late and `fallback_func` failed; chained from the latter's error.
        Exception: What else `primary_func` raises.
        TypeError: When one of the functions is async.
        ProtocolConfigurationError: When `timeout_seconds` is not usable.
    """
    for fn in (primary_func, fallback_func):
        if is_async(fn):
            raise TypeError(f"{qualified_name(fn)} is a coroutine function; with_fallback serves those")
    seconds = _preset_timeout() if timeout_seconds is None else timeout_seconds
    checked_seconds("timeout_seconds", seconds, zero=False)
    with CorrelationContext(correlation_id):
        try:
            return {"data": _in_thread(primary_func, seconds), "source": "primary", "degraded": False}
        except Exception as late:
            if kind_to_answer(late, transport) is not EnumFailureKind.TIMEOUT:
                raise
            operation = qualified_name(primary_func)
            announce("fallback", operation, transport, operation, kind=EnumFailureKind.TIMEOUT, exc=late)
            try:
                data = fallback_func()
                refuse_deferred(fallback_func, data)
            except Exception as second:
                chain(second, late)
                raise _both_failed(transport, seconds) from second
        return {
            "data": data,
            "source": "fallback",
            "degraded": True,
            "warning": "Primary source timed out, using fallback data",
        }


def _in_thread(fn: Callable[[], T], seconds: float) -> T:
    def work() -> T:
        result = fn()
        refuse_deferred(fn, result)
        return result

    outcome = thread_finished_within(work, checked_seconds("timeout_seconds", seconds))
    if outcome is None:
        raise TimeoutError
    try:
        return outcome.result()
    finally:
        del outcome  # it holds the error, whose traceback holds this frame


def _both_failed(transport: EnumInfraTransportType | None, seconds: float) -> InfraTimeoutError:
    from omnibase_infra.errors.model_infra_error_context import call_context

    return policy_error(
        InfraTimeoutError,
        ErrorOrigin(
            lambda _: "Primary timeout and fallback failed",
            call_context(transport, "fetch", "primary-source"),
            details={"timeout_seconds": seconds},
        ),
    )


def _preset_timeout() -> float:
    from omnibase_infra.models.resilience import ModelFallbackConfig
    from omnibase_infra.presets import resolve

    return resolve("defaults", "fallback", ModelFallbackConfig).timeout_seconds
