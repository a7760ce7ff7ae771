"""The circuit: when calls pass, when they are refused, and what their results change.

A call carries the `Generation` that admitted it. Every state change begins a new generation, so a late result of an
earlier one lands on an object that nobody reads any more: it changes nothing.

The consecutive count catches a hard outage at once; the optional rate window catches a partial one. Both stand side by
side, as in linkerd's failure accrual.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind
from omnibase_infra.infrastructure.resilience.rules.sliding_window import SlidingWindow

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig

CLOSED: Final = EnumCircuitState.CLOSED
OPEN: Final = EnumCircuitState.OPEN
HALF_OPEN: Final = EnumCircuitState.HALF_OPEN
ISOLATED: Final = EnumCircuitState.ISOLATED
DISABLED: Final = EnumCircuitState.DISABLED

COUNTED: Final = frozenset({EnumFailureKind.CONNECTION, EnumFailureKind.TIMEOUT, EnumFailureKind.UNAVAILABLE})
"""Kinds that count as consecutive failures. THROTTLED counts in the rate window only: the server is alive."""

_SOON: Final = 0.001
"""Seconds that a caller is told to wait when the recovery time is zero and its place is taken: more than none."""

_ROUNDING: Final = 1e-9
"""Ten times a tenth is a little less than one."""


@dataclass(slots=True, eq=False)
class Generation:
    """One stay in one state: what has been counted since it began."""

    state: EnumCircuitState
    failures: float = 0
    """Consecutive counted failures: so far while closed, else those that led here."""
    successes: int = 0
    """Successful probes, while half-open."""
    probes: int = 0
    """Probes under way, while half-open."""
    window: SlidingWindow | None = None
    """Calls, failures and slow calls, while closed, when rates are judged."""
    listening: bool = False
    """Whether a success would change anything: the happy path asks this and nothing else."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class Circuit:
    """The whole state of one circuit. Only the functions of this module change it."""

    settings: ModelCircuitBreakerConfig
    generation: Generation = field(default_factory=lambda: Generation(CLOSED))
    passing: Generation | None = None
    """The generation while calls may pass without asking; None when `admit` must decide."""
    open_until: float = -inf
    """Until when every call is refused for the sake of an open state; long ago in any other state."""
    recovery: float = 0.0
    """The recovery time of the latest opening before jitter, seconds; it grows when a probe fails."""
    permits: int | None = None
    """Probes that may still begin, as others allow; None while nobody else has a say."""

    def __post_init__(self) -> None:
        _begin(self, CLOSED)


def _begin(circuit: Circuit, state: EnumCircuitState) -> None:
    settings = circuit.settings
    generation = Generation(state, listening=state is HALF_OPEN)
    if state is not CLOSED:
        generation.failures = circuit.generation.failures
    elif settings.failure_rate is not None or settings.slow_call_rate is not None:
        generation.window = SlidingWindow(settings.window, width=3)
        generation.listening = True
    if state is not OPEN:
        circuit.open_until = -inf
    circuit.generation = generation
    _pass(circuit)


def _pass(circuit: Circuit) -> None:
    generation = circuit.generation
    circuit.passing = generation if generation.state is CLOSED and generation.window is None else None


def refusal(circuit: Circuit, now: float) -> tuple[EnumCircuitState, float | None]:
    """What a refused call is told: the state that refused it, and as `retry_after`.

    A circuit that lets calls pass by the time it is asked was half-open when it refused this one.
    """
    state = circuit.generation.state
    return HALF_OPEN if state in (CLOSED, DISABLED) else state, retry_after(circuit, now)


def open_for(circuit: Circuit, now: float) -> float:
    """Seconds for which an open circuit refuses every call, come what may; 0 when `admit` is to be asked.

    Nothing but time changes this, save a command: a refusal for its sake needs no lock.
    """
    left = circuit.open_until - now
    return left if left > 0 else 0.0


def admit(circuit: Circuit, now: float) -> Generation | None:
    """Let a call pass, and return the generation it belongs to; None when it is refused.

    The first call after the recovery time turns an open circuit half-open and is its first probe.
    """
    generation = circuit.generation
    state = generation.state
    if state is CLOSED or state is DISABLED:
        _pass(circuit)
        return generation
    if circuit.permits == 0:
        return None
    if state is OPEN and now >= circuit.open_until:
        _begin(circuit, HALF_OPEN)
        generation = circuit.generation
        state = HALF_OPEN
    if state is HALF_OPEN and generation.probes < circuit.settings.half_open_max_calls:
        generation.probes += 1
        if circuit.permits is not None:
            circuit.permits -= 1
        return generation
    return None


def wants_permit(circuit: Circuit, now: float) -> bool:
    """Whether the next call would be a probe if only it were permitted."""
    generation = circuit.generation
    return (
        circuit.permits == 0
        and state_at(circuit, now) is HALF_OPEN
        and generation.probes < circuit.settings.half_open_max_calls
    )


def ask_first(circuit: Circuit) -> None:
    """Have the next call ask `admit`, even of a closed circuit."""
    circuit.passing = None


def retry_after(circuit: Circuit, now: float) -> float | None:
    """Seconds after which a refused call is worth another try; None when only a person can say (isolated).

    While probes are under way, here or elsewhere, their results are awaited: should they fail, the circuit stays open
    for another recovery time, so that is the answer.
    """
    state = circuit.generation.state
    if state is OPEN and now < circuit.open_until:
        return circuit.open_until - now
    return None if state is ISOLATED else circuit.recovery or _SOON


