"""Retry policies, one factory a transport.

The first attempt is the plain call. Only when it fails does a loop begin, which asks the rules in `rules/backoff.py`
and `rules/budget.py`, and tenacity's strategies (`stop`, `wait`, `retry`) where the user gave some, whether and when to
try again. All state of a call lives in that loop, none on the decorator.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Token
from math import inf
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, cast
from uuid import UUID, uuid4

import tenacity
from tenacity.wait import wait_base

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent, EnumUnset
from omnibase_infra.errors import ModelOnexError, ProtocolConfigurationError, RuntimeHostError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require, require_callable
from omnibase_infra.infrastructure.resilience.decorate import (
    guarded,
    is_async,
    protect,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget
from omnibase_infra.infrastructure.resilience.rules import backoff
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import Failure, failure_of
from omnibase_infra.utils.util_correlation import correlation_id_var
from omnibase_infra.utils.util_show_value import show_value

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelRetryBudgetConfig, ModelRetryConfig

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

RetryState = tenacity.RetryCallState
Stop = Callable[[RetryState], bool | Awaitable[bool]]
Wait = Callable[[RetryState], float | Awaitable[float]]
Retry = Callable[[RetryState], bool | Awaitable[bool]]
BeforeSleep = Callable[[RetryState], Awaitable[None] | None]
Sleep = Callable[[float], Awaitable[None] | None]


class WaitWithinBounds(wait_base):
    """The preset's wait as a tenacity strategy: exponential with jitter, within [min_wait, max_wait] seconds."""

    def __init__(self, min_wait: float, max_wait: float, rng: Callable[[], float]) -> None:
        self.min_wait = min_wait
        self.max_wait = max_wait
        self._rng = rng

    def __call__(self, retry_state: RetryState) -> float:
        """Seconds to wait after the state's attempt."""
        return backoff.wait(retry_state.attempt_number, self.min_wait, self.max_wait, self._rng())


