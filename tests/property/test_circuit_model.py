"""Contract section 4: every history of calls, results, time and commands agrees with a model that is only a record."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind
from omnibase_infra.infrastructure.resilience.rules import circuit
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig

CLOSED, OPEN, HALF_OPEN, ISOLATED, DISABLED = EnumCircuitState
SUCCESS = "success"
COUNTED = {EnumFailureKind.CONNECTION, EnumFailureKind.TIMEOUT, EnumFailureKind.UNAVAILABLE}
FAILURES = COUNTED | {EnumFailureKind.THROTTLED}
WINDOW = 5.0


@dataclass
class Call:
    era: int
    started: float
    generation: circuit.Generation


@dataclass
class Model:
    """Eras and lists: an era is one stay in one state, and everything is worked out of what happened in it."""

    config: ModelCircuitBreakerConfig
    state: EnumCircuitState = CLOSED
    era: int = 0
    reopens_at: float = 0.0
    failed_openings: int = 0
    streak: int = 0
    results: list[tuple[float, bool, bool]] = field(default_factory=list)
    probing: list[Call] = field(default_factory=list)
    good_probes: int = 0

    def enter(self, state):
        self.state = state
        self.era += 1
        self.results, self.probing, self.good_probes = [], [], 0
        if state is CLOSED:
            self.streak = 0

    def open(self, now, chance):
        self.failed_openings = self.failed_openings + 1 if self.state is HALF_OPEN else 0
        grown = self.config.recovery_timeout * self.config.recovery_multiplier**self.failed_openings
        self.recovery = min(grown, self.config.max_recovery_timeout)
        jittered = self.recovery * (1 + self.config.recovery_jitter * chance)
        self.reopens_at = now + min(jittered, self.config.max_recovery_timeout)
        self.enter(OPEN)

    def visible_state(self, now):
        return HALF_OPEN if self.state is OPEN and now >= self.reopens_at else self.state

    def admits(self, now):
        state = self.visible_state(now)
        if state is HALF_OPEN and self.state is OPEN:
            self.enter(HALF_OPEN)
        return state in (CLOSED, DISABLED) or (
            state is HALF_OPEN and len(self.probing) < self.config.half_open_max_calls
        )

    def ends(self, call, result, now, chance):
        if call.era != self.era or self.state not in (CLOSED, HALF_OPEN):
            return
        limit = self.config.slow_call_seconds
        slow = limit is not None and now - call.started >= limit
        failed = result in FAILURES
        if self.state is HALF_OPEN:
            self.probing.remove(call)
            if failed:
                self.streak += result in COUNTED
            if failed or (slow and result == SUCCESS):
                self.open(now, chance)
            elif result == SUCCESS:
                self.good_probes += 1
                if self.good_probes == self.config.success_threshold:
                    self.enter(CLOSED)
            return
        if not failed and result != SUCCESS:
            return
        self.streak = 0 if result == SUCCESS else self.streak + (result in COUNTED)
        self.results.append((now, failed, slow))
        if self.streak >= self.config.failure_threshold or self.rate_is_reached(now):
            self.open(now, chance)

    def rate_is_reached(self, now):
        tenth = WINDOW / 10
        recent = [result for result in self.results if result[0] // tenth > now // tenth - 10]
        if len(recent) < self.config.minimum_calls:
            return False
        shares = sum(failed for _, failed, _ in recent) / len(recent), sum(slow for *_, slow in recent) / len(recent)
        limits = self.config.failure_rate, self.config.slow_call_rate
        return any(limit is not None and share >= limit for share, limit in zip(shares, limits, strict=True))


@st.composite
def configs(draw):
    recovery = draw(st.sampled_from([0.0, 1.0, 4.0]))
    slow = draw(st.booleans())
    return ModelCircuitBreakerConfig(
        failure_threshold=draw(st.integers(1, 4)),
        success_threshold=draw(st.integers(1, 3)),
        half_open_max_calls=draw(st.integers(1, 3)),
        recovery_timeout=recovery,
        recovery_multiplier=draw(st.sampled_from([1.0, 2.0])),
        max_recovery_timeout=draw(st.sampled_from([recovery, 6.0, 600.0])),
        recovery_jitter=draw(st.sampled_from([0.0, 0.5])),
        failure_rate=draw(st.sampled_from([None, 0.25, 0.5, 1.0])),
        window=WINDOW,
        minimum_calls=draw(st.integers(1, 5)),
        slow_call_seconds=2.0 if slow else None,
        slow_call_rate=draw(st.sampled_from([0.5, 1.0])) if slow else None,
    )


CHANCES = st.sampled_from([0.0, 0.25, 0.5])
RESULTS = st.sampled_from([SUCCESS, SUCCESS, *sorted(COUNTED), *EnumFailureKind])


class CircuitHistory(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize(config=configs())
    def build(self, config):
        self.now = 100.0
        self.circuit = circuit.Circuit(config)
        self.model = Model(config)

    @rule(halves=st.integers(1, 12))
    def time_passes(self, halves):
        self.now += halves / 2

    @rule(target=calls)
    def a_call_begins(self):
        expected = self.model.admits(self.now)
        admitted = circuit.admit(self.circuit, self.now)
        assert (admitted is not None) is expected
        if admitted is None:
            self.check_the_hint()
            return multiple()
        call = Call(self.model.era, self.now, admitted)
        if self.model.state is HALF_OPEN:
            self.model.probing.append(call)
        return call

    def check_the_hint(self):
        hint = circuit.retry_after(self.circuit, self.now)
        if self.model.state is ISOLATED:
            assert hint is None
        elif self.model.state is OPEN:
            assert hint == self.model.reopens_at - self.now > 0
        else:
            assert hint == (self.model.recovery or 0.001)

    @rule(call=consumes(calls), result=RESULTS, chance=CHANCES)
    def a_call_ends(self, call, result, chance):
        generation, duration = call.generation, self.now - call.started
        if result == SUCCESS:
            # A breaker tells the rule of a success only when the generation listens.
            if generation.listening:
                circuit.succeed(self.circuit, generation, self.now, duration=duration, chance=chance)
        else:
            circuit.fail(self.circuit, generation, result, self.now, duration=duration, chance=chance)
        self.model.ends(call, result, self.now, chance)

    @rule(chance=CHANCES)
    def trip(self, chance):
        circuit.trip(self.circuit, self.now, chance)
        if self.model.state not in (ISOLATED, DISABLED):
            self.model.open(self.now, chance)

    @rule()
    def close(self):
        circuit.close(self.circuit)
        self.model.enter(CLOSED)

    @precondition(lambda self: self.model.state is not ISOLATED)
    @rule()
    def isolate(self):
        circuit.isolate(self.circuit)
        self.model.enter(ISOLATED)

    @precondition(lambda self: self.model.state is not DISABLED)
    @rule()
    def disable(self):
        circuit.disable(self.circuit)
        self.model.enter(DISABLED)

    @invariant()
    def the_states_agree(self):
        assert circuit.state_at(self.circuit, self.now) is self.model.visible_state(self.now)

    @invariant()
    def the_counts_agree(self):
        generation = self.circuit.generation
        assert generation.failures == self.model.streak
        assert generation.probes == len(self.model.probing) <= self.model.config.half_open_max_calls
        assert generation.successes == self.model.good_probes

    @invariant()
    def only_a_closed_circuit_without_rates_passes_unasked(self):
        generation, config = self.circuit.generation, self.model.config
        unasked = self.model.state is CLOSED and config.failure_rate is None and config.slow_call_rate is None
        assert self.circuit.passing is (generation if unasked else None)


TestCircuitHistory = CircuitHistory.TestCase
TestCircuitHistory.settings = settings(max_examples=100, stateful_step_count=50)
