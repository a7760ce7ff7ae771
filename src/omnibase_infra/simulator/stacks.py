"""From a stack as data to a guarded function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

import circuitbreaker
import tenacity

from omnibase_infra.enums import EnumCircuitState, EnumStackKind, EnumUnset
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.adaptive_throttle import AdaptiveThrottleFactory
from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import (
    CircuitBreakerFactory,
    InfrastructureCircuitBreaker,
)
from omnibase_infra.infrastructure.resilience.credential_refresh import CredentialRefresh
from omnibase_infra.infrastructure.resilience.hedging import HedgeFactory
from omnibase_infra.infrastructure.resilience.observers.dispatch import unheard
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.infrastructure.resilience.pipeline_order import ResilienceWarning
from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy
from omnibase_infra.models.resilience.model_config_base import unknown_name
from omnibase_infra.presets.resolver import overlaid
from omnibase_infra.simulator.call import Asks, Call
from omnibase_infra.simulator.dependency import Dependency
from omnibase_infra.simulator.loop import SimulationLoop
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.utils.util_ambient import set_ambient

_SERVICE: Final = "simulated call"
"""Into whose table the settings go when they are for no service in particular."""

_LOCAL: Final = MappingProxyType({"rate_limit.storage_uri": None, "rate_limit.strategy": "token-bucket"})
"""A simulated limit must not ask the real store that a preset names. An unnamed circuit does not either."""

_SWITCHED_OFF: Final = ("retry", "circuit_breaker", "rate_limit", "bulkhead", "timeout")
_SWITCHED_ON: Final = ("hedge", "adaptive_throttle", "credential_refresh")

_ATTEMPTS: Final = 3
_SHORTEST_WAIT: Final = 4
_LONGEST_WAIT: Final = 10
"""The numbers of tenacity's own README, beside those that circuitbreaker has by itself."""

_STATES: Final = {
    circuitbreaker.STATE_CLOSED: EnumCircuitState.CLOSED,
    circuitbreaker.STATE_OPEN: EnumCircuitState.OPEN,
    circuitbreaker.STATE_HALF_OPEN: EnumCircuitState.HALF_OPEN,
}


@dataclass(slots=True, frozen=True)
class GuardedCall:
    """A stack around the simulated call.

    Attributes:
        ask: Makes one guarded call.
        words: What guards it, a line each.
        budget: Of its retries.
    """

    ask: Asks
    words: tuple[str, ...]
    budget: RetryBudget | None = None


@dataclass(slots=True, frozen=True)
class Surroundings:
    """What a stack is put into.

    Attributes:
        transport: The transport's table of the presets.
        dependency: What is called.
        loop: Whose clock the policies go by.
        rng: Source of their jitter, in [0, 1).
        told: Called with the state of the circuit, whenever it may have changed.
    """

    transport: str
    dependency: Dependency
    loop: SimulationLoop
    rng: Callable[[], float]
    told: Callable[[EnumCircuitState], None]


@contextmanager
def guarded_call(stack: ModelStack, around: Surroundings) -> Generator[GuardedCall]:
    """Put the stack around the dependency for the time of this block.

    No log and no observer hears what the policies do; presets and whatever else a process has one of are as before
    when the block ends.

    Raises:
        ProtocolConfigurationError: When a setting is wrong, or given to a stack that has none.
    """
    if stack.kind is not EnumStackKind.PRESET:
        for name in ("service", "profile", "file", "settings"):
            if getattr(stack, name):
                raise ProtocolConfigurationError(f"{name}: is for presets only, not for {stack.kind}", parameter=name)
    with _monitor_kept(), unheard():
        match stack.kind:
            case EnumStackKind.NAKED:
                yield GuardedCall(around.dependency.ask, ("the call as it is",))
            case EnumStackKind.NAIVE:
                with _circuitbreaker_clock(around.loop.time):
                    yield _naive(around)
            case EnumStackKind.PRESET:
                yield _preset(stack, around)


def _naive(around: Surroundings) -> GuardedCall:
    breaker = circuitbreaker.circuit()
    retry = tenacity.retry(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=1, min=_SHORTEST_WAIT, max=_LONGEST_WAIT),
        reraise=True,
    )
    guarded = breaker.decorate(retry(around.dependency.ask))

    is_awaited = False

    def look(when: float, _: None) -> None:
        nonlocal is_awaited
        is_awaited = breaker.opened
        if is_awaited:
            around.loop.at(when + breaker.open_remaining, look, None)  # which ends without anybody's doing
        around.told(_STATES[breaker.state])

    async def ask(call: Call) -> None:
        try:
            await guarded(call)
        finally:
            if not is_awaited or not breaker.opened:
                look(around.loop.time(), None)

    words = (
        f"circuitbreaker: opens after {breaker.FAILURE_THRESHOLD} failures in a row, for {breaker.RECOVERY_TIMEOUT} s",
        f"tenacity: {_ATTEMPTS} attempts, {_SHORTEST_WAIT} to {_LONGEST_WAIT} s apart",
    )
    return GuardedCall(ask, words)


