"""Contract section 4: when a circuit opens, lets probes through, and closes again."""

import asyncio

import pytest
from tests.support.circuits import FACES, Clock, Flight, attempt, fail, fresh, make, refused

from omnibase_infra.enums import EnumCircuitState, EnumResilienceEvent
from omnibase_infra.errors import InfraAuthenticationError, InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import add_observer

CLOSED, OPEN, HALF_OPEN, ISOLATED, DISABLED = EnumCircuitState
ABANDONED = [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit(), SystemExit()]
SAYS_NOTHING = [
    *ABANDONED,
    ValueError("caller"),
    FileNotFoundError("caller"),
    InfraAuthenticationError("wrong password"),
    InfraUnavailableError("open", rejected_by="another breaker"),
    InfraRateLimitedError("too many", rejected_by="a limiter"),
]


def name(error):
    return f"{type(error).__name__}{'(rejected)' if getattr(error, 'rejected_by', None) else ''}"


def half_open(clock, **settings):
    breaker = make(clock, **settings)
    breaker.trip()
    clock.advance(breaker.recovery_timeout)
    assert breaker.state is HALF_OPEN
    return breaker


@pytest.mark.parametrize("threshold", [1, 2, 5])
@pytest.mark.parametrize("face", FACES)
def test_a_closed_circuit_opens_at_the_threshold_of_consecutive_failures(face, threshold):
    breaker = make(failure_threshold=threshold)
    for count in range(threshold):
        assert (breaker.state, breaker.failure_count) == (CLOSED, count)
        with pytest.raises(ConnectionError, match="refused"):
            attempt(breaker, face, ConnectionRefusedError("refused"))
    assert (breaker.state, breaker.failure_count) == (OPEN, threshold)
    assert (breaker.opened, breaker.closed) == (True, False)


@pytest.mark.parametrize("face", FACES)
def test_a_success_between_two_failures_starts_the_count_again(face):
    breaker = make(failure_threshold=2)
    for _ in range(3):
        fail(breaker)
        assert attempt(breaker, face) == "ok"
        assert breaker.failure_count == 0
    assert breaker.closed


def test_once_a_failure_is_forgotten_a_success_has_nothing_to_tell():
    breaker = make()
    generation = breaker.circuit.generation
    assert not generation.listening
    fail(breaker)
    assert generation.listening
    attempt(breaker)
    assert not generation.listening
    assert breaker.circuit.passing is generation


@pytest.mark.parametrize("face", FACES)
def test_an_open_circuit_refuses_without_making_the_call(face):
    breaker = make()
    breaker.trip()

    class TouchedError(Exception):
        pass

    with pytest.raises(InfraUnavailableError):
        attempt(breaker, face, TouchedError())


@pytest.mark.parametrize("face", FACES)
def test_the_first_call_after_the_recovery_time_is_a_probe_and_its_success_closes(face):
    clock = Clock()
    breaker = make(clock, failure_threshold=1, recovery_timeout=30)
    fail(breaker)
    clock.advance(29.999)
    refused(breaker, face)
    clock.advance(0.001)
    assert attempt(breaker, face) == "ok"
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)


@pytest.mark.parametrize("face", FACES)
def test_a_failing_probe_opens_for_another_recovery_time(face):
    clock = Clock()
    breaker = half_open(clock, recovery_timeout=30)
    with pytest.raises(TimeoutError):
        attempt(breaker, face, TimeoutError())
    assert breaker.state is OPEN
    clock.advance(29)
    refused(breaker, face)
    clock.advance(1)
    assert attempt(breaker, face) == "ok"


def test_looking_at_the_state_changes_nothing():
    clock = Clock()
    breaker = half_open(clock)
    for _ in range(3):
        assert breaker.state is HALF_OPEN
        assert (breaker.opened, breaker.closed, breaker.open_remaining) == (False, False, 0)
    attempt(breaker)
    assert breaker.closed


