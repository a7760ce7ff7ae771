"""Circuit breakers, one factory a transport, all faces of the machine in `rules/circuit.py`.

This module owns what the rule must not have: the clock, the lock, the decorator, and the errors.
"""

from __future__ import annotations

import inspect
import random
import threading
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, Self, TypedDict, TypeVar, Unpack, cast, overload

import circuitbreaker

from omnibase_infra.enums import (
    EnumCircuitState,
    EnumFailureKind,
    EnumInfraTransportType,
    EnumPolicyKind,
    EnumResilienceEvent,
    EnumUnset,
)
from omnibase_infra.errors import InfraUnavailableError, ModelOnexError, ProtocolConfigurationError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require, require_callable
from omnibase_infra.infrastructure.resilience.decorate import (
    IS_DEFERRED,
    guarded,
    is_async,
    protect,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.keyed_circuit_breaker import MAX_KEYS, KeyedCircuitBreaker
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.infrastructure.resilience.shared_state.circuit_sharing import settled, sharing
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import classify
from omnibase_infra.utils.util_ambient import clock_for
from omnibase_infra.utils.util_correlation import correlation_id_var

if TYPE_CHECKING:
    from types import TracebackType

    from omnibase_infra.infrastructure.resilience.rules.circuit import Generation
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import CircuitFamily
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_follower import CircuitFollower
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import Reading
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelPolicySnapshot

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

ExpectedException = type[Exception] | Iterable[type[Exception]] | Callable[..., bool]
"""What counts as a failure: a class, several, or a predicate of the exception (or of its type and itself)."""

_NEVER_COUNTED: Final = (EnumFailureKind.REJECTED, EnumFailureKind.ABANDONED)

_REJECTED: Final = EnumResilienceEvent.REJECTED  # Python 3.11 takes long to find a member in its class

_RECORDED: Final = rule.COUNTED | {EnumFailureKind.THROTTLED}


@dataclass(slots=True, eq=False)
class _Block:
    """A `with` block that has been entered."""

    breaker: InfrastructureCircuitBreaker
    admitted: Generation
    started: float


_entered: ContextVar[tuple[_Block, ...]] = ContextVar("onex_entered_breakers", default=())
"""The `with` blocks that this task or thread is in, innermost last: where each finds its generation again."""


class InfrastructureCircuitBreaker(circuitbreaker.CircuitBreaker):
    """One circuit, whatever number of functions it guards.

    Use it as a decorator, through `call`, or as a `with` / `async with` block, from any number of tasks, event loops
    and threads. No lock is held while the guarded function runs.

    Args:
        config: The numbers; the generic ones of the ``[defaults]`` preset when None.
        name: Shown in errors and to `circuitbreaker.CircuitBreakerMonitor`. An unnamed breaker takes its transport and
            the qualified name of the first function it guards.
        transport: Transport of the guarded calls.
        expected_exception: Replaces the classification for counting: a class, several, or a predicate. Cancellations
            and rejections by our own policies never count.
        fallback_function: Called with the call's arguments while the circuit is open; sync or async.
        exempt: Asked with the call's arguments while the circuit is open; a call for which it is true passes all the
            same, and is not counted. For what ends work that has begun, such as COMMIT: see `ends_transaction`.
        translate: Raise the function's own failures as ONEX errors too, not only the rejections.
        clock: Monotonic time in seconds.
        rng: Source of the recovery's jitter, in [0, 1).

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.CIRCUIT_BREAKER

    def __init__(
        self,
        config: ModelCircuitBreakerConfig | None = None,
        *,
        name: str | None = None,
        transport: EnumInfraTransportType | None = None,
        expected_exception: ExpectedException | None = None,
        fallback_function: Callable[..., object] | None = None,
        exempt: Callable[..., bool] | None = None,
        translate: bool = False,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        from omnibase_infra.models.resilience import ModelCircuitBreakerConfig

        config = ModelCircuitBreakerConfig() if config is None else config
        require(ModelCircuitBreakerConfig, "a ModelCircuitBreakerConfig", config=config)
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_callable(fallback_function=fallback_function, exempt=exempt, clock=clock, rng=rng)
        super().__init__(
            failure_threshold=config.failure_threshold,
            recovery_timeout=config.recovery_timeout,
            name=checked_name(name),
            fallback_function=fallback_function,
        )
        self.config = config
        self.transport = transport
        self.expected_exception = expected_exception
        self.last_failure_kind: EnumFailureKind | None = None
        self._expected = None if expected_exception is None else _predicate(expected_exception)
        self._exempt = exempt
        self._translate = translate
        self._clock = clock_for(self, clock)
        self._rng = rng
        self.circuit: Final = rule.Circuit(config)
        # Re-entrant: a garbage collection inside a transition may close a generator that this breaker guards.
        self._lock = threading.RLock()
        self._blocks: dict[_Block, None] = {}
        self._recorded: Callable[[], None] | None = None
        self._follower = self._follow(config)
        # Here, so that the first rejection need not wait for the import.
        from omnibase_infra.errors.model_infra_error_context import call_context

        self._call_context = call_context
        if name is not None:
            registry.enlist(self, self._name)

    def _follow(
        self, config: ModelCircuitBreakerConfig, name: str | None = None, family: CircuitFamily | None = None
    ) -> CircuitFollower | None:
        shared = config.shared
        if shared is None or shared.url is None:
            return None
        name = name or self._name
        if name is None:
            raise ProtocolConfigurationError(
                "name: is needed with shared: workers share a circuit by its name", parameter="name"
            )
        from omnibase_infra.infrastructure.resilience.shared_state.circuit_follower import CircuitFollower

        return CircuitFollower(
            name,
            shared,
            config,
            circuit=self.circuit,
            lock=self._lock,
            clock=self._clock,
            announce=self._announce,
            family=family,
        )

    @property
    def settings(self) -> dict[str, object]:
        """What breakers of one name must agree in."""
        return {
            **dict(self.config),
            "transport": self.transport,
            "expected_exception": self.expected_exception,
            "fallback_function": self.fallback_function,
            "exempt": self._exempt,
            "translate": self._translate,
            "clock": self._clock,
            "rng": self._rng,
        }

    @property
    def failure_threshold(self) -> int:
        """Consecutive counted failures that open the circuit."""
        return self.config.failure_threshold

    @property
    def recovery_timeout(self) -> float:
        """Seconds an open circuit waits before its first probe."""
        return self.config.recovery_timeout

    @property
    def success_threshold(self) -> int:
        """Successful probes that close the circuit."""
        return self.config.success_threshold

    @property
    def half_open_max_calls(self) -> int:
        """Probes under way at a time."""
        return self.config.half_open_max_calls

    @property
    def state(self) -> EnumCircuitState:
        """The state that the next call meets."""
        return rule.state_at(self.circuit, self._clock())

    @property
    def opened(self) -> bool:
        """Whether the next call is refused for the state's sake."""
        return self.state in (EnumCircuitState.OPEN, EnumCircuitState.ISOLATED)

    @property
    def closed(self) -> bool:
        """Whether calls pass and are counted."""
        return self.state is EnumCircuitState.CLOSED

    @property
    def failure_count(self) -> int:
        """Whole consecutive counted failures: so far while closed, else those that led here."""
        return int(self.circuit.generation.failures)

    @property
    def open_remaining(self) -> int:
        """Whole seconds until the circuit may be probed, rounded up; 0 when it need not wait."""
        return ceil(rule.open_for(self.circuit, self._clock()))

    @property
    def last_failure(self) -> None:
        """Always None: a kept exception keeps its frames alive, and may tell secrets. See `last_failure_kind`."""
        return None

    def reset(self) -> None:
        """Close the circuit and forget every count; for all workers when it is shared."""
        self._change(lambda: rule.close(self.circuit), by_hand="reset")

    def trip(self) -> None:
        """Open the circuit for its recovery time, as if the threshold had been reached.

        For all workers when it is shared. An isolated or disabled circuit stays as it is.
        """
        self._change(lambda: rule.trip(self.circuit, self._clock(), self._rng()), by_hand="trip")

    def isolate(self) -> None:
        """Refuse every call until `reset`; in this worker only, shared or not."""
        self._change(lambda: rule.isolate(self.circuit))

    def disable(self) -> None:
        """Let every call pass and count nothing until `reset`; in this worker only, shared or not."""
        self._change(lambda: rule.disable(self.circuit))

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        now = self._clock()
        return ModelPolicySnapshot(
            kind=self.policy_kind,
            name=self._name or "circuit_breaker",
            transport=self.transport,
            state=rule.state_at(self.circuit, now),
            numbers={
                "failure_count": self.failure_count,
                "failure_threshold": self.failure_threshold,
                "recovery_timeout": self.recovery_timeout,
                "open_remaining": rule.open_for(self.circuit, now),
            },
        )

    def over(
        self,
        circuit: rule.Circuit,
        name: str,
        recorded: Callable[[], None],
        *,
        shared_as: str | None = None,
        family: CircuitFamily | None = None,
    ) -> InfrastructureCircuitBreaker:
        """A breaker with all settings of this one over another circuit, under this one's lock.

        Args:
            circuit: Made of the same config, but for how it is shared.
            name: Shown in errors; clean already.
            recorded: Called after each command and each result that the circuit was told of.
            shared_as: By which name workers share it; None for one of this process.
            family: The breaker with keys that has the circuit, if one has.
        """
        other = object.__new__(InfrastructureCircuitBreaker)
        other.__dict__ = {
            **self.__dict__,
            "circuit": circuit,
            "_name": name,
            "_blocks": {},
            "_recorded": recorded,
            "last_failure_kind": None,
            "_follower": None,
        }
        if shared_as is not None:
            other._follower = other._follow(circuit.settings, shared_as, family)
        return other

    def ask_first(self, circuits: Iterable[rule.Circuit]) -> None:
        """Have the next call through each of these circuits, which share this breaker's lock, ask before it passes."""
        with self._lock:
            for circuit in circuits:
                rule.ask_first(circuit)

    def let_pass(self, circuit: rule.Circuit, unless: Callable[[], bool]) -> Generation | None:
        """Have a closed circuit under this breaker's lock let calls pass without asking again, where that may be.

        Returns:
            The generation that they belong to; None when the circuit is not closed, judges rates, or `unless`.
        """
        with self._lock:
            if circuit.generation.state is not rule.CLOSED or unless():
                return None
            rule.admit(circuit, self._clock())
            return circuit.passing

    @property
    def is_following(self) -> bool:
        """Whether other workers have a say in this circuit now."""
        return self._follower is not None and self._follower.is_needed()

    def hear(self, reading: Reading | None) -> None:
        """Take over what other workers have of the circuit, if anything."""
        if self._follower is not None and reading is not None:
            self._follower.begin_with(reading)

    def now(self) -> float:
        """Monotonic seconds on this breaker's clock."""
        return self._clock()

    def may_forget(self, circuit: rule.Circuit) -> bool:
        """Whether a new circuit in the place of this one would let nothing pass that this one refuses now."""
        return rule.may_be_forgotten(circuit, self._clock())

    def __call__(self, wrapped: Callable[P, R]) -> Callable[P, R]:
        """Guard a function of any kind; it keeps its name, signature and type.

        Raises:
            TypeError: When `wrapped` cannot be guarded.
        """
        protected = protect(wrapped, self)
        circuitbreaker.CircuitBreakerMonitor.register(self)
        return protected

    decorate = __call__

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one guarded call; await what it returns when `func` is a coroutine function.

        Raises:
            InfraUnavailableError: When the circuit refuses the call and there is no fallback.
        """
        return guarded(func, self)(*args, **kwargs)

    async def call_async(
        self, func: Callable[P, Coroutine[object, None, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The base library's name for `call` on a coroutine function."""
        return await self.call(func, *args, **kwargs)

    call_generator = call
    call_async_generator = call

    def __enter__(self) -> Self:
        if self._follower is not None and self.circuit.passing is None and self._follower.is_asked():
            self._follower.knock()
        return self._enter()

    def _enter(self) -> Self:
        started = self._clock()
        admitted = self.circuit.passing
        if admitted is None:
            origin = self._origin("with block")
            admitted = self._admit(started)
            if admitted is None:
                self._tell_of_rejection("with block", started)
                raise self._rejection(origin, started) from origin.cause
        block = _Block(self, admitted, started)
        self._blocks[block] = None
        _entered.set((*_entered.get(), block))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        blocks = _entered.get()
        block = next((known for known in reversed(blocks) if known.breaker is self), None)
        _entered.set(tuple(known for known in blocks if known is not block))
        with self._lock:
            if block is None or block not in self._blocks:
                # Left in another context than entered, as frameworks do with generators. The oldest block is settled
                # in its place: so every place comes back once, and no late result passes for a probe's.
                block = next(iter(self._blocks))
            del self._blocks[block]
        if exc is None:
            self.record_success(block.admitted, block.started)
            return
        error = self.record_failure(block.admitted, exc, block.started, "with block")
        try:
            if error is not exc:
                raise error from exc
        finally:
            del error

    async def __aenter__(self) -> Self:
        if self._follower is not None and self.circuit.passing is None and self._follower.is_asked():
            await self._follower.knock_async()
        return self._enter()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function. While closed this adds two attribute reads to a successful call."""
        operation = self._introduce(fn)
        origin: ErrorOrigin | None = None  # made when it is first needed: most circuits never open
        circuit, clock, fallback, exempt = self.circuit, self._clock, self.fallback_function, self._exempt
        follower = self._follower

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal origin
            started = 0.0
            admitted = circuit.passing
            if admitted is None:
                if follower is not None and follower.is_asked():
                    await follower.knock_async()
                started = clock()
                left = circuit.open_until - started
                admitted = None if left > 0 else self._admit(started)
                if admitted is None:
                    if is_listened_to(_REJECTED):
                        self._tell_of_rejection(operation, started)
                    if exempt is not None and exempt(*args, **kwargs):
                        return await fn(*args, **kwargs)
                    if fallback is None:
                        origin = origin or self._origin(operation)
                        if left > 0:
                            raise policy_error(InfraUnavailableError, origin, left) from origin.cause
                        raise self._rejection(origin, started) from origin.cause
                    instead = fallback(*args, **kwargs)
                    return cast("T", await instead if inspect.isawaitable(instead) else instead)
            try:
                result = await fn(*args, **kwargs)
            except BaseException as exc:
                error = self.record_failure(admitted, exc, started, operation)
                try:
                    if error is exc:
                        raise
                    raise error from exc
                finally:
                    del error  # else it and this frame would hold each other until a garbage collection
            if admitted.listening:
                self.record_success(admitted, started)
            return result

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:  # noqa: C901  # written out: calls cost
        """Guard a plain function.

        Raises:
            TypeError: When the fallback is async: a plain function cannot await it.
        """
        self._refuse_async_fallback(fn)
        operation = self._introduce(fn)
        origin: ErrorOrigin | None = None  # made when it is first needed: most circuits never open
        circuit, clock, fallback, exempt = self.circuit, self._clock, self.fallback_function, self._exempt
        follower = self._follower

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal origin
            started = 0.0
            admitted = circuit.passing
            if admitted is None:
                if follower is not None and follower.is_asked():
                    follower.knock()
                started = clock()
                left = circuit.open_until - started
                admitted = None if left > 0 else self._admit(started)
                if admitted is None:
                    if is_listened_to(_REJECTED):
                        self._tell_of_rejection(operation, started)
                    if exempt is not None and exempt(*args, **kwargs):
                        return fn(*args, **kwargs)
                    if fallback is None:
                        origin = origin or self._origin(operation)
                        if left > 0:
                            raise policy_error(InfraUnavailableError, origin, left) from origin.cause
                        raise self._rejection(origin, started) from origin.cause
                    return cast("T", fallback(*args, **kwargs))
            try:
                result = fn(*args, **kwargs)
                if IS_DEFERRED[type(result)]:
                    refuse_deferred(fn, result)
            except BaseException as exc:
                error = self.record_failure(admitted, exc, started, operation)
                try:
                    if error is exc:
                        raise
                    raise error from exc
                finally:
                    del error  # else it and this frame would hold each other until a garbage collection
            if admitted.listening:
                self.record_success(admitted, started)
            return result

        return call

    def _refuse_async_fallback(self, fn: Callable[..., object]) -> None:
        if self.fallback_function is not None and is_async(self.fallback_function):
            raise TypeError(f"{qualified_name(fn)} is a plain function: an async fallback can only serve an async one")

    def _introduce(self, fn: Callable[..., object]) -> str:
        operation = qualified_name(fn)
        if self._name is None:
            self._name = f"{self.transport}:{operation}" if self.transport else operation
            circuitbreaker.CircuitBreakerMonitor.register(self)
            registry.enlist(self, None)
        return operation

    def _origin(self, operation: str) -> ErrorOrigin:
        name = self._name or "circuit_breaker"
        context = self._call_context(self.transport, operation, name)
        return ErrorOrigin(_refusal, context, rule.OPEN, name, cause=circuitbreaker.CircuitBreakerError(self))

    def _admit(self, now: float) -> Generation | None:
        """Ask the rule; return what the call belongs to, None when it is refused.

        While `open_until` is to come a call is refused whatever else holds: who knows that need not ask, nor lock.
        """
        circuit = self.circuit
        with self._lock:
            before = circuit.generation
            admitted = rule.admit(circuit, now)
            after = circuit.generation
        if after is not before:
            self._announce(before, after)
        return admitted

    def _tell_of_rejection(self, operation: str, now: float) -> None:
        state, retry_after = rule.refusal(self.circuit, now)
        emit(
            _REJECTED,
            policy="circuit_breaker",
            name=self._name or "circuit_breaker",
            transport=self.transport,
            operation=operation,
            correlation_id=correlation_id_var.get(),
            state=state,
            retry_after_seconds=retry_after,
        )

    def _rejection(self, origin: ErrorOrigin, now: float) -> InfraUnavailableError:
        """The error of a call that was refused at `now`."""
        state, retry_after = rule.refusal(self.circuit, now)
        return policy_error(InfraUnavailableError, replace(origin, circuit_state=state), retry_after)

    def record_success(self, admitted: Generation, started: float) -> None:
        """Record that a call which the circuit admitted, and which began at `started`, returned."""
        now = self._clock()
        with self._lock:
            before = self.circuit.generation
            rule.succeed(self.circuit, admitted, now, duration=now - started, chance=self._rng())
            after = self.circuit.generation
            if self._follower is not None:
                self._follower.ended(admitted, before, after, None)
        self._announce(before, after)

    def record_failure(self, admitted: Generation, exc: BaseException, started: float, operation: str) -> BaseException:
        """Record a failed call and return the error that the caller is to see."""
        kind = EnumFailureKind.ABANDONED
        try:
            kind = self._kind_of(exc)
        finally:
            # Also when the user's predicate raises: the place must come back.
            now = self._clock()
            with self._lock:
                before = self.circuit.generation
                rule.fail(self.circuit, admitted, kind, now, duration=now - started, chance=self._rng())
                after = self.circuit.generation
                if self._follower is not None:
                    self._follower.ended(admitted, before, after, kind)
            if kind in _RECORDED:
                self.last_failure_kind = kind
        self._announce(before, after)
        if not self._translate:
            return exc
        return translate(exc, transport=self.transport, operation=operation, target_name=self._name)

    def _kind_of(self, exc: BaseException) -> EnumFailureKind:
        if not isinstance(exc, Exception):
            return EnumFailureKind.ABANDONED
        kind = classify(exc, self.transport)
        if self._expected is None or kind in _NEVER_COUNTED:
            return kind
        if not self._expected(exc):
            return EnumFailureKind.CALLER
        return kind if kind in rule.COUNTED else EnumFailureKind.UNAVAILABLE

    def _change(self, transition: Callable[[], None], *, by_hand: str | None = None) -> None:
        with self._lock:
            before = self.circuit.generation
            transition()
            after = self.circuit.generation
            if self._follower is not None:
                self._follower.commanded(before, after, by_hand=by_hand)
        self._announce(before, after)

    def _announce(self, before: Generation, after: Generation) -> None:
        if self._recorded is not None:
            self._recorded()
        if before.state is not after.state:
            emit(
                EnumResilienceEvent.CIRCUIT_STATE,
                policy="circuit_breaker",
                name=self._name or "circuit_breaker",
                transport=self.transport,
                previous_state=before.state,
                state=after.state,
            )


CircuitBreaker = InfrastructureCircuitBreaker
"""The recovery document's name for the same machine: ``CircuitBreaker(ModelCircuitBreakerConfig(...))``."""


def _refusal(error: ModelOnexError) -> str:
    wait = error.retry_after_seconds
    when = "until it is reset" if wait is None else f"for another {wait:.3g} s"
    return f"Circuit breaker open: '{error.rejected_by}' rejects calls {when}"


def _predicate(expected: object) -> Callable[[Exception], bool]:
    allowed = "expected_exception must be an exception class, several of them, or a predicate of the exception"
    if isinstance(expected, type) or (not callable(expected) and isinstance(expected, Iterable)):
        classes = (expected,) if isinstance(expected, type) else tuple(cast("Iterable[object]", expected))
        known = tuple(cls for cls in classes if isinstance(cls, type) and issubclass(cls, Exception))
        if not known or len(known) < len(classes):
            raise ProtocolConfigurationError(allowed, parameter="expected_exception")
        return lambda exc: isinstance(exc, known)
    if not callable(expected):
        raise ProtocolConfigurationError(allowed, parameter="expected_exception")
    predicate = cast("Callable[..., bool]", expected)
    if is_async(predicate):
        raise ProtocolConfigurationError(f"{allowed}; this one is async", parameter="expected_exception")
    for arguments in ("e", "te"):
        try:
            inspect.signature(predicate).bind(*arguments)
        except TypeError:
            continue
        except ValueError:  # a builtin that shows no signature
            return predicate
        # Two arguments are the base library's form: the exception's type and the exception.
        return predicate if arguments == "e" else lambda exc: predicate(type(exc), exc)
    message = f"{allowed}; this one takes neither the exception nor its type and the exception"
    raise ProtocolConfigurationError(message, parameter="expected_exception")


class _Settings(TypedDict, total=False):
    shared: str | EnumUnset | None
    quorum: int | None
    success_threshold: int | None
    half_open_max_calls: int | None
    expected_exception: ExpectedException | None
    fallback_function: Callable[..., object] | None
    exempt: Callable[..., bool] | None
    recovery_multiplier: float | None
    max_recovery_timeout: float | None
    recovery_jitter: float | None
    connection_weight: float | None
    failure_rate: float | EnumUnset | None
    window: float | None
    minimum_calls: int | None
    slow_call_seconds: float | EnumUnset | None
    slow_call_rate: float | EnumUnset | None
    translate: bool
    service: str | None
    profile: str | None
    clock: Callable[[], float]
    rng: Callable[[], float]


class CircuitBreakerFactory:
    """Builds circuit breakers for one transport; every ``create_*_circuit_breaker`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self._section = section
        self._transport = transport

    @overload
    def __call__(
        self,
        failure_threshold: int | None = None,
        recovery_timeout: float | None = None,
        name: str | None = None,
        *,
        key: None = None,
        **settings: Unpack[_Settings],
    ) -> InfrastructureCircuitBreaker: ...

    @overload
    def __call__(
        self,
        failure_threshold: int | None = None,
        recovery_timeout: float | None = None,
        name: str | None = None,
        *,
        key: Callable[..., Hashable],
        max_keys: int = MAX_KEYS,
        show_keys: bool = False,
        **settings: Unpack[_Settings],
    ) -> KeyedCircuitBreaker: ...

    def __call__(
        self,
        failure_threshold: int | None = None,
        recovery_timeout: float | None = None,
        name: str | None = None,
        *,
        key: Callable[..., Hashable] | None = None,
        max_keys: int = MAX_KEYS,
        show_keys: bool = False,
        success_threshold: int | None = None,
        half_open_max_calls: int | None = None,
        expected_exception: ExpectedException | None = None,
        fallback_function: Callable[..., object] | None = None,
        exempt: Callable[..., bool] | None = None,
        recovery_multiplier: float | None = None,
        max_recovery_timeout: float | None = None,
        recovery_jitter: float | None = None,
        connection_weight: float | None = None,
        failure_rate: float | EnumUnset | None = EnumUnset.UNSET,
        window: float | None = None,
        minimum_calls: int | None = None,
        slow_call_seconds: float | EnumUnset | None = EnumUnset.UNSET,
        slow_call_rate: float | EnumUnset | None = EnumUnset.UNSET,
        shared: str | EnumUnset | None = EnumUnset.UNSET,
        quorum: int | None = None,
        translate: bool = False,
        service: str | None = None,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> InfrastructureCircuitBreaker | KeyedCircuitBreaker:
        """Build a circuit breaker from the transport's preset; every argument given here wins over it.

        Args:
            failure_threshold: Consecutive counted failures that open the circuit, 1 or more.
            recovery_timeout: Seconds until an open circuit admits a probe; 0 means at once.
            name: Makes calls with the same name and settings share one circuit.
            key: Makes it one circuit for each key: called with the arguments of a call, gives its host, tenant, …
            max_keys: With `key`, circuits that are remembered; see `KeyedCircuitBreaker`.
            show_keys: With `key`, whether errors show the key and not only a short hash of it.
            success_threshold: Successful probes that close the circuit, 1 or more.
            half_open_max_calls: Probes under way at a time, 1 or more.
            expected_exception: What counts as a failure: a class, several, or a predicate.
            fallback_function: Called with the call's arguments while the circuit is open.
            exempt: Asked with the call's arguments while the circuit is open; a call for which it is true passes.
            recovery_multiplier: Growth of the recovery time with each failed probe, 1 or more.
            max_recovery_timeout: Longest recovery time, seconds.
            recovery_jitter: Share by which a recovery time is lengthened at random, from 0 to 1.
            connection_weight: What a lost or refused connection counts as a failure, from 0 to 1; a hang counts 1.
            failure_rate: Share of failures in the window that opens the circuit, above 0 and up to 1; None for off.
            window: Length of the rate window, seconds.
            minimum_calls: Calls in the window below which no rate is judged.
            slow_call_seconds: Duration from which a call is slow, seconds; None for off.
            slow_call_rate: Share of slow calls in the window that opens the circuit, above 0 and up to 1; None for
                off.
            shared: URL of the Redis or Valkey through which all workers share the circuit, by its `name`, which is
                needed then; None for a circuit of this process. With `key`, the circuit of each key is shared. Where a
                preset has the URL, all circuits with a name are shared. A call never waits for the store but to be a
                probe. ``redis+sentinel://host:port,host:port/service`` and ``redis+cluster://host:port`` do as well.
            quorum: With `shared`, workers that must report a trip before it counts for all, 1 or more.
            translate: Raise the function's own failures as ONEX errors too.
            service: Read ``[services.<service>]`` over the transport's preset.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.
            clock: Monotonic time in seconds.
            rng: Source of the jitter, in [0, 1).

        Raises:
            ProtocolConfigurationError: When a setting is wrong, or `name` is in use with other settings.
        """
        # Presets bring pydantic models, which are slow to import and not needed before the first factory call.
        from omnibase_infra.models.resilience import ModelCircuitBreakerConfig
        from omnibase_infra.presets import resolve

        given = {
            "failure_threshold": failure_threshold,
            "recovery_timeout": recovery_timeout,
            "success_threshold": success_threshold,
            "half_open_max_calls": half_open_max_calls,
            "recovery_multiplier": recovery_multiplier,
            "max_recovery_timeout": max_recovery_timeout,
            "recovery_jitter": recovery_jitter,
            "connection_weight": connection_weight,
            "window": window,
            "minimum_calls": minimum_calls,
        }
        optional = {
            "failure_rate": failure_rate,
            "slow_call_seconds": slow_call_seconds,
            "slow_call_rate": slow_call_rate,
        }
        config = resolve(
            self._section,
            "circuit_breaker",
            ModelCircuitBreakerConfig,
            service=service,
            profile=profile,
            overrides={
                **{key: value for key, value in given.items() if value is not None},
                **{key: value for key, value in optional.items() if not isinstance(value, EnumUnset)},
                **sharing(shared, quorum),
            },
        )
        config = settled(config, shared, quorum, name)
        plain = InfrastructureCircuitBreaker(
            config if key is None else config.model_copy(update={"shared": None}),
            name=name if key is None else None,
            transport=self._transport,
            expected_exception=expected_exception,
            fallback_function=fallback_function,
            exempt=exempt,
            translate=translate,
            clock=clock,
            rng=rng,
        )
        breaker: InfrastructureCircuitBreaker | KeyedCircuitBreaker = plain
        if key is None and (max_keys != MAX_KEYS or show_keys):
            raise ProtocolConfigurationError("key: max_keys and show_keys are of no use without it", parameter="key")
        if key is not None:
            breaker = KeyedCircuitBreaker(
                plain, key=key, name=name, max_keys=max_keys, show_keys=show_keys, shared=config.shared
            )
        if name is None:
            return breaker
        known = registry.share(name, breaker)
        settings = dict.fromkeys((*breaker.settings, *known.settings))
        differing = [setting for setting in settings if known.settings.get(setting) != breaker.settings.get(setting)]
        if differing:
            raise ProtocolConfigurationError(
                f"name = {known.name!r}: a circuit breaker of this name exists with another {', '.join(differing)}; "
                "use the same settings to share it, or another name",
                parameter="name",
            )
        if isinstance(known, InfrastructureCircuitBreaker):
            circuitbreaker.CircuitBreakerMonitor.register(known)
        return known


create_database_circuit_breaker: Final = CircuitBreakerFactory("database", EnumInfraTransportType.DATABASE)
create_kafka_circuit_breaker: Final = CircuitBreakerFactory("kafka", EnumInfraTransportType.KAFKA)
create_network_circuit_breaker: Final = CircuitBreakerFactory("network", EnumInfraTransportType.HTTP)
create_vault_circuit_breaker: Final = CircuitBreakerFactory("vault", EnumInfraTransportType.VAULT)
create_consul_circuit_breaker: Final = CircuitBreakerFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_circuit_breaker: Final = CircuitBreakerFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_circuit_breaker: Final = CircuitBreakerFactory("grpc", EnumInfraTransportType.GRPC)
