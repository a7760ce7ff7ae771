"""A keyed breaker decides for each key as a plain breaker of its own would, and forgetting drops no open circuit."""

import asyncio
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.support.circuits import Clock, Flight, make

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError

OPEN, HALF_OPEN = EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN
RECOVERY = 4.0
KEYS = st.integers(0, 7)
OUTCOMES = st.sampled_from(["ok", "fails", "is cancelled"])
RAISED = {"fails": ConnectionResetError, "is cancelled": asyncio.CancelledError}


class _OneKey:
    """The keyed breaker as `Flight` wants to see it."""

    def __init__(self, breaker, key):
        self.breaker, self.key = breaker, key

    def call(self, fn):
        async def work(_key):
            return await fn()

        return self.breaker.call(work, self.key)


def begun(breaker):
    """A call that is under way, or None when it is refused."""
    with suppress(InfraUnavailableError):
        return Flight(breaker)
    return None


def end(flight, outcome):
    if outcome == "ok":
        flight.land()
    else:
        flight.crash(RAISED[outcome]())


def refused_by(breaker, act, key):
    """Which circuit refused the call, or None. Not the error: who keeps that, keeps the circuit."""
    try:
        breaker.call(act, key)
    except InfraUnavailableError as error:
        return error.rejected_by
    except tuple(RAISED.values()):
        pass
    return None


class _Calls(RuleBasedStateMachine):
    """Calls through a keyed breaker, and the same ones through one plain breaker for each key."""

    flights = Bundle("flights")
    places = 100
    threshold = 2
    failing = range(8)

    @initialize()
    def build(self):
        self.clock = Clock()
        numbers = {"failure_threshold": self.threshold, "recovery_timeout": RECOVERY}
        self.keyed = make(self.clock, key=lambda key: key, max_keys=self.places, **numbers)
        self.plain = {key: make(self.clock, **numbers) for key in range(8)}

    def begin(self, key):
        ours, theirs = begun(_OneKey(self.keyed, key)), begun(self.plain[key])
        assert (ours is None) is (theirs is None)
        return [] if ours is None else [(key, ours, theirs)]

    def end(self, begun, outcome):
        key, *flights = begun
        for flight in flights:
            end(flight, "ok" if outcome == "fails" and key not in self.failing else outcome)

    @rule(target=flights, key=KEYS)
    def a_call_begins(self, key):
        return multiple(*self.begin(key))

    @rule(begun=consumes(flights), outcome=OUTCOMES)
    def a_call_ends(self, begun, outcome):
        self.end(begun, outcome)

    @rule(key=KEYS, outcome=OUTCOMES)
    def a_whole_call(self, key, outcome):
        for flights in self.begin(key):
            self.end(flights, outcome)

    @invariant()
    def the_open_ones_are_the_same(self):
        if not hasattr(self, "keyed"):
            return
        shown = self.keyed.snapshot().numbers
        states = [breaker.circuit.generation.state for breaker in self.plain.values()]
        assert (shown["open"], shown["half_open"]) == (states.count(OPEN), states.count(HALF_OPEN))
        assert len(self.keyed) <= self.places


class WithRoomForAll(_Calls):
    @rule(seconds=st.sampled_from([1.0, RECOVERY]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def everything_is_reset(self):
        self.keyed.reset()
        for breaker in self.plain.values():
            if breaker.failure_count or not breaker.closed:
                breaker.reset()

    @rule(key=KEYS)
    def one_key_is_isolated(self, key):
        self.keyed.for_key(key).isolate()
        self.plain[key].isolate()


class WithRoomForFew(_Calls):
    """As many places as keys that fail, and one: nothing that is forgotten makes a difference."""

    places = 3
    threshold = 1
    failing = range(2)


class WithRoomForTooFew(RuleBasedStateMachine):
    """More keys fail than there are places: what is open stays so for its time, and memory stays bounded."""

    @initialize(places=st.integers(1, 4), threshold=st.integers(1, 2))
    def build(self, places, threshold):
        self.clock, self.places = Clock(), places
        self.keyed = make(
            self.clock,
            key=lambda key: key,
            max_keys=places,
            failure_threshold=threshold,
            recovery_timeout=RECOVERY,
            show_keys=True,
        )
        self.open_until = {}

    @rule(key=KEYS, outcome=OUTCOMES)
    def a_call(self, key, outcome):
        def act(_key):
            if outcome != "ok":
                raise RAISED[outcome]

        name = self.keyed.for_key(key).name
        is_open = self.open_until.get(name, 0) > self.clock.now
        assert refused_by(self.keyed, act, key) == (name if is_open else None)
        if not is_open and self.keyed.for_key(key).state is OPEN:
            self.open_until[self.keyed.for_key(key).name] = self.clock.now + RECOVERY

    @rule(seconds=st.sampled_from([1.0, RECOVERY]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def no_open_circuit_is_dropped(self):
        if not hasattr(self, "keyed"):
            return
        kept = {shown.name for shown in self.keyed.troubled() if shown.state is OPEN}
        still_open = {name for name, until in self.open_until.items() if until > self.clock.now}
        assert kept == {name for name in still_open if not name.endswith("(further keys)")}
        assert len(self.keyed) <= self.places


_SETTINGS = settings(deadline=None, max_examples=30, stateful_step_count=40)
for machine in (WithRoomForAll, WithRoomForFew, WithRoomForTooFew):
    machine.TestCase.settings = _SETTINGS
TestWithRoomForAll = WithRoomForAll.TestCase
TestWithRoomForFew = WithRoomForFew.TestCase
TestWithRoomForTooFew = WithRoomForTooFew.TestCase
