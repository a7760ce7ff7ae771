"""Contract sections 3 and 4: which failures count, and what `expected_exception` and `translate` change."""

import asyncio

import pytest
from tests.support.circuits import FACES, Clock, Flight, attempt, fail, fresh, make, refused

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience import TokenBucketLimiter

COUNTED = [
    (ConnectionRefusedError("refused"), "connection"),
    (OSError("no route"), "connection"),
    (TimeoutError(), "timeout"),
    (InfraConnectionError("gone"), "connection"),
    (InfraTimeoutError("late"), "timeout"),
    (InfraUnavailableError("503"), "unavailable"),
]
UNCOUNTED = [
    ValueError("caller"),
    KeyError("caller"),
    FileNotFoundError("caller"),
    PermissionError("caller"),
    IsADirectoryError("caller"),
    NotADirectoryError("caller"),
    FileExistsError("caller"),
    InfraAuthenticationError("401"),
    InfraRateLimitedError("429"),
    InfraRateLimitedError("ours", rejected_by="limiter"),
    InfraUnavailableError("ours", rejected_by="breaker"),
]


def counts(breaker, error):
    before = breaker.failure_count
    fail(breaker, 1, error)
    return breaker.failure_count - before


def by_class(value):
    return type(value).__name__ if isinstance(value, BaseException) else None


@pytest.mark.parametrize(("error", "kind"), COUNTED, ids=by_class)
def test_connection_timeout_and_unavailable_count(error, kind):
    breaker = make()
    assert counts(breaker, error) == 1
    assert breaker.last_failure_kind == EnumFailureKind(kind)


@pytest.mark.parametrize("error", UNCOUNTED, ids=by_class)
def test_all_other_kinds_leave_the_consecutive_count_alone(error):
    breaker = make(failure_threshold=5)
    fail(breaker, 3)
    assert counts(breaker, error) == 0
    assert breaker.failure_count == 3


def test_a_throttled_call_counts_in_the_failure_rate_window_only():
    breaker = make(failure_threshold=1, failure_rate=0.5, minimum_calls=4)
    throttled = InfraRateLimitedError("429")
    attempt(breaker)
    attempt(breaker)
    fail(breaker, 1, throttled)
    assert (breaker.state, breaker.failure_count) == (EnumCircuitState.CLOSED, 0)
    fail(breaker, 1, throttled)
    assert breaker.state is EnumCircuitState.OPEN


def test_a_throttled_probe_has_failed():
    clock = Clock()
    breaker = make(clock)
    breaker.trip()
    clock.advance(60)
    fail(breaker, 1, InfraRateLimitedError("429"))
    assert breaker.state is EnumCircuitState.OPEN
    assert breaker.last_failure_kind is EnumFailureKind.THROTTLED


class DriverError(Exception):
    pass


class LockError(DriverError):
    pass


class Judge:
    def __call__(self, error):
        return "count" in str(error)


