"""The bucket against an exact one: tokens counted in fractions, refilled at every reading of the clock.

Where the exact level is within `boundary` of what is asked for, floats may decide either way, and the model follows.
"""

import math
from collections.abc import Coroutine
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.retries import Clock

from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience import RateLimiter, TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule

DAY = 86_400.0
RATES = st.sampled_from([1 / DAY, 1 / 3_600, 59 / 60, 0.1, 1 / 3, 1.0, 7.0, 50.0, 999_983.0, 1e6]) | st.floats(
    1 / DAY, 1e6
)
CAPACITIES = st.sampled_from([1.0, 1.5, 2.0, 10.0, 100.0]) | st.floats(1, 1e4)
SHARES = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
# How long until the next call, in multiples of one token's time.
PAUSES = st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.0, 2.0]) | st.floats(0, 20)
HISTORIES = st.lists(st.tuples(PAUSES, SHARES), min_size=1, max_size=40)
STARTS = st.sampled_from([0.0, 1e3, 1e6])


class ExactBucket:
    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate, self.capacity = Fraction(rate), Fraction(capacity)
        self.level = self.capacity
        self.at = Fraction(now)
        self.steps = 0

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (Fraction(now) - self.at) * self.rate)
        self.at = Fraction(now)
        self.steps += 1

    def become(self, rate: float, capacity: float) -> None:
        """Take new limits: the time until the bucket is full stays, as far as the new limits have room for it."""
        full_in = (self.capacity - self.level) / self.rate
        self.rate, self.capacity = Fraction(rate), Fraction(capacity)
        self.level = max(Fraction(0), self.capacity - full_in * self.rate)

    @property
    def boundary(self) -> Fraction:
        """Tokens: the rule's own tolerance, and half a float's spacing for each step so far."""
        depth = self.capacity / self.rate
        seconds = Fraction(rule.TOLERANCE) * (1 + depth) + self.steps * Fraction(math.ulp(float(self.at + depth)))
        return seconds * self.rate

    def agrees(self, tokens: float, *, granted: bool) -> bool:
        """Whether the answer is right; what was granted is taken here too."""
        short = Fraction(tokens) - self.level
        if granted:
            self.level -= Fraction(tokens)
        return granted == (short <= 0) or abs(short) <= self.boundary


def tokens_of(share: float, capacity: float) -> float:
    return min(capacity, 1.0 + share * (capacity - 1.0))


