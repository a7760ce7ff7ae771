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
from contextvars import Token
from copy import copy
from math import inf
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar, cast, overload
from uuid import UUID, uuid4

import tenacity
from tenacity.wait import wait_base

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent, EnumUnset
from omnibase_infra.errors import ModelOnexError, ProtocolConfigurationError, RuntimeHostError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require, require_callable
from omnibase_infra.infrastructure.resilience.deadline import finished_within
from omnibase_infra.infrastructure.resilience.decorate import (
    IS_DEFERRED,
    Decorating,
    is_async,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.infrastructure.resilience.observers.nested_retries import report_nested_retries
from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget
from omnibase_infra.infrastructure.resilience.rules import backoff
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import Failure, failure_of
from omnibase_infra.utils.util_ambient import clock_of, sleep_of
from omnibase_infra.utils.util_correlation import CorrelationContext, attempt_var, correlation_id_var
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


_DESCRIBED: Final = tenacity.Retrying(stop=tenacity.stop_never, wait=tenacity.wait_none())
"""What tenacity's view of a call belongs to; it decides nothing."""

_RETRY: Final = EnumResilienceEvent.RETRY  # Python 3.11 takes long to find a member in its class
_GAVE_UP: Final = EnumResilienceEvent.RETRY_GAVE_UP


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
        *("args", "attempt", "cancelled", "correlation_id", "failed", "fn", "is_over", "kwargs"),
        *("made_current", "numbered", "operation", "pending", "result", "started", "state"),
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
        self.is_over = False  # the caller has gone: what is still under way was left behind
        self.cancelled: Callable[[], int] = _nothing  # counts the cancellations of a task of the call's own
        self.correlation_id: UUID | None = None
        self.made_current: Token[UUID | None] | None = None
        self.numbered: Token[int] | None = None

    def begin_next_attempt(self) -> None:
        """Count one more attempt; its number stays current until the next one, or the end of the call."""
        self.attempt += 1
        self.pending = True
        token = attempt_var.set(self.attempt)
        self.numbered = self.numbered or token

    def end(self) -> None:
        """Let go of the exception, whose traceback holds the frames that hold this call, and of what was current."""
        self.failed = self.state = None
        self.cancelled = _nothing
        try:
            if self.numbered is not None:
                attempt_var.reset(self.numbered)
            if self.made_current is not None:
                correlation_id_var.reset(self.made_current)
        except ValueError:  # a coroutine may be closed in another context than it ran in
            pass


class InfrastructureRetryPolicy(Decorating):
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
        require(bool, "true or false, or None", idempotent=idempotent)
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
        self.is_watched = config.max_elapsed is not None or any(self._strategies)
        self._judges_results = retry is not None
        self._clock = clock_of(clock)
        self._rng = rng
        self._sleep = sleep

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

    @property
    def has_own_strategies(self) -> bool:
        """Whether strategies of the user's decide in the preset's place."""
        return any(self._strategies[:3])  # `before_sleep` decides nothing

    @property
    def has_own_predicate(self) -> bool:
        """Whether a strategy of the user's decides what is retried, in place of the classification."""
        return self._judges_results

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function. A call that succeeds at once costs one more frame and one count."""
        operation = qualified_name(fn)
        count_call = self.budget.count_call if self.budget else _nothing
        watched = self.is_watched

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            count_call()
            if watched:
                begun = _Call(fn, args, kwargs, operation, started=self._clock())
            else:
                try:
                    return await fn(*args, **kwargs)
                except Exception as exc:
                    begun = _Call(fn, args, kwargs, operation, started=self._clock(), failed=exc)
            return cast("T", await self._finish(begun))

        return call

    async def resume(
        self,
        failed: Exception,
        fn: Callable[..., Coroutine[object, None, object]],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        operation: str,
    ) -> object:
        """Go on after a first attempt that somebody else has made, and counted."""
        call = _Call(fn, args, kwargs, operation, started=self._clock(), failed=failed)
        del failed  # its traceback may come to hold this frame
        return await self._finish(call)

    def within(self, seconds: float) -> Self:
        """A twin under a tighter `max_elapsed`, with the same budget and all else."""
        twin = copy(self)
        bound = min(seconds, self.config.max_elapsed or inf)
        twin.config = self.config.model_copy(update={"max_elapsed": bound})
        twin.is_watched = True
        return twin

    async def _finish(self, call: _Call) -> object:
        if self.config.max_elapsed is None:
            result, error = await self._loop(call, self._sleep or asyncio.sleep, is_async=True)
        else:
            result, error = await self._bounded(call, self.config.max_elapsed)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return result

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function. `max_elapsed` is asked between attempts: nothing can interrupt a hung one."""
        if any(given is not None and is_async(given) for given in (*self._strategies, self._sleep)):
            raise TypeError(
                f"{qualified_name(fn)} is a plain function: an async strategy or sleep can only serve an async one"
            )
        operation = qualified_name(fn)
        count_call = self.budget.count_call if self.budget else _nothing
        watched = self.is_watched

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            count_call()
            if watched:
                begun = _Call(fn, args, kwargs, operation, started=self._clock())
            else:
                try:
                    result = fn(*args, **kwargs)
                    if IS_DEFERRED[type(result)]:
                        refuse_deferred(fn, result)
                    return result
                except Exception as exc:
                    begun = _Call(fn, args, kwargs, operation, started=self._clock(), failed=exc)
            outcome, error = _run_through(self._loop(begun, self._sleep or sleep_of(time.sleep), is_async=False))
            if error is not None:
                try:
                    raise error
                finally:
                    del error
            return cast("T", outcome)

        return call

    def _is_retried(self, failure: Failure) -> bool:
        return (
            failure.kind in backoff.RETRIED
            and not failure.retry_forbidden
            and backoff.repeatable(
                sent=failure.sent, said=self.idempotent, told=failure.idempotent, unsafe=self.config.retry_unsafe
            )
        )

    async def _bounded(self, call: _Call, max_elapsed: float) -> tuple[object, BaseException | None]:
        """Run the loop within so many seconds, a hung attempt included."""
        try:
            loop = await finished_within(self._loop(call, self._sleep or asyncio.sleep, is_async=True), max_elapsed)
        finally:
            call.is_over = True
        return loop.result() if loop is not None else (None, self._final_error(call, TimeoutError()))

    async def _loop(self, call: _Call, sleep: Sleep, *, is_async: bool) -> tuple[object, BaseException | None]:
        """Try until a result stands or no further attempt is due; return the result, or the error to raise.

        It is a coroutine for plain functions too, and then never suspends: one loop serves both.
        """
        if any(self._strategies):
            call.state = RetryState(_DESCRIBED, call.fn, call.args, call.kwargs)
            call.state.start_time = call.started
        own_task = asyncio.current_task() if is_async and self.config.max_elapsed is not None else None
        call.cancelled = own_task.cancelling if own_task is not None else _nothing
        del own_task  # it comes to hold the error that it returns
        error: BaseException | None = None
        try:
            while not call.is_over:
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
                pause, error = self._decide(call) if call.state is None else await self._decide_by_strategies(call)
                if pause is None:
                    return call.result, error
                slept = sleep(pause)
                if slept is not None:
                    await slept
                call.begin_next_attempt()
                if call.state is not None:
                    call.state.idle_for += pause
                    call.state.prepare_for_next_attempt()
            return None, None
        finally:
            error = None  # its cause's traceback holds this frame
            call.end()

    def _decide(self, call: _Call) -> tuple[float | None, BaseException | None]:
        """What follows a failed attempt, by the preset and its rules: a wait in seconds, or the error to raise."""
        config, failed = self.config, call.failed
        if failed is None or call.is_over:
            return None, None
        failure = failure_of(failed, self.transport)
        hint = failure.retry_after_seconds
        again = self._is_retried(failure) or (_is_open_circuit(failed) and self._waits_for_circuit(hint))
        if not again or call.attempt >= config.max_attempts or call.cancelled():
            return None, self._final_error(call, failed)
        pause = backoff.wait(call.attempt, config.min_wait, config.max_wait, self._rng())
        return self._granted(call, failed, failure, pause if hint is None else max(pause, hint))

    async def _decide_by_strategies(self, call: _Call) -> tuple[float | None, BaseException | None]:
        """The same by the user's tenacity strategies; neither a wait nor an error when the result stands."""
        state, failed = cast("RetryState", call.state), call.failed
        if call.is_over:
            return None, None
        failure = failure_of(failed, self.transport) if failed is not None else None
        hint = failure.retry_after_seconds if failure is not None else None
        again = await self._is_to_retry(state, call, self._clock())
        if _is_open_circuit(failed):
            again = self._waits_for_circuit(hint)
        if not again or call.cancelled():
            return None, None if failed is None else self._final_error(call, failed)
        pause, stop = await self._wait_and_stop(state, call, hint)
        if stop:
            return None, self._final_error(call, failed)
        granted, error = self._granted(call, failed, failure, pause)
        if granted is not None and self.before_sleep is not None:
            state.next_action = tenacity.RetryAction(granted)
            told = self.before_sleep(state)
            if told is not None:
                await told
        return granted, error

    def _waits_for_circuit(self, hint: float | None) -> bool:
        """Whether the user asked to wait for an open circuit, and it says how long."""
        return self.retry_open_circuit and hint is not None

    def _granted(
        self, call: _Call, failed: Exception | None, failure: Failure | None, pause: float
    ) -> tuple[float | None, BaseException | None]:
        """The wait if it fits the remaining time, the server's hint and the budget, else the error to raise."""
        config = self.config
        hint = failure.retry_after_seconds if failure is not None else None
        too_long = config.max_elapsed is not None and self._clock() - call.started + pause >= config.max_elapsed
        hopeless = hint is not None and hint > config.max_retry_after
        # The budget comes last, so that nothing is spent on a retry that is not made.
        if too_long or hopeless or (self.budget is not None and not self.budget.spend()):
            return None, self._final_error(call, failed)
        client_attempts = failure.client_attempts if failure is not None else 1
        if client_attempts > 1 and failed is not None:
            report_nested_retries(failed, client_attempts, None if self.has_own_strategies else config.max_attempts)
        if is_listened_to(_RETRY):
            emit(
                _RETRY,
                policy="retry",
                name=self.name or call.operation,
                transport=self.transport,
                operation=call.operation,
                correlation_id=_correlation(call),
                attempt=call.attempt,
                wait_seconds=pause,
                failure_kind=failure.kind if failure is not None else EnumFailureKind.CALLER,
                error_type=type(failed).__qualname__ if failed is not None else "unwanted result",
                client_attempts=client_attempts,
            )
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
        attempts = call.attempt
        error: BaseException
        if exc is None:
            from omnibase_infra.errors.model_infra_error_context import call_context

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
        if isinstance(error, ModelOnexError) and error is not exc and is_listened_to(_GAVE_UP):
            emit(
                _GAVE_UP,
                policy="retry",
                name=self.name or call.operation,
                transport=self.transport,
                operation=call.operation,
                correlation_id=error.correlation_id,
                attempt=attempts,
                error_type=type(error).__qualname__,
            )
        return error


def _is_open_circuit(failed: Exception | None) -> bool:
    return isinstance(failed, ModelOnexError) and failed.rejected_by is not None and failed.circuit_state is not None


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
        name: str | None = None,
        service: str | None = None,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
        sleep: Sleep | None = None,
    ) -> InfrastructureRetryPolicy:
        """Build a retry policy from the transport's preset; every argument given here wins over it.

        Args:
            max_attempts: Calls in all, the first too; 1 or more.
            min_wait: Shortest wait between two attempts, seconds, 0 or more.
            max_wait: Longest wait between two attempts, seconds.
            max_elapsed: Bound of the whole, a hung attempt included, seconds; None for none. An attempt that does not
                end when it is cancelled is left behind: what it used, a connection say, must be thrown away. Bounded
                attempts run in a task of their own, and context variables that they set do not reach the caller. A
                plain function's attempt cannot be interrupted.
            max_retry_after: A server's hint beyond this many seconds ends the retrying at once.
            retry_budget: A `RetryBudget` to share, settings for an own one, or None for no budget.
            stop: A tenacity ``stop`` strategy in place of `max_attempts`.
            wait: A tenacity ``wait`` strategy in place of the bounded exponential one.
            retry: A tenacity ``retry`` strategy in place of the classification.
            before_sleep: Called with tenacity's call state before each wait.
            retry_open_circuit: Wait for an open circuit, when its `retry_after_seconds` fits the remaining time.
            idempotent: Whether the calls may be repeated without harm, should they have taken effect unnoticed.
            retry_unsafe: Whether calls are repeated of which neither `idempotent` nor the request's method tells.
            name: The target named in errors; the service when None.
            service: Read ``[services.<service>]`` over the transport's preset.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.
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
                profile=profile,
                overrides=overrides,
                names={"budget": "retry_budget"},
            ),
            transport=self._transport,
            name=service if name is None else name,
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


@overload
async def retry_with_exponential_backoff(
    operation: Callable[[], Awaitable[T]],
    max_attempts: int | None = ...,
    base_delay: float | None = ...,
    max_delay: float | None = ...,
    correlation_id: UUID | str | None = ...,
    *,
    transport: EnumInfraTransportType | None = ...,
    retry_budget: RetryBudget | None = ...,
    clock: Callable[[], float] = ...,
    rng: Callable[[], float] = ...,
    sleep: Sleep | None = ...,
) -> T: ...


@overload
async def retry_with_exponential_backoff(
    operation: Callable[[], T],
    max_attempts: int | None = ...,
    base_delay: float | None = ...,
    max_delay: float | None = ...,
    correlation_id: UUID | str | None = ...,
    *,
    transport: EnumInfraTransportType | None = ...,
    retry_budget: RetryBudget | None = ...,
    clock: Callable[[], float] = ...,
    rng: Callable[[], float] = ...,
    sleep: Sleep | None = ...,
) -> T: ...


async def retry_with_exponential_backoff(
    operation: Callable[[], object],
    max_attempts: int | None = None,
    base_delay: float | None = None,
    max_delay: float | None = None,
    correlation_id: UUID | str | None = None,
    *,
    transport: EnumInfraTransportType | None = None,
    retry_budget: RetryBudget | None = None,
    clock: Callable[[], float] = time.monotonic,
    rng: Callable[[], float] = random.random,
    sleep: Sleep | None = None,
) -> object:
    """Call `operation` until it succeeds, by the rules of `InfrastructureRetryPolicy`.

    The numbers that are not given are those of the ``[defaults.retry]`` preset.

    Args:
        operation: A function without arguments: async, plain, or a lambda that returns an awaitable. A plain one holds
            the event loop while it runs.
        max_attempts: Calls in all, the first too; 1 or more, 5 by the preset.
        base_delay: Shortest wait between two attempts, seconds; 1 by the preset, 0 for no waits at all.
        max_delay: Longest wait, which no jitter passes, seconds; 60 by the preset.
        correlation_id: Current during the attempts, and in the errors they make; by default the one that is current,
            else a new one.
        transport: Transport of the calls; it decides the code of an `InfraConnectionError`.
        retry_budget: Shared with other calls of the same target; None for none.
        clock: Monotonic time in seconds.
        rng: Source of the jitter, in [0, 1).
        sleep: Replaces `asyncio.sleep`.

    Raises:
        RuntimeHostError: The ONEX error of the last failure, once the attempts are used up: `InfraConnectionError`,
            `InfraTimeoutError`, and so on.
        Exception: At once, what no further attempt can mend.
        ProtocolConfigurationError: When an argument is not usable.
        ValueError: When `correlation_id` is neither a UUID nor a UUID string.
    """
    from omnibase_infra.models.resilience import ModelRetryConfig
    from omnibase_infra.presets import resolve

    require_callable(operation=operation)
    if base_delay == 0 and max_delay is None:
        max_delay = 0
    given = {"max_attempts": max_attempts, "min_wait": base_delay, "max_wait": max_delay}
    config = resolve(
        "defaults",
        "retry",
        ModelRetryConfig,
        overrides={"budget": None} | {key: value for key, value in given.items() if value is not None},
        names={"min_wait": "base_delay", "max_wait": "max_delay"},
    )
    policy = InfrastructureRetryPolicy(
        config, transport=transport, budget=retry_budget, clock=clock, rng=rng, sleep=sleep
    )

    async def attempt() -> object:
        result = operation()
        return await result if inspect.isawaitable(result) else result

    attempt.__qualname__ = qualified_name(operation)
    with CorrelationContext(correlation_id):
        return await policy.call(attempt)
