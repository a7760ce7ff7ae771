"""`RateLimiter`: buckets by key, bounded memory, and keys nobody gets to read."""

import json
import logging
import math
import subprocess
import sys
from decimal import Decimal

import pytest
from tests.support.retries import Clock

from omnibase_infra.enums import EnumCoreErrorCode, EnumFailureKind
from omnibase_infra.errors import InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import RateLimiter
from omnibase_infra.infrastructure.resilience.transports import classify


def keyed(max_keys: int = 1_000_000, start: float = 50.0) -> tuple[RateLimiter, Clock]:
    clock = Clock(start)
    return RateLimiter("logins", max_keys=max_keys, clock=clock), clock


def test_each_key_has_its_capacity_from_its_very_first_call() -> None:
    limiter, _ = keyed()
    for key in ("ann", "bob", 7, ("tenant", 3), None):
        assert [limiter.acquire(key, 1, 3) for _ in range(5)] == [True] * 3 + [False] * 2
    assert len(limiter) == 5


def test_a_key_gets_its_tokens_back_at_its_rate() -> None:
    limiter, clock = keyed()
    assert limiter.acquire("ann", 2, 4, 4)
    clock.now += 0.75
    assert limiter.acquire("ann", 2, 4, 1.5)
    assert not limiter.acquire("ann", 2, 4)


def test_check_limit_raises_with_the_exact_time_and_coming_back_then_succeeds() -> None:
    limiter, clock = keyed()
    limiter.check_limit("ann", 3, 2, 2)
    with pytest.raises(InfraRateLimitedError) as caught:
        limiter.check_limit("ann", 3, 2)
    error = caught.value
    assert error.error_code is EnumCoreErrorCode.RATE_LIMIT_EXCEEDED
    assert error.rejected_by == error.context.target_name == "logins"
    assert error.context.operation == "check_limit"
    assert error.retry_after_seconds == pytest.approx(1 / 3)
    assert classify(error) is EnumFailureKind.REJECTED
    clock.now += error.retry_after_seconds * 0.999
    assert not limiter.acquire("ann", 3, 2)
    clock.now += error.retry_after_seconds * 0.001
    limiter.check_limit("ann", 3, 2)


@pytest.mark.parametrize("key", ["ann@example.com", "10.1.2.3", ("ann@example.com", 5), 4_242_424_242, b"10.1.2.3"])
def test_a_key_is_shown_only_as_a_short_hash(key: str, caplog: pytest.LogCaptureFixture) -> None:
    limiter, _ = keyed()
    limiter.check_limit(key, 1, 1)
    limiter.check_limit("someone else", 1, 1)
    messages: list[str] = []
    for other in (key, key, "someone else"):
        with caplog.at_level(logging.DEBUG), pytest.raises(InfraRateLimitedError) as caught:
            limiter.check_limit(other, 1, 1)
        error = caught.value
        messages.append(error.message)
        shown = str(error) + repr(error) + error.model_dump_json() + json.dumps(error.context.model_dump(mode="json"))
        for secret in ("ann", "example", "10.1.2.3", "4242424242", "4_242"):
            assert secret not in shown
            assert secret not in caplog.text
    assert messages[0] == messages[1] != messages[2]
    assert messages[0].rpartition("#")[2].isalnum()
    assert len(messages[0].rpartition("#")[2]) == 8


def test_a_key_that_no_encoding_holds_is_hashed_all_the_same() -> None:
    limiter, _ = keyed()
    limiter.check_limit("\ud800", 1, 1)
    with pytest.raises(InfraRateLimitedError, match="for key #"):
        limiter.check_limit("\ud800", 1, 1)


def test_limits_from_a_numeric_column_of_a_database_are_as_good_as_floats() -> None:
    limiter, _ = keyed()
    assert [limiter.acquire("ann", Decimal("0.5"), Decimal(2)) for _ in range(3)] == [True, True, False]
    assert not limiter.acquire("ann", 0.5, 2)


