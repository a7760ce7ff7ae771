"""The usual order of a pipeline as one wrapper, for coroutine functions.

It makes the first attempt by itself as long as each policy would just let the call pass. A call that any of them has to
decide about goes to the stack of their own wrappers, before anything has begun; a first attempt that fails is handed to
the policies, from the innermost to the outermost, as their own wrappers would. No decision is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, cast

from omnibase_infra.enums import EnumPipelineStage
from omnibase_infra.infrastructure.resilience.bulkhead import Bulkhead
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
from omnibase_infra.infrastructure.resilience.rate_limiter import TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy
from omnibase_infra.infrastructure.resilience.timeout import Timeout

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.pipeline_order import Policy
    from omnibase_infra.infrastructure.resilience.rules.circuit import Generation

P = ParamSpec("P")
T = TypeVar("T")

_KNOWN: Final = {
    EnumPipelineStage.CALL_BREAKER: InfrastructureCircuitBreaker,
    EnumPipelineStage.TOTAL_TIMEOUT: Timeout,
    EnumPipelineStage.RETRY: InfrastructureRetryPolicy,
    EnumPipelineStage.CIRCUIT_BREAKER: InfrastructureCircuitBreaker,
    EnumPipelineStage.RATE_LIMITER: TokenBucketLimiter,
    EnumPipelineStage.BULKHEAD: Bulkhead,
    EnumPipelineStage.ATTEMPT_TIMEOUT: Timeout,
}
"""The places in their order, and the very classes that stand in them: a subclass may do more."""


@dataclass(slots=True, frozen=True)
class UsualOrder:
    """The policies of the usual order, each in its place or absent."""

    total_timeout: Timeout | None
    retry: InfrastructureRetryPolicy | None
    breaker: InfrastructureCircuitBreaker | None
    breaker_counts_attempts: bool
    limiter: TokenBucketLimiter | None
    bulkhead: Bulkhead | None
    attempt_timeout: Timeout | None


def usual_order(policies: Sequence[Policy], stages: Sequence[EnumPipelineStage]) -> UsualOrder | None:
    """The policies by their places; None when they stand in another order, or one does more than to let calls pass."""
    order = list(_KNOWN)
    places = [order.index(stage) if stage in _KNOWN else -1 for stage in stages]
    found = dict(zip(stages, policies, strict=True))
    if (
        -1 in places
        or any(place >= following for place, following in pairwise(places))
        or any(type(policy) is not _KNOWN[stage] for stage, policy in found.items())
        or {EnumPipelineStage.CALL_BREAKER, EnumPipelineStage.CIRCUIT_BREAKER} <= found.keys()
    ):
        return None
    inner_breaker = found.get(EnumPipelineStage.CIRCUIT_BREAKER)
    usual = UsualOrder(
        total_timeout=_as(Timeout, found.get(EnumPipelineStage.TOTAL_TIMEOUT)),
        retry=_as(InfrastructureRetryPolicy, found.get(EnumPipelineStage.RETRY)),
        breaker=_as(InfrastructureCircuitBreaker, inner_breaker or found.get(EnumPipelineStage.CALL_BREAKER)),
        breaker_counts_attempts=inner_breaker is not None,
        limiter=_as(TokenBucketLimiter, found.get(EnumPipelineStage.RATE_LIMITER)),
        bulkhead=_as(Bulkhead, found.get(EnumPipelineStage.BULKHEAD)),
        attempt_timeout=_as(Timeout, found.get(EnumPipelineStage.ATTEMPT_TIMEOUT)),
    )
    runs_apart = any(bound is not None and bound.abandon for bound in (usual.total_timeout, usual.attempt_timeout))
    is_watched = usual.retry is not None and usual.retry.is_watched
    translates = usual.limiter is not None and usual.limiter.translates
    return None if runs_apart or is_watched or translates else usual


def flattened(
    usual: UsualOrder,
    work: Callable[P, Coroutine[object, None, T]],
    *,
    again: Callable[P, Coroutine[object, None, T]],
    stacked: Callable[P, Coroutine[object, None, T]],
    translate: Callable[[Exception], BaseException],
    operation: str,
) -> Callable[P, Coroutine[object, None, T]]:
    """One wrapper around `work`.

    Args:
        usual: The policies.
        work: What one attempt calls.
        again: What a further attempt calls: `work` under the policies inside the retry.
        stacked: `work` under all policies, for calls that one of them has to decide about.
        translate: The ONEX error for a failure.
        operation: Name of the guarded function.
    """
    breaker, counts_attempts, bulkhead = usual.breaker, usual.breaker_counts_attempts, usual.bulkhead
    circuit = None if breaker is None else breaker.circuit
    take_place = None if bulkhead is None else bulkhead.take_place
    take_token = None if usual.limiter is None else usual.limiter.quick_take()
    bound = usual.attempt_timeout or usual.total_timeout  # the attempt's is never the longer one
    deadline = None if bound is None else bound.deadline
    budget = None if usual.retry is None else usual.retry.budget
    count_call = None if budget is None else budget.count_call

    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        admitted = timer = timed = None
        if circuit is not None:
            admitted = circuit.passing
            if admitted is None:
                return await stacked(*args, **kwargs)
        if take_place is not None and not take_place():
            return await stacked(*args, **kwargs)
        if take_token is not None and not take_token():
            if bulkhead is not None:
                bulkhead.give_back()
            return await stacked(*args, **kwargs)
        if count_call is not None:
            count_call()
        if deadline is not None:
            timer = deadline.timer()
            timed = timer.begin()
        try:
            result = await work(*args, **kwargs)
        except BaseException as exc:
            failed: BaseException = exc
            began, retry, is_late = 0.0, usual.retry, False
            if bound is not None and timer is not None and timed is not None:
                began = timed[1] - bound.seconds
                is_late = timer.is_late(timed, exc)
                timed = None  # its task may come to hold the exception, whose traceback holds this frame
                if is_late and bound is usual.attempt_timeout:
                    failed = bound.late(operation, exc)
            if bulkhead is not None:
                bulkhead.give_back()
            if breaker is not None and admitted is not None and counts_attempts:
                failed = breaker.record_failure(admitted, failed, began, operation)
            if is_late and bound is not None and bound is usual.total_timeout:
                failed, retry = bound.late(operation, exc), None
            if not isinstance(failed, Exception):
                raise  # abandoned in a closed circuit: there is no place to give back
        else:
            if timer is not None and timed is not None:
                timer.end(timed)
            if bulkhead is not None:
                bulkhead.give_back()
            if breaker is not None and admitted is not None and admitted.listening:
                breaker.record_success(admitted, 0.0)
            return result
        resume = None if retry is None else partial(retry.resume, failed, again, args, kwargs, operation)
        first = _First(failed, began, None if counts_attempts else admitted)
        del failed
        try:
            return cast("T", await _go_on(usual, first, resume, translate, operation))
        finally:
            del first, resume  # the traceback of what they hold holds this frame

    return call


@dataclass(slots=True)
class _First:
    """A first attempt that failed."""

    error: Exception
    began: float
    admitted: Generation | None
    """What the breaker that counts calls let it pass as."""


async def _go_on(
    usual: UsualOrder,
    first: _First,
    resume: Callable[[], Coroutine[object, None, object]] | None,
    translate: Callable[[Exception], BaseException],
    operation: str,
) -> object:
    """What follows a failed first attempt: further ones, within what is left of the time, one call to the breaker."""
    breaker, total, admitted = usual.breaker, usual.total_timeout, first.admitted
    error: BaseException | None = None
    try:
        if resume is None:
            raise first.error
        if total is None:
            result = await resume()
        else:
            left = asyncio.timeout_at(first.began + total.seconds)
            try:
                async with left:
                    result = await resume()
            except TimeoutError as exc:
                if not left.expired():
                    raise
                raise total.late(operation, exc.__cause__)  # noqa: B904 - it brings its cause
    except BaseException as exc:
        error = exc
        if breaker is not None and admitted is not None:
            error = breaker.record_failure(admitted, error, first.began, operation)
        if isinstance(error, Exception):
            error = translate(error)
        if error is exc:
            raise
        raise error from exc
    else:
        if breaker is not None and admitted is not None and admitted.listening:
            breaker.record_success(admitted, first.began)
        return result
    finally:
        del first, resume, error  # their tracebacks hold this frame


def _as(cls: type[T], policy: object) -> T | None:
    return policy if isinstance(policy, cls) else None