def _preset(stack: ModelStack, around: Surroundings) -> GuardedCall:
    section, clock, rng = around.transport, around.loop.time, around.rng
    if section not in FACTORIES:
        raise ProtocolConfigurationError(unknown_name(section, FACTORIES), parameter="transport")
    create = FACTORIES[section]
    off, on, settings = _switches(stack.settings)
    service, profile = stack.service or _SERVICE, stack.profile
    file = None if stack.file is None else Path(stack.file)
    with _as_in_production(), overlaid(service, {**_LOCAL, **settings}, file):
        breaker = throttle = hedge = refresh = None
        if "circuit_breaker" not in off:
            breaker = _watched(
                CircuitBreakerFactory(section, create.transport)(
                    service=service, profile=profile, clock=clock, rng=rng
                ),
                around.told,
            )
        if "adaptive_throttle" in on:
            throttle = AdaptiveThrottleFactory(section, create.transport)(
                service=service, profile=profile, clock=clock, rng=rng
            )
        if "hedge" in on:
            hedge = HedgeFactory(section, create.transport)(
                idempotent=True, service=service, profile=profile, clock=clock
            )
        if "credential_refresh" in on:
            refresh = CredentialRefresh(_Credential(around.dependency))
        pipeline = create(
            service,
            profile=profile,
            total_timeout=_unless("timeout", off),
            retry=_unless("retry", off),
            hedge=hedge,
            adaptive_throttle=throttle,
            circuit_breaker=breaker,
            rate_limiter=_unless("rate_limit", off),
            bulkhead=_unless("bulkhead", off),
            attempt_timeout=_unless("timeout", off),
            credential_refresh=refresh,
            clock=clock,
            rng=rng,
        )
        ask = pipeline(around.dependency.ask)
    retry = next((policy for policy in pipeline.policies if isinstance(policy, InfrastructureRetryPolicy)), None)
    return GuardedCall(ask, tuple(pipeline.describe().splitlines()), None if retry is None else retry.budget)


def _watched(
    breaker: InfrastructureCircuitBreaker, told: Callable[[EnumCircuitState], None]
) -> InfrastructureCircuitBreaker:
    """The breaker, which tells its state. An observer would hear it too, and have an event made for each rejection."""
    circuit = breaker.circuit
    return breaker.over(circuit, _SERVICE, lambda: told(circuit.generation.state))


def _unless(policy: str, off: Collection[str]) -> EnumUnset | None:
    return None if policy in off else EnumUnset.UNSET


def _switches(settings: Mapping[str, object]) -> tuple[set[str], set[str], dict[str, object]]:
    """Policies to leave out, policies to put in, and the settings themselves.

    A policy's own name switches it: ``{"bulkhead": None, "hedge": True}``. A setting of one that is not there by itself
    puts it in.
    """
    off, on, rest = set[str](), set[str](), dict[str, object]()
    for key, value in settings.items():
        policy = key.partition(".")[0]
        if key in _SWITCHED_OFF and (value is None or value is False):
            off.add(key)
        elif key in (*_SWITCHED_OFF, *_SWITCHED_ON) and value is True:
            on.add(key)
        elif key in _SWITCHED_ON and (value is None or value is False):
            pass
        elif policy in ("fallback", "stale_cache") or key.startswith("credential_refresh."):
            raise refused(key, value, "left out: a simulated call has none")
        else:
            rest[key] = value
            on.add(policy)
    return off, on, rest


class _Credential:
    """What the simulated server has accepted so far, as the refresh sees it."""

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    @property
    def is_expired(self) -> bool:
        """It does not tell: the server does."""
        return False

    async def refresh(self) -> None:
        """Have the server accept it again."""
        await self._dependency.renew_credential()


@contextmanager
def _as_in_production() -> Generator[None]:
    """Policies are made without what tests want of them, and may waste: that is what one wants to see."""
    before = set_ambient(None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResilienceWarning)
            yield
    finally:
        set_ambient(before)


@contextmanager
def _circuitbreaker_clock(clock: Callable[[], float]) -> Generator[None]:
    names: dict[str, object] = import_module(circuitbreaker.__name__).__dict__
    before = names["monotonic"]
    names["monotonic"] = clock
    try:
        yield
    finally:
        names["monotonic"] = before


@contextmanager
def _monitor_kept() -> Generator[None]:
    """The monitor of circuitbreaker keeps every breaker for ever."""
    known = circuitbreaker.CircuitBreakerMonitor.circuit_breakers
    before = dict(known)
    try:
        yield
    finally:
        known.clear()
        known.update(before)
