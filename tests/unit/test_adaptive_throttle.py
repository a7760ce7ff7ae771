"""The adaptive throttle: what counts as accepted, and when calls are rejected here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator

import pytest
from tests.support.garbage import garbage_of
from tests.support.retries import Caller, Clock, Script, call_coroutine, call_plain

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraUnavailableError,
    ProtocolConfigurationError,
)
from omnibase_infra.infrastructure import resilience
from omnibase_infra.infrastructure.resilience import (
    AdaptiveThrottle,
    add_observer,
    classify,
    create_database_adaptive_throttle,
    create_database_circuit_breaker,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import CorrelationContext

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])

TRANSPORTS = ("database", "kafka", "network", "vault", "consul", "valkey", "grpc")


class Dice:
    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self) -> float:
        return self.value


def throttle(clock: Clock | None = None, **settings: object) -> AdaptiveThrottle:
    """By the SRE book's own formula: K = 2 and no floor; 0 on the dice rejects whatever may be rejected."""
    build: Callable[..., AdaptiveThrottle] = AdaptiveThrottle
    return build(
        **{"multiplier": 2, "window": 10, "min_per_second": 0, "clock": clock or Clock(), "rng": Dice(), **settings}
    )


def make_calls(policy: AdaptiveThrottle, *outcomes: object) -> None:
    """Make calls that pass whatever the throttle would say."""
    dice, policy._rng = policy._rng, Dice(1.0)
    for outcome in outcomes:
        try:
            policy.call(Script(outcome))
        except BaseException as error:
            if error is not outcome and type(error) is not outcome:
                raise
    policy._rng = dice


def rejection(policy: AdaptiveThrottle) -> InfraUnavailableError:
    with pytest.raises(InfraUnavailableError, match="Adaptive throttle") as caught:
        policy.call(Script("never"))
    return caught.value


# The formula at work


@both_kinds
def test_calls_pass_and_count_while_the_backend_accepts_them(call: Caller):
    policy = throttle()
    assert [call(policy, Script("rows")) for _ in range(5)] == ["rows"] * 5
    assert (policy.requests, policy.accepts, policy.rejection_probability) == (5, 5, 0)


def test_up_to_k_times_what_is_accepted_passes():
    policy = throttle()
    make_calls(policy, "rows", "rows", ConnectionError, ConnectionError)
    assert policy.rejection_probability == 0
    assert policy.call(Script("rows")) == "rows"


@both_kinds
def test_beyond_it_calls_are_rejected_with_the_books_probability(call: Caller):
    dice = Dice()
    policy = throttle(rng=dice)
    make_calls(policy, "rows", *[ConnectionError] * 4)
    probability = (5 - 2 * 1) / (5 + 1)
    assert policy.rejection_probability == probability
    dice.value = probability
    assert call(policy, Script("rows")) == "rows"
    dice.value = policy.rejection_probability - 1e-9
    script = Script("never")
    with pytest.raises(InfraUnavailableError):
        call(policy, script)
    assert script.calls == 0


def test_a_rejected_call_is_a_request_too():
    policy = throttle()
    make_calls(policy, ConnectionError)
    assert (policy.requests, policy.accepts) == (1, 0)
    rejection(policy)
    assert (policy.requests, policy.accepts) == (2, 0)
    assert policy.rejection_probability == 2 / 3


def test_even_a_full_outage_lets_a_call_through_now_and_then():
    policy = throttle(rng=Dice(0.999))
    make_calls(policy, *[ConnectionError] * 500)
    assert policy.rejection_probability == 500 / 501
    assert policy.call(Script("rows")) == "rows"


def test_calls_under_way_do_not_count_so_that_a_start_throttles_nobody():
    policy = throttle()

    async def main() -> None:
        @policy
        async def query() -> None:
            await asyncio.sleep(0)

        await asyncio.gather(*(query() for _ in range(100)))

    asyncio.run(main())
    assert (policy.requests, policy.accepts) == (100, 100)