def granted_by(call: Coroutine[object, None, bool]) -> bool:
    """The result of a coroutine that does not suspend."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value is True
    except InfraRateLimitedError:
        return False
    raise AssertionError("the call waited")


@given(RATES, CAPACITIES, STARTS, HISTORIES)
def test_the_rule_and_acquire_agree_with_an_exact_bucket_for_any_tokens(
    rate: float, capacity: float, start: float, history: list[tuple[float, float]]
) -> None:
    clock = Clock(start)
    limiter = TokenBucketLimiter(rate, capacity, clock=clock)
    exact = ExactBucket(rate, capacity, 0.0)
    full_at, depth = 0.0, capacity / rate
    for pause, share in history:
        clock.now += pause / rate
        now, tokens = clock.now - start, tokens_of(share, capacity)
        exact.refill(now)
        booked = rule.take(full_at, now, tokens / rate, rule.reach(depth))
        full_at = full_at if booked is None else booked
        assert limiter.acquire(tokens) is (booked is not None)
        assert exact.agrees(tokens, granted=booked is not None)
        assert abs(Fraction(limiter.tokens) - exact.level) <= exact.boundary + Fraction(math.ulp(capacity))


@given(RATES, CAPACITIES, STARTS, HISTORIES)
def test_every_face_of_the_bucket_gives_the_same_answers_as_the_rule(
    rate: float, capacity: float, start: float, history: list[tuple[float, float]]
) -> None:
    clock = Clock(start)
    by_coroutine, by_function, by_acquire = (TokenBucketLimiter(rate, capacity, clock=clock) for _ in range(3))
    exact = ExactBucket(rate, capacity, 0.0)
    full_at, within = 0.0, rule.reach(capacity / rate)

    @by_coroutine
    async def fetch() -> bool:
        return True

    @by_function
    def read() -> bool:
        return True

    for pause, _ in history:
        clock.now += pause / rate
        now = clock.now - start
        booked = rule.take(full_at, now, 1 / rate, within)
        granted, full_at = booked is not None, full_at if booked is None else booked
        assert granted_by(fetch()) is granted
        try:
            assert read() is granted
        except InfraRateLimitedError:
            assert not granted
        assert by_acquire.acquire() is granted
        exact.refill(now)
        assert exact.agrees(1, granted=granted)
    assert by_coroutine._box == by_function._box == by_acquire._box == [full_at]


@given(RATES, CAPACITIES, HISTORIES)
def test_no_stretch_of_time_is_granted_more_than_capacity_and_rate_times_time(
    rate: float, capacity: float, history: list[tuple[float, float]]
) -> None:
    clock = Clock()
    limiter = TokenBucketLimiter(rate, capacity, clock=clock)
    exact = ExactBucket(rate, capacity, 0.0)
    granted: list[tuple[Fraction, Fraction]] = []
    for pause, share in history:
        clock.now += pause / rate
        exact.refill(clock.now)
        tokens = tokens_of(share, capacity)
        if limiter.acquire(tokens):
            granted.append((Fraction(clock.now), Fraction(tokens)))
    for first, (begin, _) in enumerate(granted):
        total = Fraction(0)
        for end, tokens_taken in granted[first:]:
            total += tokens_taken
            assert total <= exact.capacity + exact.rate * (end - begin) + exact.boundary


@given(RATES, CAPACITIES, st.sampled_from([0.0, 1e3, 1e7, 1.7e9]), HISTORIES)
def test_waiting_as_long_as_told_succeeds_and_any_less_fails(
    rate: float, capacity: float, start: float, history: list[tuple[float, float]]
) -> None:
    clock = Clock(start)
    limiter = TokenBucketLimiter(rate, capacity, clock=clock)
    # The least time that makes a difference: the rule's tolerance, or what the clock cannot show.
    margin = 2 * rule.TOLERANCE * (1 + capacity / rate) + 6 * math.ulp(start + len(history) * 20 / rate)
    for pause, share in history:
        clock.now += pause / rate
        tokens = tokens_of(share, capacity)
        try:
            limiter.check_limit(tokens)
        except InfraRateLimitedError as error:
            wait = error.retry_after_seconds
            assert wait is not None
            assert wait > 0
            asked_at = clock.now
            if wait > margin:
                clock.now = asked_at + wait - margin
                assert not limiter.acquire(tokens)
            clock.now = asked_at + wait
            assert limiter.acquire(tokens)


LIMITS = st.sampled_from([(1.0, 5.0), (10.0, 5.0), (0.1, 2.0), (1 / 3, 7.0), (1e6, 3.0), (1 / DAY, 4.0)])
KEYED = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", 7]), LIMITS, st.floats(0, 100), SHARES), min_size=1, max_size=40
)


@given(KEYED, STARTS)
def test_each_key_has_a_bucket_of_its_own_that_new_limits_reshape_at_once(
    history: list[tuple[str | int, tuple[float, float], float, float]], start: float
) -> None:
    clock = Clock(start)
    limiter = RateLimiter(max_keys=4_096, clock=clock)
    buckets: dict[str | int, ExactBucket] = {}
    for key, (rate, capacity), pause, share in history:
        clock.now += pause
        now, tokens = clock.now - start, tokens_of(share, capacity)
        exact = buckets.setdefault(key, ExactBucket(rate, capacity, now))
        exact.refill(now)
        exact.become(rate, capacity)
        assert exact.agrees(tokens, granted=limiter.acquire(key, rate, capacity, tokens))


@pytest.mark.parametrize(
    ("rate", "capacity", "step", "steps"),
    [
        (1e6, 10.0, 1e-6, 50_000),
        (999_983.0, 2.0, 5e-7, 50_000),
        (1e6, 1_000.0, 1e-3, 30_000),
        (1 / DAY, 1.0, 3_600.0, 24 * 3_650),
        (1 / DAY, 3.0, 3_601.0, 24 * 3_650),
        (59 / 60, 59.0, 0.3, 30_000),
    ],
)
def test_a_drain_at_full_speed_is_exact_over_a_long_time(rate: float, capacity: float, step: float, steps: int) -> None:
    clock = Clock()
    limiter = TokenBucketLimiter(rate, capacity, clock=clock)
    size = max(1.0, rate * step)
    granted = 0.0
    for number in range(steps):
        clock.now = number * step
        while limiter.acquire(size):
            granted += size
    # All that came in, but for the part of a request that is still in the bucket.
    offered = capacity + rate * clock.now
    assert offered - size - 1e-6 * offered <= granted <= offered + 1e-6 * size
    assert math.isclose(granted + limiter.tokens, offered, rel_tol=1e-7)


@pytest.mark.parametrize("age", [0.0, 1e6, 1e8, 1e9])
@pytest.mark.parametrize("rate", [1e6, 700_001.0, 3.0, 1 / DAY])
def test_a_full_bucket_is_never_refused_however_old_it_is(rate: float, age: float) -> None:
    clock = Clock()
    limiter = TokenBucketLimiter(rate, 3, clock=clock)
    keyed = RateLimiter(clock=clock)
    for moment in range(50):
        clock.now = age + moment * 1_000 * DAY
        assert limiter.acquire(3)
        assert keyed.acquire("ann", rate, 3, 3)