@pytest.mark.parametrize("places", [1, 2, 5])
def test_half_open_admits_its_number_at_a_time(places):
    breaker = half_open(Clock(), half_open_max_calls=places, success_threshold=100)
    flights = [Flight(breaker) for _ in range(places)]
    for _ in range(3):
        assert refused(breaker).circuit_state is HALF_OPEN
        flights.pop().land()
        flights.append(Flight(breaker))
    refused(breaker)


@pytest.mark.parametrize("successes", [1, 2, 4])
def test_half_open_closes_after_its_threshold_of_successes(successes):
    breaker = half_open(Clock(), success_threshold=successes)
    for _ in range(successes - 1):
        attempt(breaker)
        assert breaker.state is HALF_OPEN
    attempt(breaker)
    assert breaker.state is CLOSED


def test_a_failure_among_successful_probes_opens_and_their_count_starts_again():
    clock = Clock()
    breaker = half_open(clock, success_threshold=2)
    attempt(breaker)
    fail(breaker)
    assert breaker.state is OPEN
    clock.advance(breaker.recovery_timeout)
    attempt(breaker)
    assert breaker.state is HALF_OPEN


def test_a_recovery_time_of_zero_probes_at_once():
    breaker = make(failure_threshold=1, recovery_timeout=0)
    fail(breaker)
    assert breaker.state is HALF_OPEN
    probe = Flight(breaker)
    assert refused(breaker).retry_after_seconds > 0
    probe.land()
    assert breaker.closed


def test_failures_while_open_do_not_extend_the_open_time():
    clock = Clock()
    breaker = make(clock, failure_threshold=1, recovery_timeout=60)
    late = [Flight(breaker) for _ in range(3)]
    fail(breaker)
    for flight in late:
        clock.advance(10)
        flight.crash()
    assert (breaker.failure_count, breaker.open_remaining) == (1, 30)
    clock.advance(30)
    assert breaker.state is HALF_OPEN


END_LATE = [pytest.param(Flight.land, id="success"), pytest.param(Flight.crash, id="failure")]


@pytest.mark.parametrize("end", END_LATE)
def test_a_late_result_of_an_older_generation_changes_nothing_while_open(end):
    breaker = make(failure_threshold=2)
    late = Flight(breaker)
    fail(breaker, 2)
    end(late)
    assert (breaker.state, breaker.failure_count, breaker.open_remaining) == (OPEN, 2, 60)


@pytest.mark.parametrize("end", END_LATE)
def test_a_late_result_of_an_older_generation_changes_nothing_while_half_open(end):
    clock = Clock()
    breaker = make(clock, half_open_max_calls=1)
    late = Flight(breaker)
    breaker.trip()
    clock.advance(60)
    probe = Flight(breaker)
    end(late)
    assert breaker.state is HALF_OPEN
    refused(breaker)  # nor has it given back a place that is not its own
    probe.land()
    assert breaker.closed


@pytest.mark.parametrize("end", END_LATE)
def test_a_late_result_of_an_older_generation_changes_nothing_once_closed_again(end):
    breaker = make()
    late = Flight(breaker)
    breaker.trip()
    breaker.reset()
    fail(breaker)
    end(late)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 1)


@pytest.mark.parametrize("end", END_LATE)
def test_a_probe_that_ends_after_the_others_have_decided_changes_nothing(end):
    breaker = half_open(Clock(), half_open_max_calls=3)
    first, late, later = (Flight(breaker) for _ in range(3))
    first.land()
    assert breaker.closed
    end(late)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)
    breaker.trip()
    end(later)
    assert breaker.state is OPEN


@pytest.mark.parametrize("error", SAYS_NOTHING, ids=name)
@pytest.mark.parametrize("face", FACES)
def test_what_says_nothing_about_the_dependency_leaves_the_count_alone(face, error):
    breaker = make(failure_threshold=3)
    fail(breaker, 2)
    with pytest.raises(type(error)) as caught:
        attempt(breaker, face, error)
    assert caught.value is error
    assert (breaker.state, breaker.failure_count) == (CLOSED, 2)
    if error in ABANDONED:
        assert vars(error) == {}  # it gets out unchanged