def test_new_limits_for_a_known_key_take_effect_at_once() -> None:
    limiter, clock = keyed()
    assert limiter.acquire("ann", 1, 10, 10)
    # Raised: the bucket is empty, but refills at the new rate.
    with pytest.raises(InfraRateLimitedError) as caught:
        limiter.check_limit("ann", 100, 10)
    assert caught.value.retry_after_seconds == pytest.approx(0.01)
    clock.now += caught.value.retry_after_seconds
    assert limiter.acquire("ann", 100, 10)
    # Lowered: never more than the new capacity.
    clock.now += 60
    assert [limiter.acquire("ann", 0.1, 2) for _ in range(3)] == [True, True, False]


def test_a_refusal_under_new_limits_counts_as_their_beginning() -> None:
    limiter, clock = keyed()
    assert limiter.acquire("ann", 0.1, 2, 2)
    assert not limiter.acquire("ann", 1, 5, 5)
    clock.now += 5
    assert limiter.acquire("ann", 1, 5, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5), "rate = 0: must be a finite number, above 0"),
        ((-1, 5), "rate = -1: must be a finite number, above 0"),
        ((math.nan, 5), "rate = nan: must be a finite number, above 0"),
        ((math.inf, 5), "rate = inf: must be a finite number, above 0"),
        ((True, 5), "rate = True: must be a finite number, above 0"),
        (("5", 5), "rate = (a str, not shown): must be a finite number, above 0"),
        ((None, 5), "rate = None: must be a finite number, above 0"),
        ((Decimal(-2), Decimal(5)), "rate = (a Decimal, not shown): must be a finite number, above 0"),
        ((1, 5, Decimal(2)), "tokens must be a number from 1 to the capacity, 5, not (a Decimal, not shown)"),
        ((10**400, 5), "rate = (an int of 1329 bits): must be a finite number, above 0"),
        ((5e-324, 5), "rate = 5e-324: must fill the capacity, 5, in a time that a float can hold"),
        ((1, 0), "capacity = 0: must be a finite number, 1 or more"),
        ((1, 0.5), "capacity = 0.5: must be a finite number, 1 or more"),
        ((1, math.inf), "capacity = inf: must be a finite number, 1 or more"),
        ((1, math.nan), "capacity = nan: must be a finite number, 1 or more"),
        ((1, True), "capacity = True: must be a finite number, 1 or more"),
        ((1, "5"), "capacity = (a str, not shown): must be a finite number, 1 or more"),
        ((1, 5, -1_000), "tokens must be a number from 1 to the capacity, 5, not -1000"),
        ((1, 5, 0), "tokens must be a number from 1 to the capacity, 5, not 0"),
        ((1, 5, 0.5), "tokens must be a number from 1 to the capacity, 5, not 0.5"),
        ((1, 5, 6), "tokens must be a number from 1 to the capacity, 5, not 6"),
        ((1, 5, math.nan), "tokens must be a number from 1 to the capacity, 5, not nan"),
        ((1, 5, True), "tokens must be a number from 1 to the capacity, 5, not True"),
        ((1, 5, "3"), "tokens must be a number from 1 to the capacity, 5, not (a str, not shown)"),
        ((1, 5, 10**400), "tokens must be a number from 1 to the capacity, 5, not (an int of 1329 bits)"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_impossible_limits_and_tokens_are_refused_and_make_no_bucket(
    arguments: tuple[float, ...], message: str
) -> None:
    limiter, _ = keyed()
    for ask in (limiter.acquire, limiter.check_limit):
        with pytest.raises(ProtocolConfigurationError) as caught:
            ask("ann", *arguments)
        assert caught.value.message == message
        assert caught.value.model.context["parameter"] == message.split(" ", maxsplit=1)[0]
    assert len(limiter) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_keys": 0}, "max_keys = 0: must be a whole number, 1 or more"),
        ({"max_keys": -5}, "max_keys = -5: must be a whole number, 1 or more"),
        ({"max_keys": 2.5}, "max_keys = 2.5: must be a whole number, 1 or more"),
        ({"max_keys": math.nan}, "max_keys = nan: must be a whole number, 1 or more"),
        ({"max_keys": True}, "max_keys = True: must be a whole number, 1 or more"),
        ({"max_keys": "9"}, "max_keys = (a str, not shown): must be a whole number, 1 or more"),
        ({"max_keys": None}, "max_keys = None: must be a whole number, 1 or more"),
        ({"name": 9}, "name = 9: must be text that is not blank, or None"),
    ],
    ids=str,
)
def test_a_bad_setting_is_named_with_what_is_allowed(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        RateLimiter(**settings)
    assert caught.value.message == message


@pytest.mark.parametrize("max_keys", [1, 2, 100, 2_048, 4_097, 10_000])
def test_memory_never_holds_more_than_max_keys(max_keys: int) -> None:
    limiter, _ = keyed(max_keys)
    for number in range(2 * max_keys + 50):
        limiter.acquire(f"user {number}", 1, 5)
        assert len(limiter) <= max_keys
    assert len(limiter) >= max_keys * 0.9


def test_a_limited_key_is_never_crowded_out_of_its_limit() -> None:
    limiter, clock = keyed(100)
    assert limiter.acquire("attacker", 1 / 3_600, 2, 2)
    for number in range(5_000):
        clock.now += 0.01
        limiter.acquire(f"helper {number}", 10, 5)
        assert not limiter.acquire("attacker", 1 / 3_600, 2)
    assert len(limiter) <= 100


def test_while_every_place_is_in_use_new_keys_are_told_when_one_comes_free() -> None:
    limiter, clock = keyed(3)
    for number, wait in enumerate((7, 4, 9)):
        limiter.check_limit(number, 1, 10, wait)
    for _ in range(2):
        with pytest.raises(InfraRateLimitedError) as caught:
            limiter.check_limit("new", 1, 10)
        assert caught.value.retry_after_seconds == 4.0
    assert limiter.acquire(0, 1, 10)  # who is known is served
    clock.now += 4.0
    limiter.check_limit("new", 1, 10)
    assert not limiter.acquire("newer", 1, 10)


def test_a_place_that_new_limits_set_free_early_is_found() -> None:
    limiter, clock = keyed(200)
    for number in range(200):
        assert limiter.acquire(number, 1 / 86_400, 1)
    assert not limiter.acquire("new", 1, 1)
    for number in range(200):
        limiter.acquire(number, 1e3, 1)  # the operator has raised the limits
    clock.now += 61
    limiter.acquire(0, 1e3, 1)
    for number in range(199):
        assert limiter.acquire(f"new {number}", 1 / 86_400, 1)


def test_a_key_is_dropped_when_its_bucket_is_full_and_not_before() -> None:
    limiter, clock = keyed(4)
    for number in range(4):
        limiter.check_limit(number, 1, 10, 2.5 * (number + 1))
    clock.now += 5.0  # two of four are full again
    assert limiter.acquire("new", 1, 10)
    assert len(limiter) == 3
    # Who was dropped begins full, who was kept has what is left.
    assert limiter.acquire(1, 1, 10, 10)
    assert not limiter.acquire(2, 1, 10, 8)
    assert limiter.acquire(2, 1, 10, 7.5)


@pytest.mark.parametrize("keys", [range(0, 200_000 << 12, 1 << 12), [f"user {n}" for n in range(200_000)]], ids=type)
def test_memory_shrinks_when_keys_go_idle_whoever_calls_next(keys: list[int] | list[str]) -> None:
    limiter, clock = keyed()
    for key in keys:
        limiter.check_limit(key, 10, 20)
    assert len(limiter) >= 190_000
    clock.now += 3_600
    for _ in range(600):  # one user is left
        limiter.acquire("ann", 10, 20)
        clock.now += 0.25
    assert len(limiter) == 1


def test_a_shard_that_another_thread_holds_is_swept_in_its_next_turn() -> None:
    limiter, clock = keyed(8_192)
    for number in range(4_000):
        limiter.check_limit(number, 1, 1)
    clock.now += 1_000
    with limiter._shards[0].lock:
        free = next(key for key in range(10_000) if hash((key,)) % 4)
        for _ in range(4):
            limiter.acquire(free, 1, 1)
            clock.now += 60
    assert len(limiter._shards[0].buckets) > 900
    assert sum(len(shard.buckets) for shard in limiter._shards[1:]) <= 1
    for _ in range(4):
        limiter.acquire(free, 1, 1)
        clock.now += 60
    assert len(limiter) <= 1


def test_the_first_decision_waits_for_no_import() -> None:
    program = (
        "import sys\n"
        "from omnibase_infra.infrastructure.resilience import RateLimiter\n"
        "limiter = RateLimiter()\n"
        "before = set(sys.modules)\n"
        "assert limiter.acquire('ann', 0.5, 2)\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
