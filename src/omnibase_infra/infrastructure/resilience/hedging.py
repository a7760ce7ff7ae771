"""Hedges: a second request beside one that takes long, and whichever answers first counts.

To wait for the latency that 95 of 100 calls keep, and only then to send again, adds about 5 % load and cuts off most of
the tail (J. Dean and L. A. Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, cast
from uuid import uuid4

from omnibase_infra.enums import EnumInfraTransportType, EnumResilienceEvent, EnumUnset
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require, require_callable, require_flag
from omnibase_infra.infrastructure.resilience.deadline import GRACE, leave_behind
from omnibase_infra.infrastructure.resilience.decorate import Decorating, qualified_name
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget
from omnibase_infra.infrastructure.resilience.rules.latency_quantile import LatencyQuantile, record
from omnibase_infra.utils.util_ambient import clock_for
from omnibase_infra.utils.util_correlation import attempt_var, correlation_id_var

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelRetryBudgetConfig

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Hedge(Decorating):
    """Sends a call that takes long once more, beside the first; the first success wins, the others are cancelled.

    For async functions, whose calls can run side by side and be cancelled, and for calls that may be made twice: what
    is cancelled may have taken effect. A call that fails before it is hedged fails at once; when all attempts fail, the
    error is the first one's.

    Each attempt is a task with a copy of the caller's context, so that context variables that the function sets do not
    reach the caller. All attempts have one correlation id, and their number from `get_attempt`. A cancelled attempt is
    waited for, but no longer than 0.1 s: one that swallows its cancellation goes on by itself. Should a loser succeed
    all the same, its result is dropped.

    An async generator is hedged until its first item is out. It then goes on in the consumer's task, so a block that
    belongs to a task, such as `asyncio.timeout`, must not reach over its first ``yield``.

    The latencies, and so the quantile, are those of all functions that one object guards: use one for each kind of
    call.

    Args:
        delay: Seconds until the hedge, where there is no quantile or it is not known yet; 0 sends both at once.
        quantile: Hedge what takes longer than this share of the last calls, above 0 and up to 1; None for the fixed
            delay.
        idempotent: Must be said to be true: calls are repeated while the first may still take effect.
        max_hedges: Requests sent beside the first at most, each after another delay.
        minimum_calls: Successful calls before the quantile counts; until then `delay` does, and without it no call is
            hedged.
        samples: Latest successful calls that the quantile is taken of.
        retry_budget: A `RetryBudget` to share, settings for an own one, or None for no budget; by default an own one.
            A hedge that it refuses is not sent.
        counts_calls: Whether the calls count on the budget. False under a retry with the same budget, which counts
            them already.
        transport: Transport of the guarded calls.
        name: Shown in events; the function's when None.
        clock: Monotonic time in seconds, by which latencies are measured. Delays pass on the event loop's own clock.

    Attributes:
        hedged: Requests sent beside a first one so far.
        won: Those that answered first.

    Raises:
        ProtocolConfigurationError: When an argument is not usable, or `idempotent` is not true.
    """

    def __init__(
        self,
        delay: float | None = None,
        quantile: float | None = None,
        *,
        idempotent: bool,
        max_hedges: int | None = None,
        minimum_calls: int | None = None,
        samples: int | None = None,
        retry_budget: RetryBudget | ModelRetryBudgetConfig | EnumUnset | None = EnumUnset.UNSET,
        counts_calls: bool = True,
        transport: EnumInfraTransportType | None = None,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from omnibase_infra.models.resilience import ModelHedgeConfig, ModelRetryBudgetConfig

        require_flag(idempotent=idempotent, counts_calls=counts_calls)
        if not idempotent:
            raise ProtocolConfigurationError(
                "idempotent = False: must be true, for a hedge makes calls twice", parameter="idempotent"
            )
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_callable(clock=clock)
        own = ModelRetryBudgetConfig() if isinstance(retry_budget, EnumUnset | RetryBudget) else retry_budget
        require(ModelRetryBudgetConfig, "a RetryBudget, a ModelRetryBudgetConfig, or None", retry_budget=own)
        given = {"max_hedges": max_hedges, "minimum_calls": minimum_calls, "samples": samples}
        self.config = config = ModelHedgeConfig(
            delay=delay,
            quantile=quantile,
            budget=own,
            **{key: value for key, value in given.items() if value is not None},
        )
        self.budget: RetryBudget | None = None
        if isinstance(retry_budget, RetryBudget):
            self.budget = retry_budget
        elif config.budget is not None:
            self.budget = RetryBudget(config.budget, clock=clock)
        self.counts_calls = counts_calls
        self.transport = transport
        self.name = checked_name(name)
        self.hedged = 0
        self.won = 0
        self._delay = config.delay
        self._latencies = self._fresh()
        self._clock = clock_for(self, clock)
        # Re-entrant: a garbage collection in here may close a coroutine whose end makes a guarded call.
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Begin anew: with no latency known and no hedge counted."""
        with self._lock:
            self._delay = self.config.delay
            self._latencies = self._fresh()
            self.hedged = self.won = 0

    @property
    def current_delay(self) -> float | None:
        """Seconds after which a call is hedged now; None while too few calls are known to say."""
        return self._delay

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function."""
        operation = qualified_name(fn)
        count_call = self.budget.count_call if self.budget is not None and self.counts_calls else _nothing

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            count_call()

            async def attempt() -> T:
                return await fn(*args, **kwargs)

            result, error = await self._race(attempt, operation)
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # its traceback holds this frame
            return cast("T", result)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Refuse a plain function.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{qualified_name(fn)} is a plain function: a hedge needs an async one, whose calls can run side by side "
            "and be cancelled"
        )

    def _fresh(self) -> LatencyQuantile | None:
        config = self.config
        if config.quantile is None:
            return None
        return LatencyQuantile(config.quantile, config.samples, config.minimum_calls)

    async def _race(
        self, attempt: Callable[[], Coroutine[object, None, T]], operation: str
    ) -> tuple[T | None, BaseException | None]:
        """Return the first result, or the error to raise: raised in here, it would hold the tasks that hold it."""
        context = copy_context()
        started = self._clock()
        first = asyncio.get_running_loop().create_task(attempt(), context=context)
        attempts = [first]
        try:
            winner = await self._winner(attempts, attempt, context, operation)
        except asyncio.CancelledError:
            await _dismiss(attempts)
            raise
        except BaseException:  # this coroutine was closed: it cannot wait any more
            for task in attempts:
                leave_behind(task)
            raise
        if winner is not None and self._latencies is not None and (winner is first or not first.done()):
            # A first attempt that lost took at least this long, which is longer than the delay. To leave it out would
            # make the quantile smaller with each hedge that wins.
            with self._lock:
                known = record(self._latencies, self._clock() - started)
                if known is not None:
                    self._delay = known
        if winner is not first and winner is not None:
            with self._lock:
                self.won += 1
        if len(attempts) > 1:
            await _dismiss([task for task in attempts if task is not winner])
        return (None, _error_of(first)) if winner is None else (winner.result(), None)

    async def _winner(
        self,
        attempts: list[asyncio.Task[T]],
        attempt: Callable[[], Coroutine[object, None, T]],
        context: Context,
        operation: str,
    ) -> asyncio.Task[T] | None:
        """Wait for the first success, and add hedges to the attempts meanwhile; None when all have failed."""
        loop = asyncio.get_running_loop()
        delay, hedges_left = self._delay, self.config.max_hedges
        due = None if delay is None else loop.time() + delay
        running = set(attempts)
        while running:
            timeout = None if due is None else due - loop.time()
            done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in attempts:
                if task in done and not task.cancelled() and task.exception() is None:
                    return task
            if done or delay is None:
                continue
            if self.budget is not None and not self.budget.spend():
                due = None
                continue
            # Counted on from the attempt of a retry around this, which the first request is.
            number = attempt_var.get() + len(attempts)
            hedge = loop.create_task(attempt(), context=self._announced(number, delay, context, operation))
            attempts.append(hedge)
            running.add(hedge)
            hedges_left -= 1
            due = loop.time() + delay if hedges_left else None
        return None

    def _announced(self, number: int, delay: float, context: Context, operation: str) -> Context:
        """Tell of a hedge and return its context."""
        with self._lock:
            self.hedged += 1
        correlation_id = correlation_id_var.get()
        if correlation_id is None:
            # One id for all attempts: that which the first has meanwhile, else one that it gets now.
            correlation_id = context.get(correlation_id_var) or uuid4()
            context.run(correlation_id_var.set, correlation_id)
        if is_listened_to(EnumResilienceEvent.HEDGED):
            emit(
                EnumResilienceEvent.HEDGED,
                policy="hedge",
                name=self.name or operation,
                transport=self.transport,
                operation=operation,
                correlation_id=correlation_id,
                attempt=number,
                wait_seconds=delay,
            )
        own = copy_context()
        own.run(correlation_id_var.set, correlation_id)
        own.run(attempt_var.set, number)
        return own


async def _dismiss(attempts: list[asyncio.Task[T]]) -> None:
    """Cancel what still runs, and wait until it has ended, as far as it obeys."""
    for task in attempts:
        leave_behind(task)
    running = [task for task in attempts if not task.done()]
    if running:
        await asyncio.wait(running, timeout=GRACE)


def _error_of(task: asyncio.Task[T]) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as cancelled:  # by the function itself
        return cancelled


def _nothing() -> int:
    return 0


class HedgeFactory:
    """Builds hedges for one transport; every ``create_*_hedge`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self._section = section
        self._transport = transport

    def __call__(
        self,
        delay: float | EnumUnset | None = EnumUnset.UNSET,
        quantile: float | EnumUnset | None = EnumUnset.UNSET,
        *,
        idempotent: bool,
        max_hedges: int | None = None,
        minimum_calls: int | None = None,
        samples: int | None = None,
        retry_budget: RetryBudget | ModelRetryBudgetConfig | EnumUnset | None = EnumUnset.UNSET,
        counts_calls: bool = True,
        name: str | None = None,
        service: str | None = None,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Hedge:
        """Build a hedge from the transport's preset; every argument given here wins over it.

        Args:
            delay: Seconds until the hedge while fewer than `minimum_calls` are known; None for no hedges until then.
                With ``quantile=None`` the delay for good.
            quantile: Hedge what takes longer than this share of the last calls; None for the fixed delay.
            idempotent: Must be said to be true: calls are repeated while the first may still take effect. No transport
                tells a read from a write.
            max_hedges: Requests sent beside the first at most, each after another delay.
            minimum_calls: Successful calls before the quantile counts.
            samples: Latest successful calls that the quantile is taken of.
            retry_budget: A `RetryBudget` to share with the target's retries, settings for an own one, or None for no
                budget.
            counts_calls: Whether the calls count on the budget. False under a retry with the same budget.
            name: Shown in events; the service's when None.
            service: Read ``[services.<service>]`` over the transport's preset.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.
            clock: Monotonic time in seconds, by which latencies are measured.

        Raises:
            ProtocolConfigurationError: When a setting is wrong, or `idempotent` is not true.
        """
        # Presets bring pydantic models, which are slow to import and not needed before the first factory call.
        from omnibase_infra.models.resilience import ModelHedgeConfig
        from omnibase_infra.presets import resolve

        given = {"max_hedges": max_hedges, "minimum_calls": minimum_calls, "samples": samples}
        optional: dict[str, object] = {"delay": delay, "quantile": quantile}
        if not isinstance(retry_budget, RetryBudget):
            optional["budget"] = retry_budget
        config = resolve(
            self._section,
            "hedge",
            ModelHedgeConfig,
            service=service,
            profile=profile,
            overrides={
                **{key: value for key, value in given.items() if value is not None},
                **{key: value for key, value in optional.items() if not isinstance(value, EnumUnset)},
            },
            names={"budget": "retry_budget"},
        )
        return Hedge(
            config.delay,
            config.quantile,
            idempotent=idempotent,
            max_hedges=config.max_hedges,
            minimum_calls=config.minimum_calls,
            samples=config.samples,
            retry_budget=retry_budget if isinstance(retry_budget, RetryBudget) else config.budget,
            counts_calls=counts_calls,
            transport=self._transport,
            name=service if name is None else name,
            clock=clock,
        )


create_database_hedge: Final = HedgeFactory("database", EnumInfraTransportType.DATABASE)
create_network_hedge: Final = HedgeFactory("network", EnumInfraTransportType.HTTP)
create_kafka_hedge: Final = HedgeFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_hedge: Final = HedgeFactory("vault", EnumInfraTransportType.VAULT)
create_consul_hedge: Final = HedgeFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_hedge: Final = HedgeFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_hedge: Final = HedgeFactory("grpc", EnumInfraTransportType.GRPC)
