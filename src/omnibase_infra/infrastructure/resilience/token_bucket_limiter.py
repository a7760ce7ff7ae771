"""One token bucket, by the rule in `rules/token_bucket.py`.

Its state is one float. It lies in a list of one: whoever pops it owns the bucket until it is put back. Both are single
atomic operations, so threads never see half a decision, and the happy path needs no lock.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar

from omnibase_infra.enums import EnumInfraTransportType, EnumOnLimit, EnumPolicyKind, EnumResilienceEvent
from omnibase_infra.errors import InfraRateLimitedError, ModelOnexError, ProtocolConfigurationError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import FOREVER, checked_name, checked_seconds, refused
from omnibase_infra.infrastructure.resilience.decorate import IS_DEFERRED, NamedByUse, refuse_deferred
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule
from omnibase_infra.infrastructure.resilience.translate import translate, translating_async, translating_sync
from omnibase_infra.utils.util_ambient import clock_for, origin_of, sleep_of
from omnibase_infra.utils.util_correlation import correlation_id_var
from omnibase_infra.utils.util_show_value import show_value

if TYPE_CHECKING:
    from omnibase_infra.errors import ModelInfraErrorContext
    from omnibase_infra.models.resilience import ModelPolicySnapshot, ModelRateLimitConfig

P = ParamSpec("P")
T = TypeVar("T")

_LOST_AFTER: Final = 1_000
"""Looks after which a popped float counts as lost: its owner was killed within the few bytecodes that hold it.