def test_a_lone_caller_is_never_rejected_under_the_floor():
    clock = Clock()
    policy = throttle(clock, min_per_second=1)
    for _ in range(100):
        with pytest.raises(ConnectionError):
            policy.call(Script(ConnectionError))
        clock.now += 1


def test_beyond_the_floor_the_formula_rules():
    policy = throttle(min_per_second=1)
    make_calls(policy, *[ConnectionError] * 10)
    assert policy.rejection_probability == 0
    make_calls(policy, ConnectionError)
    assert policy.rejection_probability == (11 - 10) / 12


# The window


def test_failures_that_have_left_the_window_reject_nobody():
    clock = Clock()
    policy = throttle(clock)
    make_calls(policy, *[ConnectionError] * 5)
    rejection(policy)
    clock.now += 11
    assert policy.call(Script("rows")) == "rows"
    assert policy.rejection_probability == 0


def test_accepts_that_leave_the_window_let_the_failures_count():
    clock = Clock()
    policy = throttle(clock)
    make_calls(policy, *["rows"] * 20)
    clock.now = 5
    make_calls(policy, *[ConnectionError] * 10)
    assert policy.call(Script("rows")) == "rows"
    clock.now = 13
    rejection(policy)


def test_a_long_healthy_stretch_counts_with_its_last_window_only():
    clock = Clock()
    policy = throttle(clock)
    make_calls(policy, *["rows"] * 1000)
    clock.now = 100
    assert policy.requests == policy.accepts == pytest.approx(100, abs=10)


# What counts


@pytest.mark.parametrize(
    "error", [ConnectionError(), TimeoutError(), InfraUnavailableError("503"), InfraRateLimitedError("429")]
)
def test_lost_late_unavailable_and_throttled_calls_are_not_accepted(error):
    policy = throttle()
    make_calls(policy, error)
    assert (policy.requests, policy.accepts) == (1, 0)


@pytest.mark.parametrize("error", [ValueError(), KeyError(), InfraAuthenticationError("401")])
def test_whoever_tells_the_caller_what_is_wrong_has_accepted_the_call(error):
    policy = throttle()
    make_calls(policy, error)
    assert (policy.requests, policy.accepts) == (1, 1)


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        GeneratorExit(),
        InfraUnavailableError("open", rejected_by="orders"),
        InfraRateLimitedError("slow", rejected_by="orders"),
    ],
)
def test_abandoned_calls_and_rejections_further_in_do_not_count(error):
    policy = throttle()
    make_calls(policy, error)
    assert (policy.requests, policy.accepts) == (0, 0)


def test_the_functions_own_errors_pass_untouched():
    error = ConnectionError("refused")
    with pytest.raises(ConnectionError) as caught:
        throttle().call(Script(error))
    assert caught.value is error


# The rejection


def test_a_rejection_is_ours_says_by_whom_and_why_and_nothing_foreign():
    policy = create_database_adaptive_throttle(1, 10, 0, name="orders", clock=Clock(), rng=Dice())
    make_calls(policy, "rows", ConnectionError("hunter2"), ConnectionError("hunter2"))
    mine = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
    with CorrelationContext(mine):
        error = rejection(policy)
    assert classify(error) is EnumFailureKind.REJECTED
    assert (error.rejected_by, error.http_status, error.circuit_state) == ("orders", 503, None)
    assert error.context.transport_type is EnumInfraTransportType.DATABASE
    assert error.context.target_name == "orders"
    assert str(error.correlation_id) == mine
    assert error.message == (
        "Adaptive throttle: 'orders' rejects 50.0% of the calls, as many as the backend did not accept in the last 10 s"
    )
    assert error.__cause__ is error.__context__ is None