def state_at(circuit: Circuit, now: float) -> EnumCircuitState:
    """The state that the next call meets."""
    state = circuit.generation.state
    return HALF_OPEN if state is OPEN and now >= circuit.open_until else state


def is_blank(circuit: Circuit) -> bool:
    """Whether a new circuit would decide as this one does, but for what a rate window holds."""
    generation = circuit.generation
    return generation.state is CLOSED and not generation.failures


def may_be_forgotten(circuit: Circuit, now: float) -> bool:
    """Whether a new circuit in its place would let nothing pass that this one refuses for its state's sake."""
    return state_at(circuit, now) in (CLOSED, HALF_OPEN)


def succeed(circuit: Circuit, admitted: Generation, now: float, *, duration: float, chance: float) -> None:
    """Record that an admitted call returned after `duration` seconds; slow ones can open the circuit, see `fail`."""
    if admitted is not circuit.generation:
        return
    slow = circuit.settings.slow_call_seconds is not None and duration >= circuit.settings.slow_call_seconds
    if admitted.state is HALF_OPEN:
        admitted.probes -= 1
        if slow:
            _open(circuit, now, chance)
            return
        admitted.successes += 1
        if admitted.successes >= circuit.settings.success_threshold:
            close(circuit)
    elif admitted.state is CLOSED:
        admitted.failures = 0
        if admitted.window is None:
            admitted.listening = False
        else:
            _judge(circuit, admitted.window, now, failed=False, slow=slow, chance=chance)


def fail(
    circuit: Circuit, admitted: Generation, kind: EnumFailureKind, now: float, *, duration: float, chance: float
) -> None:
    """Record that an admitted call failed with `kind`; `chance` in [0, 1) is the randomness of the recovery's jitter.

    Kinds that never count give the probe's place back and leave every count alone.
    """
    if admitted is not circuit.generation:
        return
    counted = kind in COUNTED
    if not counted and kind is not EnumFailureKind.THROTTLED:
        release(circuit, admitted)
    elif admitted.state is HALF_OPEN:
        admitted.failures += counted
        _open(circuit, now, chance)
    elif admitted.state is CLOSED:
        if counted:
            # A refusal costs its caller little, a hang all its patience: Semian's rule.
            admitted.failures += circuit.settings.connection_weight if kind is EnumFailureKind.CONNECTION else 1
            admitted.listening = True
            if admitted.failures >= circuit.settings.failure_threshold - _ROUNDING:
                _open(circuit, now, chance)
                return
        if admitted.window is not None:
            limit = circuit.settings.slow_call_seconds
            slow = limit is not None and duration >= limit
            _judge(circuit, admitted.window, now, failed=True, slow=slow, chance=chance)


def release(circuit: Circuit, admitted: Generation) -> None:
    """Give the place of a call back that says nothing about the dependency: cancelled, rejected, at fault itself."""
    if admitted is circuit.generation and admitted.state is HALF_OPEN:
        admitted.probes -= 1


def trip(circuit: Circuit, now: float, chance: float) -> None:
    """Open the circuit as if the threshold had been reached: what is held by hand stays as it is."""
    if circuit.generation.state not in (ISOLATED, DISABLED):
        _open(circuit, now, chance)


def open_elsewhere(circuit: Circuit, now: float, *, left: float, recovery: float) -> None:
    """Open the circuit as others have it: for `left` seconds of a `recovery`. What is held by hand stays as it is."""
    state = circuit.generation.state
    if state in (ISOLATED, DISABLED):
        return
    if state is not OPEN:
        _begin(circuit, OPEN)
    circuit.open_until = now + left
    circuit.recovery = recovery


def close(circuit: Circuit) -> None:
    """Close the circuit and forget every count."""
    _begin(circuit, CLOSED)


def isolate(circuit: Circuit) -> None:
    """Refuse every call until `close`."""
    _begin(circuit, ISOLATED)


def disable(circuit: Circuit) -> None:
    """Let every call pass and count nothing until `close`."""
    _begin(circuit, DISABLED)


def _judge(circuit: Circuit, window: SlidingWindow, now: float, *, failed: bool, slow: bool, chance: float) -> None:
    settings = circuit.settings
    calls, failures, slow_calls = window.add(now, 1, failed, slow)
    if calls < settings.minimum_calls:
        return
    # Divided, not multiplied: 7 / 100 is the float 0.07, while 0.07 * 100 is more than 7.
    too_many = settings.failure_rate is not None and failures / calls >= settings.failure_rate
    too_slow = settings.slow_call_rate is not None and slow_calls / calls >= settings.slow_call_rate
    if too_many or too_slow:
        _open(circuit, now, chance)


def _open(circuit: Circuit, now: float, chance: float) -> None:
    settings = circuit.settings
    longest = settings.max_recovery_timeout
    again = circuit.generation.state is HALF_OPEN
    circuit.recovery = (
        min(circuit.recovery * settings.recovery_multiplier, longest) if again else settings.recovery_timeout
    )
    circuit.open_until = now + min(circuit.recovery * (1.0 + settings.recovery_jitter * chance), longest)
    _begin(circuit, OPEN)
