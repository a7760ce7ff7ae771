"""One bucket by hand: `acquire`, `check_limit`, `tokens`, the error, and every bad argument."""

import json
import logging
import math
import pickle
from collections.abc import Callable
from decimal import Decimal
from uuid import uuid4

import pytest
from tests.support.retries import Clock

from omnibase_infra.enums import EnumCoreErrorCode, EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.observers import add_observer
from omnibase_infra.infrastructure.resilience.transports import classify
from omnibase_infra.utils import CorrelationContext


def bucket(rate: float = 2.0, capacity: float = 5.0) -> tuple[TokenBucketLimiter, Clock]:
    clock = Clock(100.0)
    return TokenBucketLimiter(rate, capacity, "search", clock=clock, transport=EnumInfraTransportType.HTTP), clock


def test_a_new_bucket_is_full_and_grants_exactly_its_capacity_at_once() -> None:
    limiter, _ = bucket()
    assert [limiter.acquire() for _ in range(7)] == [True] * 5 + [False] * 2


def test_rate_capacity_name_and_tokens_are_readable_and_reading_takes_nothing() -> None:
    limiter, clock = bucket()
    assert (limiter.rate, limiter.capacity, limiter.name, limiter.tokens) == (2.0, 5.0, "search", 5.0)
    assert limiter.acquire(4)
    assert [limiter.tokens, limiter.tokens] == [1.0, 1.0]
    clock.now += 0.25
    assert limiter.tokens == 1.5
    clock.now += 1_000
    assert limiter.tokens == 5.0


@pytest.mark.parametrize("name", ["rate", "capacity", "name", "tokens"])
def test_what_is_readable_cannot_be_set(name: str) -> None:
    limiter, _ = bucket()
    with pytest.raises(AttributeError):
        setattr(limiter, name, 1)


def test_a_limiter_without_a_name_has_one_all_the_same() -> None:
    assert TokenBucketLimiter(1, 1).name == "rate_limiter"


def test_fractions_of_a_token_and_of_a_second_are_kept() -> None:
    limiter, clock = bucket(rate=0.1, capacity=2)
    assert limiter.acquire(1.75)
    clock.now += 7.4  # 0.25 + 0.74 tokens
    assert not limiter.acquire()
    clock.now += 0.1
    assert limiter.acquire()
    assert limiter.tokens == pytest.approx(0, abs=1e-9)


def test_a_refused_take_leaves_the_bucket_as_it_was() -> None:
    limiter, _ = bucket()
    assert limiter.acquire(3)
    assert not limiter.acquire(3)
    assert limiter.tokens == 2.0
    assert limiter.acquire(2)


def test_a_clock_that_goes_back_grants_nothing() -> None:
    limiter, clock = bucket()
    assert limiter.acquire(5)
    clock.now -= 50
    assert not limiter.acquire()
    assert limiter.tokens == 0.0


def test_check_limit_is_silent_until_it_raises() -> None:
    limiter, _ = bucket()
    limiter.check_limit()
    limiter.check_limit(4)
    with pytest.raises(InfraRateLimitedError):
        limiter.check_limit()


def test_the_error_says_who_refused_what_and_when_to_come_back() -> None:
    limiter, clock = bucket()
    limiter.check_limit(5)
    clock.now += 0.125
    correlation_id = uuid4()
    with CorrelationContext(correlation_id), pytest.raises(InfraRateLimitedError) as caught:
        limiter.check_limit(2)
    error = caught.value
    assert error.error_code is EnumCoreErrorCode.RATE_LIMIT_EXCEEDED
    assert error.http_status == 429
    assert error.rejected_by == "search"
    assert error.retry_after_seconds == 0.875
    assert error.correlation_id == error.context.correlation_id == correlation_id
    assert error.context.transport_type is EnumInfraTransportType.HTTP
    assert error.context.operation == "check_limit"
    assert error.context.target_name == "search"
    assert error.context.retry_after_seconds == 0.875
    assert "'search' allows 2/s and bursts of 5" in error.message
    assert error.__cause__ is None
    assert json.loads(error.model_dump_json())["rejected_by"] == "search"
    assert pickle.loads(pickle.dumps(error)).retry_after_seconds == 0.875


