"""The adaptive throttle: calls that the backend would reject are rejected here, by the rule in `rules/`.

A call that is accepted costs one reading of the clock and one count. Only while the window holds something else does a
call take the lock and ask the rule, and then at most once a tenth of the window until calls are to be rejected.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraUnavailableError, ModelOnexError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require, require_callable
from omnibase_infra.infrastructure.resilience.decorate import (
    NamedByUse,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.infrastructure.resilience.rules import adaptive_throttle as rule
from omnibase_infra.infrastructure.resilience.tally import Tally
from omnibase_infra.infrastructure.resilience.transports import classify
from omnibase_infra.utils.util_ambient import clock_for
from omnibase_infra.utils.util_correlation import correlation_id_var

if TYPE_CHECKING:
    from omnibase_infra.errors import ModelInfraErrorContext

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_NOT_ACCEPTED: Final = frozenset({
    EnumFailureKind.CONNECTION,
    EnumFailureKind.TIMEOUT,
    EnumFailureKind.UNAVAILABLE,
    EnumFailureKind.THROTTLED,
})  # fmt: skip

_NOT_COUNTED: Final = frozenset({EnumFailureKind.REJECTED, EnumFailureKind.ABANDONED})
"""Calls that never reached the backend, or of which nobody knows what became of them."""


class AdaptiveThrottle(NamedByUse):
    """Rejects calls with the share that an overloaded backend does not accept; one object is one target's throttle.

    Accepted is what the backend worked on, errors of the caller's included. Throttled, unavailable, timed-out and lost
    calls are not; abandoned calls, and rejections by our own policies further in, do not count.

    Use it as a decorator or through `call`, for functions of any kind, from any number of tasks, event loops and
    threads.

    Args:
        multiplier: Calls let through for each accepted one, 1 or more; the K of the SRE book.
        window: How long a call counts, in seconds.
        min_per_second: Calls a second that always pass; 0 is the SRE book's own formula.
        name: Shown in errors. An unnamed throttle takes its transport and the first function it guards.
        transport: Transport of the guarded calls.
        clock: Monotonic time in seconds.
        rng: Source of the decisions, in [0, 1).

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    default_name: ClassVar[str] = "adaptive_throttle"

    def __init__(
        self,
        multiplier: float | None = None,
        window: float | None = None,
        min_per_second: float | None = None,
        *,
        name: str | None = None,
        transport: EnumInfraTransportType | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        from omnibase_infra.models.resilience import ModelAdaptiveThrottleConfig

        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_callable(clock=clock, rng=rng)
        given = {"multiplier": multiplier, "window": window, "min_per_second": min_per_second}
        self.config = ModelAdaptiveThrottleConfig(**{key: value for key, value in given.items() if value is not None})
        self.transport = transport
        self._name = checked_name(name)
        self._clock = clock_for(self, clock)
        self._rng = rng
        self._state = self._fresh()
        self._accepted = Tally()
        self._calm_until = inf
        # Re-entrant: a garbage collection in here may close a coroutine whose end makes a guarded call.
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Begin anew, with no call counted."""
        with self._lock:
            self._accepted.new()
            self._state = self._fresh()
            self._calm_until = inf

    @property
    def requests(self) -> int:
        """Calls within the window that ends now, those rejected here included."""
        return self._totals()[0]

    @property
    def accepts(self) -> int:
        """Calls within the window that the backend accepted."""
        return self._totals()[1]

    @property
    def rejection_probability(self) -> float:
        """The probability with which the next call is rejected."""
        with self._lock:
            return self._book(0, self._clock())

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function."""
        context = self._context(fn)
        clock, accepted = self._clock, self._accepted.tick

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if clock() >= self._calm_until:
                self._check(context)
            try:
                result = await fn(*args, **kwargs)
            except BaseException as exc:
                self._fail(exc)
                raise
            accepted()
            return result

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function."""
        context = self._context(fn)
        clock, accepted = self._clock, self._accepted.tick

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if clock() >= self._calm_until:
                self._check(context)
            try:
                result = fn(*args, **kwargs)
                refuse_deferred(fn, result)
            except BaseException as exc:
                self._fail(exc)
                raise
            accepted()
            return result

        return call

    def _fresh(self) -> rule.Throttle:
        config = self.config
        return rule.Throttle(config.multiplier, config.min_per_second, config.window, booked_at=self._clock())

    def _context(self, fn: Callable[..., object]) -> ModelInfraErrorContext:
        from omnibase_infra.errors.model_infra_error_context import call_context

        operation = self._introduce(fn)
        return call_context(self.transport, operation, self.name)

    def _check(self, context: ModelInfraErrorContext) -> None:
        """Ask the rule and the dice; raise when the call is rejected."""
        with self._lock:
            now = self._clock()
            probability = self._book(0, now)
            if not probability or self._rng() >= probability:
                return
            self._book(1, now)
        name = context.target_name or self.name
        if is_listened_to(EnumResilienceEvent.REJECTED):
            emit(
                EnumResilienceEvent.REJECTED,
                policy="adaptive_throttle",
                name=name,
                transport=self.transport,
                operation=context.operation,
                correlation_id=correlation_id_var.get(),
            )
        raise policy_error(
            InfraUnavailableError,
            ErrorOrigin(partial(_refusal, probability, self.config.window), context, rejected_by=name),
        )

    def _fail(self, exc: BaseException) -> None:
        kind = classify(exc, self.transport) if isinstance(exc, Exception) else EnumFailureKind.ABANDONED
        if kind in _NOT_COUNTED:
            return
        if kind not in _NOT_ACCEPTED:
            self._accepted.tick()
            return
        with self._lock:
            self._book(1, self._clock())

    def _book(self, unaccepted: int, now: float) -> float:
        """Book what has ended and return the probability of a rejection; the caller holds the lock."""
        probability = rule.book(self._state, self._accepted.new(), unaccepted, now)
        self._calm_until = rule.calm_until(self._state, probability, now)
        return probability

    def _totals(self) -> list[int]:
        with self._lock:
            self._book(0, self._clock())
            return [*self._state.counts.totals]


def _refusal(probability: float, window: float, error: ModelOnexError) -> str:
    return (
        f"Adaptive throttle: '{error.rejected_by}' rejects {probability:.1%} of the calls, as many as the backend "
        f"did not accept in the last {window:g} s"
    )


class AdaptiveThrottleFactory:
    """Builds adaptive throttles for one transport; every ``create_*_adaptive_throttle`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self._section = section
        self._transport = transport

    def __call__(
        self,
        multiplier: float | None = None,
        window: float | None = None,
        min_per_second: float | None = None,
        *,
        name: str | None = None,
        service: str | None = None,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> AdaptiveThrottle:
        """Build an adaptive throttle from the transport's preset; every argument given here wins over it.

        Args:
            multiplier: Calls let through for each accepted one, 1 or more.
            window: How long a call counts, in seconds.
            min_per_second: Calls a second that always pass.
            name: Shown in errors; the service's when None.
            service: Read ``[services.<service>]`` over the transport's preset.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.
            clock: Monotonic time in seconds.
            rng: Source of the decisions, in [0, 1).

        Raises:
            ProtocolConfigurationError: When a setting is wrong.
        """
        # Presets bring pydantic models, which are slow to import and not needed before the first factory call.
        from omnibase_infra.models.resilience import ModelAdaptiveThrottleConfig
        from omnibase_infra.presets import resolve

        given = {"multiplier": multiplier, "window": window, "min_per_second": min_per_second}
        config = resolve(
            self._section,
            "adaptive_throttle",
            ModelAdaptiveThrottleConfig,
            service=service,
            profile=profile,
            overrides={key: value for key, value in given.items() if value is not None},
        )
        return AdaptiveThrottle(
            config.multiplier,
            config.window,
            config.min_per_second,
            name=service if name is None else name,
            transport=self._transport,
            clock=clock,
            rng=rng,
        )


create_database_adaptive_throttle: Final = AdaptiveThrottleFactory("database", EnumInfraTransportType.DATABASE)
create_network_adaptive_throttle: Final = AdaptiveThrottleFactory("network", EnumInfraTransportType.HTTP)
create_kafka_adaptive_throttle: Final = AdaptiveThrottleFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_adaptive_throttle: Final = AdaptiveThrottleFactory("vault", EnumInfraTransportType.VAULT)
create_consul_adaptive_throttle: Final = AdaptiveThrottleFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_adaptive_throttle: Final = AdaptiveThrottleFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_adaptive_throttle: Final = AdaptiveThrottleFactory("grpc", EnumInfraTransportType.GRPC)