class _Call:
    """One guarded call that has failed or must be watched: everything the loop remembers."""

    __slots__ = (
        *("args", "attempt", "correlation_id", "failed", "fn", "kwargs"),
        *("made_current", "operation", "pending", "result", "started", "state"),
    )

    def __init__(
        self,
        fn: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        operation: str,
        *,
        started: float,
        failed: Exception | None = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.operation = operation
        self.started = started
        self.attempt = 1
        self.failed = failed
        self.result: object = None
        self.pending = failed is None  # an attempt is to be made before anything is decided
        self.state: RetryState | None = None  # tenacity's view of the call, for strategies of the user's
        self.correlation_id: UUID | None = None
        self.made_current: Token[UUID | None] | None = None

    def end(self) -> None:
        """Let go of the exception, whose traceback holds the frames that hold this call, and of the correlation id."""
        self.failed = self.state = None
        if self.made_current is not None:
            with suppress(ValueError):  # a coroutine may be closed in another context than it ran in
                correlation_id_var.reset(self.made_current)


class InfrastructureRetryPolicy:
    """Retries what another attempt may mend, and raises one ONEX error when it gives up.

    Args:
        config: The numbers.
        transport: Transport of the guarded calls.
        name: Shown in errors as the target; the service's name, say.
        stop: A tenacity ``stop`` strategy in place of `max_attempts`.
        wait: A tenacity ``wait`` strategy in place of the bounded exponential one.
        retry: A tenacity ``retry`` strategy in place of the classification. Cancellations never reach it.
        before_sleep: Called with tenacity's call state before each wait.
        budget: Shared retry budget; by default the policy has one of its own, as the config says.
        retry_open_circuit: Wait for an open circuit too, when its `retry_after_seconds` fits.
        idempotent: Whether the calls may be repeated without harm, should they have taken effect unnoticed; None
            leaves it to the request's method where there is one, else to the preset's `retry_unsafe`.
        clock: Monotonic time in seconds.
        rng: Source of the jitter, in [0, 1).
        sleep: Replaces `asyncio.sleep`, or `time.sleep` for plain functions.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    def __init__(
        self,
        config: ModelRetryConfig | None = None,
        *,
        transport: EnumInfraTransportType | None = None,
        name: str | None = None,
        stop: Stop | None = None,
        wait: Wait | None = None,
        retry: Retry | None = None,
        before_sleep: BeforeSleep | None = None,
        budget: RetryBudget | None = None,
        retry_open_circuit: bool = False,
        idempotent: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        sleep: Sleep | None = None,
    ) -> None:
        from omnibase_infra.models.resilience import ModelRetryConfig

        require(ModelRetryConfig, "a ModelRetryConfig", config=config)
        config = config or ModelRetryConfig()
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_callable(
            "a tenacity strategy or a like function", stop=stop, wait=wait, retry=retry, before_sleep=before_sleep
        )
        require_callable(clock=clock, rng=rng, sleep=sleep)
        require(RetryBudget, "a RetryBudget", budget=budget)
        if budget is None and config.budget is not None:
            budget = RetryBudget(config.budget, clock=clock)
        self.config = config
        self.transport = transport
        self.name = checked_name(name)
        self.stop: Stop = stop or tenacity.stop_after_attempt(config.max_attempts)
        self.wait: Wait = wait or WaitWithinBounds(config.min_wait, config.max_wait, rng)
        self.retry: Retry = retry or tenacity.retry_if_exception(
            lambda exc: self._is_retried(failure_of(exc, transport))
        )
        self.before_sleep = before_sleep
        self.budget = budget
        self.retry_open_circuit = retry_open_circuit
        self.idempotent = idempotent
        self._strategies = (stop, wait, retry, before_sleep)
        # Strategies of the user's may ask when the call began and what it returned: then it is watched from its start.
        self._watched = config.max_elapsed is not None or any(self._strategies)
        self._judges_results = retry is not None
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._described = tenacity.Retrying(stop=tenacity.stop_never, wait=tenacity.wait_none())

    @property
    def max_attempts(self) -> int:
        """Calls made at most, the first included."""
        return self.config.max_attempts

    @property
    def min_wait(self) -> float:
        """Shortest wait between two attempts, seconds."""
        return self.config.min_wait

    @property
    def max_wait(self) -> float:
        """Longest wait between two attempts, seconds."""
        return self.config.max_wait

    @property
    def max_elapsed(self) -> float | None:
        """Bound of the whole call, seconds; None for none."""
        return self.config.max_elapsed

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """Guard a function of any kind; it keeps its name, signature and type.

        Raises:
            TypeError: When `fn` cannot be guarded, or is a plain function and a strategy is async.
        """
        return protect(fn, self)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one guarded call; await what it returns when `fn` is a coroutine function."""
        return guarded(fn, self)(*args, **kwargs)

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function. A call that succeeds at once costs one more frame and one count."""
        operation = qualified_name(fn)
        count_call = self.budget.count_call if self.budget else _nothing
        watched = self._watched

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            count_call()
            if watched:
                begun = _Call(fn, args, kwargs, operation, started=self._clock())
            else:
                try:
                    return await fn(*args, **kwargs)
                except Exception as exc:
                    begun = _Call(fn, args, kwargs, operation, started=self._clock(), failed=exc)
            result, error = await self._bounded(begun)
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # its traceback holds this frame
            return cast("T", result)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function. `max_elapsed` is asked between attempts: nothing can interrupt a hung one."""
        if any(given is not None and is_async(given) for given in (*self._strategies, self._sleep)):
            raise TypeError(
                f"{qualified_name(fn)} is a plain function: an async strategy or sleep can only serve an async one"
            )
        operation = qualified_name(fn)
        count_call = self.budget.count_call if self.budget else _nothing
        watched = self._watched

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            count_call()
            if watched:
                begun = _Call(fn, args, kwargs, operation, started=self._clock())
            else:
                try:
                    result = fn(*args, **kwargs)
                    refuse_deferred(fn, result)
                    return result
                except Exception as exc:
                    begun = _Call(fn, args, kwargs, operation, started=self._clock(), failed=exc)
            outcome, error = _run_through(self._loop(begun, self._sleep or time.sleep, is_async=False))
            if error is not None:
                try:
                    raise error
                finally:
                    del error
            return cast("T", outcome)

        return call

    def _is_retried(self, failure: Failure) -> bool:
        return failure.kind in backoff.RETRIED and backoff.repeatable(
            sent=failure.sent, said=self.idempotent, told=failure.idempotent, unsafe=self.config.retry_unsafe
        )

    async def _bounded(self, call: _Call) -> tuple[object, BaseException | None]:
        """Run the loop under `max_elapsed`, a hung attempt included."""
        sleep = self._sleep or asyncio.sleep
        if self.config.max_elapsed is None:
            return await self._loop(call, sleep, is_async=True)
        bound = asyncio.timeout(self.config.max_elapsed)
        try:
            async with bound:
                return await self._loop(call, sleep, is_async=True)
        except TimeoutError as exc:
            if not bound.expired():
                raise
            return None, self._final_error(call, exc)

    async def _loop(self, call: _Call, sleep: Sleep, *, is_async: bool) -> tuple[object, BaseException | None]:
        """Try until a result stands or no further attempt is due; return the result, or the error to raise.

        It is a coroutine for plain functions too, and then never suspends: one loop serves both.
        """
        if any(self._strategies):
            call.state = RetryState(self._described, call.fn, call.args, call.kwargs)
            call.state.start_time = call.started
        error: BaseException | None = None
        try:
            while True:
                if call.pending:
                    try:
                        call.result = call.fn(*call.args, **call.kwargs)
                        if is_async:
                            call.result = await cast("Awaitable[object]", call.result)
                        else:
                            refuse_deferred(call.fn, call.result)
                    except Exception as exc:
                        call.failed = exc
                    else:
                        call.failed = None
                        if not self._judges_results:
                            return call.result, None
                pause, error = await self._decide(call)
                if pause is None:
                    return call.result, error
                slept = sleep(pause)
                if slept is not None:
                    await slept
                call.attempt += 1
                call.pending = True
                if call.state is not None:
                    call.state.idle_for += pause
                    call.state.prepare_for_next_attempt()
        finally:
            error = None  # its cause's traceback holds this frame
            call.end()

    async def _decide(self, call: _Call) -> tuple[float | None, BaseException | None]:
        """What follows an attempt: a wait in seconds, the error to raise, or neither when the result stands."""
        failed, config = call.failed, self.config
        now = self._clock()
        failure = failure_of(failed, self.transport) if failed is not None else None
        hint = failure.retry_after_seconds if failure is not None else None
        if call.state is None:
            again = failure is not None and self._is_retried(failure)
        else:
            again = await self._is_to_retry(call.state, call, now)
        if isinstance(failed, ModelOnexError) and failed.rejected_by is not None and failed.circuit_state is not None:
            again = self.retry_open_circuit and hint is not None
        if not again:
            return None, None if failed is None else self._final_error(call, failed)
        if call.state is None:
            pause = max(backoff.wait(call.attempt, config.min_wait, config.max_wait, self._rng()), hint or 0.0)
            stop = call.attempt >= config.max_attempts
        else:
            pause, stop = await self._wait_and_stop(call.state, call, hint)
        too_long = config.max_elapsed is not None and now - call.started + pause >= config.max_elapsed
        hopeless = hint is not None and hint > config.max_retry_after
        # The budget comes last, so that nothing is spent on a retry that is not made.
        if stop or too_long or hopeless or (self.budget is not None and not self.budget.spend()):
            return None, self._final_error(call, failed)
        if is_listened_to(EnumResilienceEvent.RETRY):
            emit(
                EnumResilienceEvent.RETRY,
                policy="retry",
                name=self.name or call.operation,
                transport=self.transport,
                operation=call.operation,
                correlation_id=_correlation(call),
                attempt=call.attempt,
                wait_seconds=pause,
                failure_kind=failure.kind if failure is not None else EnumFailureKind.CALLER,
                error_type=type(failed).__qualname__ if failed is not None else "unwanted result",
            )
        if self.before_sleep is not None and call.state is not None:
            call.state.next_action = tenacity.RetryAction(pause)
            told = self.before_sleep(call.state)
            if told is not None:
                await told
        return pause, None

    async def _is_to_retry(self, state: RetryState, call: _Call, now: float) -> bool:
        """Ask tenacity's ``retry`` strategy. The other two are asked only then: they may count, or need a failure."""
        if call.failed is not None:
            state.set_exception((type(call.failed), call.failed, call.failed.__traceback__))
        else:
            state.set_result(call.result)
        state.outcome_timestamp = now
        again = self.retry(state)
        return await again if inspect.isawaitable(again) else again

    async def _wait_and_stop(self, state: RetryState, call: _Call, hint: float | None) -> tuple[float, bool]:
        """Ask tenacity's other strategies, in tenacity's order: after how many seconds? stop for all that?"""
        pause = self.wait(state)
        if inspect.isawaitable(pause):
            pause = await pause
        _check_wait(pause, call.failed)
        state.upcoming_sleep = pause = max(pause, hint or 0.0)
        stop = self.stop(state)
        if inspect.isawaitable(stop):
            stop = await stop
        return pause, stop

    def _final_error(self, call: _Call, exc: Exception | None) -> BaseException:
        from omnibase_infra.errors.model_infra_error_context import call_context

        attempts = call.attempt
        error: BaseException
        if exc is None:
            error = RuntimeHostError(
                f"{call.operation} failed: no result was accepted after {attempts} attempts",
                context=call_context(self.transport, call.operation, self.name),
                correlation_id=call.correlation_id,
                retry_count=attempts,
            )
        else:
            error = translate(
                exc,
                transport=self.transport,
                operation=call.operation,
                target_name=self.name,
                retry_count=attempts,
                correlation_id=call.correlation_id,
            )
        if isinstance(error, ModelOnexError) and error is not exc and is_listened_to(EnumResilienceEvent.RETRY_GAVE_UP):
            emit(
                EnumResilienceEvent.RETRY_GAVE_UP,
                policy="retry",
                name=self.name or call.operation,
                transport=self.transport,
                operation=call.operation,
                correlation_id=error.correlation_id,
                attempt=attempts,
                error_type=type(error).__qualname__,
            )
        return error


def _nothing() -> int:
    return 0


def _check_wait(seconds: object, failed: Exception | None) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < inf:
        message = f"wait returned {show_value(seconds)}: must return a finite number of seconds, 0 or more"
        raise ProtocolConfigurationError(message, parameter="wait") from failed


def _correlation(call: _Call) -> UUID:
    """One id for the whole logical call: the current one, else that of its first ONEX error, else a new one.

    It stays current until the call ends, so that what later attempts log and raise bears it too.
    """
    if call.correlation_id is None:
        call.correlation_id = correlation_id_var.get()
    if call.correlation_id is None:
        call.correlation_id = call.failed.correlation_id if isinstance(call.failed, ModelOnexError) else uuid4()
        call.made_current = correlation_id_var.set(call.correlation_id)
    return call.correlation_id


def _run_through(work: Coroutine[object, None, R]) -> R:
    """Run a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("R", done.value)
    work.close()
    raise TypeError("a strategy returned an awaitable for a plain function: async strategies need an async function")


class RetryPolicyFactory:
    """Builds retry policies for one transport; every ``create_*_retry_policy`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self._section = section
        self._transport = transport

    def __call__(
        self,
        max_attempts: int | None = None,
        min_wait: float | None = None,
        max_wait: float | None = None,
        *,
        max_elapsed: float | EnumUnset | None = EnumUnset.UNSET,
        max_retry_after: float | None = None,
        retry_budget: RetryBudget | ModelRetryBudgetConfig | EnumUnset | None = EnumUnset.UNSET,
        stop: Stop | None = None,
        wait: Wait | None = None,
        retry: Retry | None = None,
        before_sleep: BeforeSleep | None = None,
        retry_open_circuit: bool = False,
        idempotent: bool | None = None,
        retry_unsafe: bool | None = None,
        service: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        sleep: Sleep | None = None,
    ) -> InfrastructureRetryPolicy:
        """Build a retry policy from the transport's preset; every argument given here wins over it.

        Args:
            max_attempts: Calls in all, the first too; 1 or more.
            min_wait: Shortest wait between two attempts, seconds, 0 or more.
            max_wait: Longest wait between two attempts, seconds.
            max_elapsed: Bound of the whole, a hung attempt included (a plain function's attempt cannot be
                interrupted), seconds; None for none.
            max_retry_after: A server's hint beyond this many seconds ends the retrying at once.
            retry_budget: A `RetryBudget` to share, settings for an own one, or None for no budget.
            stop: A tenacity ``stop`` strategy in place of `max_attempts`.
            wait: A tenacity ``wait`` strategy in place of the bounded exponential one.
            retry: A tenacity ``retry`` strategy in place of the classification.
            before_sleep: Called with tenacity's call state before each wait.
            retry_open_circuit: Wait for an open circuit, when its `retry_after_seconds` fits the remaining time.
            idempotent: Whether the calls may be repeated without harm, should they have taken effect unnoticed.
            retry_unsafe: Whether calls are repeated of which neither `idempotent` nor the request's method tells.
            service: Read ``[services.<service>]`` over the transport's preset; also the target named in errors.
            clock: Monotonic time in seconds.
            rng: Source of the jitter, in [0, 1).
            sleep: Replaces `asyncio.sleep`, or `time.sleep` for plain functions.

        Raises:
            ProtocolConfigurationError: When a setting is wrong.
        """
        # Presets bring pydantic models, which are slow to import and not needed before the first factory call.
        from omnibase_infra.models.resilience import ModelRetryConfig
        from omnibase_infra.presets import resolve

        given: dict[str, object] = {
            "max_attempts": max_attempts,
            "min_wait": min_wait,
            "max_wait": max_wait,
            "max_retry_after": max_retry_after,
            "retry_unsafe": retry_unsafe,
        }
        overrides = {key: value for key, value in given.items() if value is not None}
        if not isinstance(max_elapsed, EnumUnset):
            overrides["max_elapsed"] = max_elapsed
        shared = retry_budget if isinstance(retry_budget, RetryBudget) else None
        if shared is None and not isinstance(retry_budget, EnumUnset):
            overrides["budget"] = retry_budget
        return InfrastructureRetryPolicy(
            resolve(
                self._section,
                "retry",
                ModelRetryConfig,
                service=service,
                overrides=overrides,
                names={"budget": "retry_budget"},
            ),
            transport=self._transport,
            name=service,
            stop=stop,
            wait=wait,
            retry=retry,
            before_sleep=before_sleep,
            budget=shared,
            retry_open_circuit=retry_open_circuit,
            idempotent=idempotent,
            clock=clock,
            rng=rng,
            sleep=sleep,
        )


create_database_retry_policy: Final = RetryPolicyFactory("database", EnumInfraTransportType.DATABASE)
create_network_retry_policy: Final = RetryPolicyFactory("network", EnumInfraTransportType.HTTP)
create_kafka_retry_policy: Final = RetryPolicyFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_retry_policy: Final = RetryPolicyFactory("vault", EnumInfraTransportType.VAULT)
create_consul_retry_policy: Final = RetryPolicyFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_retry_policy: Final = RetryPolicyFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_retry_policy: Final = RetryPolicyFactory("grpc", EnumInfraTransportType.GRPC)