def test_each_rejection_is_an_error_of_its_own() -> None:
    limiter, _ = bucket(capacity=1)
    limiter.check_limit()
    errors: list[InfraRateLimitedError] = []
    for _ in range(2):
        with pytest.raises(InfraRateLimitedError) as caught:
            limiter.check_limit()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert errors[0].correlation_id != errors[1].correlation_id


@pytest.mark.parametrize("rate", [1 / 86_400, 1 / 3, 10.0, 1e6])
def test_coming_back_when_told_succeeds_and_any_sooner_fails(rate: float) -> None:
    limiter, clock = bucket(rate=rate, capacity=3)
    limiter.check_limit(3)
    with pytest.raises(InfraRateLimitedError) as caught:
        limiter.check_limit(2)
    wait = caught.value.retry_after_seconds
    assert wait == pytest.approx(2 / rate)
    clock.now += wait * 0.999
    assert not limiter.acquire(2)
    clock.now += wait * 0.001
    assert limiter.acquire(2)


def test_a_rejection_is_no_failure_in_any_policys_eyes() -> None:
    limiter, _ = bucket(capacity=1)
    limiter.check_limit()
    with pytest.raises(InfraRateLimitedError) as caught:
        limiter.check_limit()
    assert classify(caught.value) is EnumFailureKind.REJECTED
    assert classify(InfraRateLimitedError("429 from the server")) is EnumFailureKind.THROTTLED


def test_a_rejection_is_told_to_observers_and_logged_below_the_noise(caplog: pytest.LogCaptureFixture) -> None:
    limiter, _ = bucket(capacity=1)
    limiter.check_limit()
    events: list[object] = []
    remove = add_observer(events.append, inline=True)
    try:
        with caplog.at_level(logging.DEBUG, "omnibase_infra.resilience"), pytest.raises(InfraRateLimitedError):
            limiter.check_limit()
    finally:
        remove()
    (event,) = events
    assert (event.kind, event.policy, event.name) == (EnumResilienceEvent.REJECTED, "rate_limiter", "search")
    assert event.retry_after_seconds == 0.5
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert "rate_limiter 'search' rejected check_limit" in caplog.text


def test_a_secret_in_a_name_is_never_shown() -> None:
    limiter = TokenBucketLimiter(1, 1, "postgresql://svc:hunter2@db/main", clock=Clock())
    limiter.check_limit()
    with pytest.raises(InfraRateLimitedError) as caught:
        limiter.check_limit()
    error = caught.value
    for text in (limiter.name, str(error), repr(error), error.model_dump_json(), str(error.rejected_by)):
        assert "hunter2" not in text


ASK: list[Callable[[TokenBucketLimiter, float], object]] = [
    lambda limiter, tokens: limiter.acquire(tokens),
    lambda limiter, tokens: limiter.check_limit(tokens),
    lambda limiter, tokens: limiter.wait(tokens),
    lambda limiter, tokens: limiter.acquire_async(tokens).send(None),
]