@pytest.mark.parametrize("error", SAYS_NOTHING, ids=name)
@pytest.mark.parametrize("face", FACES)
def test_a_probe_that_says_nothing_gives_its_place_back_and_records_nothing(face, error):
    breaker = half_open(Clock(), success_threshold=2)
    attempt(breaker, face)
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            attempt(breaker, face, error)
        assert caught.value is error
        assert breaker.state is HALF_OPEN
    assert attempt(breaker, face) == "ok"
    assert breaker.closed


def test_trip_opens_as_if_the_threshold_had_been_reached():
    clock = Clock()
    breaker = make(clock, recovery_timeout=30)
    breaker.trip()
    assert (breaker.state, breaker.open_remaining) == (OPEN, 30)
    clock.advance(20)
    breaker.trip()
    assert breaker.open_remaining == 30
    clock.advance(30)
    attempt(breaker)
    assert breaker.closed


def test_reset_closes_and_forgets_every_count():
    clock = Clock()
    breaker = make(clock, failure_threshold=3)
    fail(breaker, 2)
    breaker.reset()
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)
    fail(breaker, 3)
    breaker.reset()
    assert (breaker.state, breaker.failure_count, breaker.open_remaining) == (CLOSED, 0, 0)
    fail(breaker, 2)
    assert breaker.closed


def test_an_isolated_circuit_refuses_until_reset_and_cannot_say_for_how_long():
    clock = Clock()
    breaker = make(clock)
    breaker.trip()
    breaker.reset()
    late = Flight(breaker)
    breaker.isolate()
    late.land()
    breaker.trip()
    clock.advance(1e6)
    assert (breaker.state, breaker.opened, breaker.closed) == (ISOLATED, True, False)
    assert breaker.open_remaining == 0
    error = refused(breaker)
    assert (error.circuit_state, error.retry_after_seconds) == (ISOLATED, None)
    assert "until it is reset" in error.message
    breaker.reset()
    assert attempt(breaker) == "ok"


def test_a_disabled_circuit_lets_every_call_pass_and_counts_nothing_until_reset():
    breaker = make(failure_threshold=1, failure_rate=0.1, minimum_calls=1)
    breaker.disable()
    fail(breaker, 10)
    fail(breaker, 1, InfraRateLimitedError("429"))
    breaker.trip()
    assert [attempt(breaker, face) for face in FACES] == ["ok"] * len(FACES)
    assert (breaker.state, breaker.opened, breaker.failure_count) == (DISABLED, False, 0)
    breaker.reset()
    fail(breaker)
    assert breaker.state is OPEN


def test_each_change_of_state_is_announced_once():
    clock = Clock()
    events = []
    remove = add_observer(events.append, inline=True)
    try:
        breaker = make(clock, failure_threshold=1, name=fresh("announced"))
        fail(breaker)
        clock.advance(60)
        breaker.reset()
        fail(breaker)
        clock.advance(60)
        attempt(breaker)
        breaker.isolate()
        breaker.isolate()
        breaker.disable()
        breaker.reset()
        breaker.reset()
    finally:
        remove()
    assert {event.kind for event in events} == {EnumResilienceEvent.CIRCUIT_STATE}
    assert {(event.policy, event.name, event.transport) for event in events} == {
        ("circuit_breaker", breaker.name, "db")
    }
    assert [(event.previous_state, event.state) for event in events] == [
        (CLOSED, OPEN),
        (OPEN, CLOSED),
        (CLOSED, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, CLOSED),
        (CLOSED, ISOLATED),
        (ISOLATED, DISABLED),
        (DISABLED, CLOSED),
    ]