Looks, not seconds: a process that was stopped, or whose owner waits for a turn among many threads, has lost nothing.
"""

_QUICK_LOOKS: Final = 20
"""Looks that only let another thread run; those that follow leave the interpreter to the owner for longer."""

_REJECTED: Final = EnumResilienceEvent.REJECTED  # Python 3.11 takes long to find a member in its class

_NAP: Final = 0.001
"""Seconds between two of the later looks."""


class TokenBucketLimiter(NamedByUse):
    """One token bucket, for use as a decorator or by hand, from any number of tasks, event loops and threads.

    Args:
        rate: Tokens per second; any positive number, fractions too (1/86400 is one a day).
        capacity: Tokens in the full bucket, the largest burst; 1 or more.
        name: Shown in errors. An unnamed limiter takes its transport and the first function it guards.
        transport: Transport of the guarded calls.
        on_limit: As a decorator, reject a call beyond the limit, or have it wait in order.
        timeout: With ``on_limit="wait"``, the longest wait in seconds; None for no bound.
        translate: Raise the function's own failures as ONEX errors too.
        clock: Monotonic time in seconds.
        sleep: Replaces `time.sleep` in `wait`.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    default_name: ClassVar[str] = "rate_limiter"
    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.RATE_LIMITER

    def __init__(
        self,
        rate: float,
        capacity: float,
        name: str | None = None,
        *,
        transport: EnumInfraTransportType | None = None,
        on_limit: EnumOnLimit | str = EnumOnLimit.REJECT,
        timeout: float | None = None,
        translate: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = checked_limits(rate, capacity)
        if on_limit not in list(EnumOnLimit):
            raise refused("on_limit", on_limit, "'reject' or 'wait'")
        self._on_limit = EnumOnLimit(on_limit)
        self._timeout = checked_seconds("timeout", timeout)
        if timeout is not None and self._on_limit is not EnumOnLimit.WAIT:
            raise ProtocolConfigurationError("timeout: only a limiter with on_limit='wait' waits", parameter="timeout")
        self._name = checked_name(name)
        self.transport = transport
        self._translate = translate
        self._clock = clock_for(self, clock)
        self._sleep = sleep_of(sleep)
        # Counted from here, so that a long uptime does not eat the digits that a high rate needs.
        self._origin = origin_of(self._clock)
        self._depth = self.capacity / self.rate
        self._reach = rule.reach(self._depth)
        self._box = [0.0]
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._queued = 0.0
        # Re-entrant: the garbage collector may close an abandoned waiter's coroutine, which leaves, at any allocation.
        self._queue_lock = threading.RLock()
        # Here, so that the first rejection need not wait for the import.
        from omnibase_infra.errors.model_infra_error_context import call_context

        self._call_context = call_context
        if name is not None:
            registry.enlist(self, self._name)

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self._config.rate

    @property
    def capacity(self) -> float:
        """Tokens in the full bucket."""
        return self._config.capacity

    @property
    def on_limit(self) -> EnumOnLimit:
        """What becomes of a call beyond the limit."""
        return self._on_limit

    @property
    def timeout(self) -> float | None:
        """Longest wait of a call beyond the limit, seconds; None for no bound."""
        return self._timeout

    @property
    def translates(self) -> bool:
        """Whether the function's own failures are raised as ONEX errors too."""
        return self._translate

    @property
    def tokens(self) -> float:
        """Tokens in the bucket now."""
        box, full_at = self._withdraw()
        box.append(full_at)
        return rule.level(full_at, self._now(), self.rate, self.capacity)

    def reset(self) -> None:
        """Fill the bucket. Those who wait notice when the wait that they have begun is over."""
        self._withdraw()[0].append(0.0)

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        return ModelPolicySnapshot(
            kind=self.policy_kind,
            name=self.name,
            transport=self.transport,
            numbers={
                "tokens": self.tokens,
                "rate": self.rate,
                "capacity": self.capacity,
                "waiting": len(self._queue),
            },
        )

    def acquire(self, tokens: float = 1) -> bool:
        """Take tokens if they are there and nobody waits for them; never blocks.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        return self._take(self._cost(tokens))

    def check_limit(self, tokens: float = 1) -> None:
        """Take tokens, or raise.

        Raises:
            InfraRateLimitedError: When they are not there; `retry_after_seconds` says exactly when they are.
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        cost = self._cost(tokens)
        if not self._take(cost):
            raise self._rejection("check_limit", self._delay(self._queued + cost))

    def wait(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Block until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        It blocks its thread: on an event loop's thread, use `acquire_async`.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        cost, deadline = self._cost(tokens), self._deadline(timeout)
        if self._take(cost):
            return True
        if self._comes_after(deadline, cost):
            return False
        turn = threading.Event()
        waiter = _Waiter(cost, turn.set)
        try:
            if not self._enter(waiter) and not turn.wait(None if deadline is None else deadline - self._now()):
                return False
            while not self._take(cost, waiter):
                if self._comes_after(deadline, cost):
                    return False
                self._sleep(min(self._delay(cost), FOREVER))
            return True
        finally:
            self._leave(waiter)

    async def acquire_async(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Wait until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        A cancelled waiter leaves the queue and has taken nothing.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        cost, deadline = self._cost(tokens), self._deadline(timeout)
        if self._take(cost):
            return True
        if self._comes_after(deadline, cost):
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        waiter = _Waiter(cost, lambda: loop.call_soon_threadsafe(_settle, turn), loop)
        try:
            if not self._enter(waiter):
                try:
                    async with asyncio.timeout(None if deadline is None else deadline - self._now()):
                        await turn
                except TimeoutError:
                    return False
            while not self._take(cost, waiter):
                if self._comes_after(deadline, cost):
                    return False
                await asyncio.sleep(self._delay(cost))
            return True
        finally:
            self._leave(waiter)

    def quick_take(self) -> Callable[[], bool]:
        """A function that takes one token as `acquire` does, in less time: `rules.token_bucket.take` is written out."""
        clock, origin, queue = self._clock, self._origin, self._queue
        cost = 1 / self.rate
        spare = self._reach - cost

        def take() -> bool:
            now = clock() - origin
            box = self._box
            try:
                full_at = box.pop()
            except IndexError:
                box, full_at = self._withdraw()
            start = full_at if full_at > now else now
            if start - now <= spare and not queue:
                box.append(start + cost)
                return True
            box.append(full_at)
            return bool(queue) and self._take(cost)

        return take

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Limit a coroutine function."""
        operation = self._introduce(fn)
        work = translating_async(fn, partial(self._becomes, operation)) if self._translate else fn
        origin: ErrorOrigin | None = None  # made when it is first needed
        take = self.quick_take()
        cost = 1 / self.rate
        waits = self._on_limit is EnumOnLimit.WAIT

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal origin
            if not (take() or (waits and await self.acquire_async(timeout=self._timeout))):
                origin = origin or self._origin_of(operation)
                raise rejection(origin, self._delay(self._queued + cost))
            return await work(*args, **kwargs)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Limit a plain function."""
        operation = self._introduce(fn)
        work = translating_sync(fn, partial(self._becomes, operation)) if self._translate else fn
        origin: ErrorOrigin | None = None  # made when it is first needed
        take = self.quick_take()
        cost = 1 / self.rate
        waits = self._on_limit is EnumOnLimit.WAIT

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal origin
            if not (take() or (waits and self.wait(timeout=self._timeout))):
                origin = origin or self._origin_of(operation)
                raise rejection(origin, self._delay(self._queued + cost))
            result = work(*args, **kwargs)
            if IS_DEFERRED[type(result)]:
                refuse_deferred(fn, result)
            return result

        return call

    def _named(self) -> None:
        registry.enlist(self, None)

    def _now(self) -> float:
        return self._clock() - self._origin

    def _cost(self, tokens: object) -> float:
        return checked_tokens(tokens, self.capacity) / self.rate

    def _deadline(self, timeout: float | None) -> float | None:
        checked = checked_seconds("timeout", timeout)
        return None if checked is None else self._now() + checked

    def _comes_after(self, deadline: float | None, cost: float) -> bool:
        # A take succeeds as much earlier as the reach is longer than the depth.
        return deadline is not None and self._now() + self._delay(cost) - (self._reach - self._depth) > deadline

    def _withdraw(self) -> tuple[list[float], float]:
        """Take the float out of its box, waiting for the thread that has it."""
        looks = 0
        while True:
            box = self._box
            try:
                return box, box.pop()
            except IndexError:
                looks += 1
            if looks <= _LOST_AFTER:
                time.sleep(0 if looks <= _QUICK_LOOKS else _NAP)
                continue
            looks = 0
            with self._queue_lock:
                if self._box is box:
                    # A new box, begun empty of tokens: should the owner live after all, it returns the float to the
                    # old one, where it does no harm.
                    self._box = [self._now() + self._depth]

    def _take(self, cost: float, waiter: _Waiter | None = None) -> bool:
        """Take by the rule; a caller who does not wait never overtakes one who does."""
        if waiter is None and self._queue and self._somebody_waits():
            return False
        box, full_at = self._withdraw()
        booked = None
        try:
            booked = rule.take(full_at, self._now(), cost, self._reach)
        finally:
            box.append(full_at if booked is None else booked)
        return booked is not None

    def _delay(self, cost: float) -> float:
        box, full_at = self._withdraw()
        box.append(full_at)
        reading = self._clock()
        return noticeable(rule.delay(full_at, reading - self._origin, cost, self._depth), reading)

    def _enter(self, waiter: _Waiter) -> bool:
        """Join the queue; True when it was empty, so that it is the waiter's turn at once."""
        with self._queue_lock:
            self._queue[waiter] = None
            self._queued += waiter.cost
            return len(self._queue) == 1

    def _leave(self, waiter: _Waiter) -> None:
        """Leave the queue, served or not, and let the next one have its turn."""
        with self._queue_lock:
            if waiter not in self._queue:  # passed over, and closed only now
                return
            had_turn = next(iter(self._queue)) is waiter
            self._strike(waiter)
            if had_turn:
                self._call_next()

    def _somebody_waits(self) -> bool:
        """Whether the queue holds anybody once a head whose event loop was closed is passed over."""
        with self._queue_lock:
            head = next(iter(self._queue), None)
            if head is not None and head.loop is not None and head.loop.is_closed():
                self._call_next()
            return bool(self._queue)

    def _call_next(self) -> None:
        while self._queue:
            head = next(iter(self._queue))
            try:
                head.wake()
            except RuntimeError:  # its event loop was closed under it
                self._strike(head)
            else:
                break

    def _strike(self, waiter: _Waiter) -> None:
        del self._queue[waiter]
        self._queued = self._queued - waiter.cost if self._queue else 0.0

    def _becomes(self, operation: str, exc: Exception) -> BaseException:
        return translate(exc, transport=self.transport, operation=operation, target_name=self._name)

    def _origin_of(self, operation: str) -> ErrorOrigin:
        context = self._call_context(self.transport, operation, self.name)
        return origin_of_rejections(self.rate, self.capacity, context)

    def _rejection(self, operation: str, wait: float) -> InfraRateLimitedError:
        return rejection(self._origin_of(operation), wait)


class _Waiter:
    __slots__ = ("cost", "loop", "wake")

    def __init__(self, cost: float, wake: Callable[[], object], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.cost = cost
        self.wake = wake
        self.loop = loop


def origin_of_rejections(rate: float, capacity: float, context: ModelInfraErrorContext, whose: str = "") -> ErrorOrigin:
    """What rejections by one limit have in common; `whose` is said of the limit."""
    return ErrorOrigin(partial(_refusal, rate, capacity, whose), context, rejected_by=context.target_name)


def rejection(origin: ErrorOrigin, wait: float) -> InfraRateLimitedError:
    """Tell the observers of a call beyond the limit, and make its error."""
    if is_listened_to(_REJECTED) and origin.context is not None:
        emit(
            _REJECTED,
            policy="rate_limiter",
            name=origin.rejected_by or "rate_limiter",
            transport=origin.context.transport_type,
            operation=origin.context.operation,
            correlation_id=correlation_id_var.get(),
            retry_after_seconds=wait,
        )
    return policy_error(InfraRateLimitedError, origin, wait)


def _refusal(rate: float, capacity: float, whose: str, error: ModelOnexError) -> str:
    return f"Rate limit exceeded: '{error.rejected_by}' allows {rate:g}/s and bursts of {capacity:g}{whose}"


def _settle(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def noticeable(wait: float, reading: float) -> float:
    """A wait, long enough for the clock to show its end: floats get coarser than the rule's tolerance as they grow."""
    return wait + max(0.0, 2 * math.ulp(reading) - rule.TOLERANCE) if wait else wait


def checked_limits(rate: float, capacity: float) -> ModelRateLimitConfig:
    """The two numbers of a bucket.

    Raises:
        ProtocolConfigurationError: When they are not usable.
    """
    from omnibase_infra.models.resilience import ModelRateLimitConfig

    config = ModelRateLimitConfig(rate=rate, capacity=capacity)
    if not config.capacity / config.rate < math.inf:
        raise ProtocolConfigurationError(
            f"rate = {rate}: must fill the capacity, {capacity:g}, in a time that a float can hold", parameter="rate"
        )
    return config


def checked_tokens(tokens: object, capacity: float) -> float:
    """Tokens that a bucket of this capacity can give.

    Raises:
        ProtocolConfigurationError: When they are no number, below 1, or beyond the capacity.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not 1 <= tokens <= capacity:
        # Not "tokens = …", whose value the sanitiser would take for a secret.
        raise ProtocolConfigurationError(
            f"tokens must be a number from 1 to the capacity, {capacity:.15g}, not {show_value(tokens)}",
            parameter="tokens",
        )
    return tokens