@pytest.mark.parametrize("ask", ASK, ids=["acquire", "check_limit", "wait", "acquire_async"])
@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (-1_000, "-1000"),
        (0, "0"),
        (0.5, "0.5"),
        (6, "6"),
        (5.000001, "5.000001"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (10**400, "(an int of 1329 bits)"),
        (True, "True"),
        ("3", "(a str, not shown)"),
        (None, "None"),
        (Decimal(2), "(a Decimal, not shown)"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_impossible_tokens_are_a_configuration_error_and_take_nothing(
    ask: Callable[[TokenBucketLimiter, float], object], tokens: float, shown: str
) -> None:
    limiter, _ = bucket()
    assert limiter.acquire(2)
    with pytest.raises(ProtocolConfigurationError) as caught:
        ask(limiter, tokens)
    assert caught.value.message == f"tokens must be a number from 1 to the capacity, 5, not {shown}"
    assert caught.value.model.context["parameter"] == "tokens"
    assert limiter.tokens == 3.0
    assert not limiter._queue


def test_the_message_tells_a_large_capacity_to_the_last_digit() -> None:
    limiter = TokenBucketLimiter(1, 1_234_567.5)
    with pytest.raises(ProtocolConfigurationError, match=r"from 1 to the capacity, 1234567\.5"):
        limiter.acquire(1_234_568)


@pytest.mark.parametrize(
    ("rate", "capacity", "message"),
    [
        (0, 5, "rate = 0: must be a finite number, above 0"),
        (-1, 5, "rate = -1: must be a finite number, above 0"),
        (math.nan, 5, "rate = nan: must be a finite number, above 0"),
        (math.inf, 5, "rate = inf: must be a finite number, above 0"),
        (True, 5, "rate = True: must be a finite number, above 0"),
        ("10", 5, "rate = (a str, not shown): must be a finite number, above 0"),
        (None, 5, "rate = None: must be a finite number, above 0"),
        (10**400, 5, "rate = (an int of 1329 bits): must be a finite number, above 0"),
        (1, 0, "capacity = 0: must be a finite number, 1 or more"),
        (1, 0.5, "capacity = 0.5: must be a finite number, 1 or more"),
        (1, -3, "capacity = -3: must be a finite number, 1 or more"),
        (1, math.nan, "capacity = nan: must be a finite number, 1 or more"),
        (1, math.inf, "capacity = inf: must be a finite number, 1 or more"),
        (1, True, "capacity = True: must be a finite number, 1 or more"),
        (1, "5", "capacity = (a str, not shown): must be a finite number, 1 or more"),
        (5e-324, 5, "rate = 5e-324: must fill the capacity, 5, in a time that a float can hold"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_impossible_limits_are_refused_with_what_is_allowed(rate: float, capacity: float, message: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        TokenBucketLimiter(rate, capacity)
    assert caught.value.message == message
    assert isinstance(caught.value, ValueError)
    assert caught.value.model.context["parameter"] == message.split(" ", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_limit": "block"}, "on_limit = (a str, not shown): must be 'reject' or 'wait'"),
        ({"on_limit": None}, "on_limit = None: must be 'reject' or 'wait'"),
        ({"on_limit": ["wait"]}, "on_limit = (a list, not shown): must be 'reject' or 'wait'"),
        ({"timeout": -0.1}, "timeout = -0.1: must be a number of seconds, 0 or more, or None"),
        ({"timeout": math.nan}, "timeout = nan: must be a number of seconds, 0 or more, or None"),
        ({"timeout": True}, "timeout = True: must be a number of seconds, 0 or more, or None"),
        ({"timeout": "5"}, "timeout = (a str, not shown): must be a number of seconds, 0 or more, or None"),
        ({"name": 5}, "name = 5: must be text that is not blank, or None"),
        ({"name": b"api"}, "name = (a bytes, not shown): must be text that is not blank, or None"),
    ],
    ids=str,
)
def test_every_other_bad_argument_is_named_with_what_is_allowed(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        TokenBucketLimiter(1, 1, **settings)
    assert caught.value.message == message


@pytest.mark.parametrize("timeout", [-1, math.nan, "1", True], ids=str)
def test_a_bad_timeout_of_one_wait_is_refused_before_anything_is_taken(timeout: float) -> None:
    limiter, _ = bucket()
    with pytest.raises(ProtocolConfigurationError, match=r"timeout = .*: must be a number of seconds"):
        limiter.wait(timeout=timeout)
    with pytest.raises(ProtocolConfigurationError, match=r"timeout = .*: must be a number of seconds"):
        limiter.acquire_async(timeout=timeout).send(None)
    assert limiter.tokens == 5.0