def test_a_rejection_is_neither_retried_nor_counted_by_a_breaker():
    policy = throttle()
    make_calls(policy, *[ConnectionError] * 9)
    breaker = create_database_circuit_breaker(1)
    script = Script("never")
    guarded = breaker(create_database_retry_policy(5, sleep=lambda _: None)(policy(script)))
    with pytest.raises(InfraUnavailableError, match="Adaptive throttle"):
        guarded()
    assert breaker.closed
    assert (policy.requests, script.calls) == (10, 0)


def test_a_rejection_is_told_to_observers():
    events: list[ModelResilienceEvent] = []
    policy = throttle(name="orders")
    make_calls(policy, ConnectionError)
    stop = add_observer(events.append, inline=True)
    try:
        rejection(policy)
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.policy, event.name) == (EnumResilienceEvent.REJECTED, "adaptive_throttle", "orders")


def test_an_unnamed_throttle_takes_its_transport_and_its_first_function():
    policy = create_database_adaptive_throttle(clock=Clock())
    assert policy.name == "adaptive_throttle"

    @policy
    def query() -> None: ...

    assert policy.name == f"db:{query.__qualname__}"
    assert create_database_adaptive_throttle(service="orders").name == "orders"


# Every kind of callable


def test_generators_of_both_kinds_are_throttled_and_counted():
    policy = throttle()

    @policy
    def items() -> Generator[int]:
        yield 1
        yield 2

    @policy
    async def rows() -> AsyncGenerator[int]:
        yield 1
        raise ConnectionError  # after the first item: the call has worked

    async def read() -> None:
        with pytest.raises(ConnectionError):
            _ = [row async for row in rows()]

    assert list(items()) == [1, 2]
    asyncio.run(read())
    assert (policy.requests, policy.accepts) == (2, 2)
    make_calls(policy, *[ConnectionError] * 9)
    with pytest.raises(InfraUnavailableError):
        list(items())
    with pytest.raises(InfraUnavailableError):
        asyncio.run(read())


def test_a_plain_function_that_returns_a_coroutine_is_refused():
    async def query() -> None: ...

    def deferred() -> object:
        return query()

    with pytest.raises(TypeError, match="would run unprotected"):
        throttle()(deferred)()


@both_kinds
@pytest.mark.parametrize("outcome", ["rows", ConnectionError])
def test_no_call_leaves_cyclic_garbage(call: Caller, outcome: object):
    policy = throttle(rng=Dice(0.5))
    work = policy(Script(outcome))

    def many() -> None:
        for _ in range(100):
            try:
                work()
            except (ConnectionError, InfraUnavailableError):
                pass

    assert garbage_of(many) == 0


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multiplier": 0.9}, "multiplier = 0.9: must be a finite number, 1 or more"),
        ({"window": 0}, "window = 0: must be a finite number, above 0"),
        ({"min_per_second": -1}, "min_per_second = -1: must be a finite number, 0 or more"),
        ({"multiplier": "hunter2"}, "multiplier = (a str, not shown): must be a finite number, 1 or more"),
        ({"name": ""}, "name = (empty): must be text that is not blank, or None"),
        ({"clock": 1}, "clock = 1: must be a function"),
        ({"rng": 1}, "rng = 1: must be a function"),
    ],
)
@pytest.mark.parametrize("build", [AdaptiveThrottle, create_database_adaptive_throttle])
def test_an_unusable_argument_is_named_with_what_is_allowed(build, settings, message):
    with pytest.raises(ProtocolConfigurationError) as caught:
        build(**settings)
    assert caught.value.message == message


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_has_a_throttle_with_envoys_window_and_a_floor(transport):
    built = getattr(resilience, f"create_{transport}_adaptive_throttle")()
    assert 1 < built.config.multiplier <= 2
    assert (built.config.window, built.config.min_per_second) == (30, 1)


def test_a_connection_error_of_ours_is_not_accepted_either():
    policy = throttle()
    make_calls(policy, InfraConnectionError("refused"))
    assert (policy.requests, policy.accepts) == (1, 0)