FORMS = {
    "a class": DriverError,
    "a tuple": (DriverError, KeyError),
    "a list": [KeyError, DriverError],
    "a set": {DriverError},
    "an iterator": iter([DriverError]),
    "a predicate": lambda error: isinstance(error, DriverError),
    "the base library's predicate": lambda thrown_type, _: issubclass(thrown_type, DriverError),
    "a callable object": Judge(),
    "a predicate with an optional argument": lambda error, wanted="count": wanted in str(error),
    "a predicate of any arguments": lambda *errors: len(errors) == 1 and "count" in str(errors[0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_expected_exception_replaces_the_classification_for_counting(form):
    breaker = make(expected_exception=FORMS[form])
    assert breaker.expected_exception is FORMS[form]
    assert counts(breaker, DriverError("count")) == 1
    assert counts(breaker, LockError("count")) == 1
    assert counts(breaker, ConnectionRefusedError("another")) == 0
    assert counts(breaker, ValueError("another")) == 0
    assert breaker.failure_count == 2


def test_a_builtin_that_shows_no_signature_is_called_with_the_exception():
    breaker = make(expected_exception=vars)  # true of an exception that has attributes
    marked = DriverError()
    marked.retryable = True
    assert counts(breaker, DriverError()) == 0
    assert counts(breaker, marked) == 1


def test_an_expected_failure_of_the_caller_opens_and_fails_a_probe():
    clock = Clock()
    breaker = make(clock, failure_threshold=2, expected_exception=ValueError)
    fail(breaker, 2, ValueError("caller"))
    assert breaker.state is EnumCircuitState.OPEN
    clock.advance(60)
    fail(breaker, 1, ValueError("caller"))
    assert breaker.state is EnumCircuitState.OPEN


def test_an_expected_throttling_counts_as_a_consecutive_failure():
    assert counts(make(expected_exception=InfraRateLimitedError), InfraRateLimitedError("429")) == 1


def test_our_own_rejections_never_count_even_when_every_exception_is_expected():
    clock = Clock()
    inner = make(clock)
    inner.trip()
    limiter = TokenBucketLimiter(1.0, 1, clock=clock)
    limiter.acquire()
    outer = make(clock, failure_threshold=1, expected_exception=Exception)
    for _ in range(20):
        with pytest.raises(InfraUnavailableError):
            outer.call(inner(lambda: "unreached"))
        with pytest.raises(InfraRateLimitedError):
            outer.call(limiter(lambda: "unreached"))
    assert (outer.state, outer.failure_count, outer.last_failure_kind) == (EnumCircuitState.CLOSED, 0, None)


def test_a_cancellation_is_never_shown_to_the_predicate():
    seen = []
    breaker = make(expected_exception=lambda error: seen.append(error) or True)
    flight = Flight(breaker)
    flight.cancel()
    fail(breaker, 1, KeyboardInterrupt())
    assert (seen, breaker.failure_count, breaker.last_failure_kind) == ([], 0, None)


@pytest.mark.parametrize("face", FACES)
def test_a_predicate_that_raises_gives_the_place_back_and_is_heard(face):
    clock = Clock()

    def judge(error):
        raise LookupError("the predicate is broken")

    breaker = make(clock, expected_exception=judge)
    breaker.trip()
    clock.advance(60)
    for _ in range(2):
        with pytest.raises(LookupError, match="the predicate is broken") as caught:
            attempt(breaker, face, ConnectionRefusedError("refused"))
        assert isinstance(caught.value.__context__, ConnectionRefusedError)
    assert attempt(breaker, face) == "ok"


def test_what_was_not_recorded_is_not_the_last_failure():
    breaker = make()
    fail(breaker, 1, TimeoutError())
    for error in (asyncio.CancelledError(), ValueError("caller"), InfraAuthenticationError("401")):
        fail(breaker, 1, error)
    assert breaker.last_failure_kind is EnumFailureKind.TIMEOUT


def test_the_exception_itself_is_not_kept():
    breaker = make()
    fail(breaker)
    assert breaker.last_failure is None


@pytest.mark.parametrize("face", FACES)
def test_a_breaker_alone_lets_the_functions_own_exception_through(face):
    raised = ConnectionRefusedError("postgresql://svc:hunter2@db")
    with pytest.raises(ConnectionRefusedError) as caught:
        attempt(make(), face, raised)
    assert caught.value is raised
    assert caught.value.__cause__ is None


TRANSLATED = [
    (ConnectionRefusedError("hunter2"), InfraConnectionError),
    (TimeoutError("hunter2"), InfraTimeoutError),
]


@pytest.mark.parametrize(("raised", "becomes"), TRANSLATED, ids=["connection", "timeout"])
@pytest.mark.parametrize("face", FACES)
def test_with_translate_the_functions_failures_become_onex_errors(face, raised, becomes):
    breaker = make(name=fresh("translating"), translate=True)
    with pytest.raises(becomes) as caught:
        attempt(breaker, face, raised)
    error = caught.value
    assert error.__cause__ is raised
    assert error.context.transport_type is EnumInfraTransportType.DATABASE
    assert error.context.target_name == breaker.name
    assert error.rejected_by is None
    assert "hunter2" not in str(error) + error.model_dump_json()
    assert breaker.failure_count == 1


@pytest.mark.parametrize(
    "raised", [ValueError("caller"), InfraTimeoutError("late"), asyncio.CancelledError()], ids=by_class
)
@pytest.mark.parametrize("face", FACES)
def test_translate_keeps_onex_errors_caller_errors_and_cancellations_as_they_are(face, raised):
    breaker = make(translate=True)
    with pytest.raises(type(raised)) as caught:
        attempt(breaker, face, raised)
    assert caught.value is raised


def test_translate_keeps_a_rejection_as_it_is():
    breaker = make(translate=True)
    breaker.trip()
    assert refused(breaker).rejected_by == "db:attempt.<locals>.act"
