"""The adaptive throttle against the SRE book: its formula, and what an overloaded backend gets to see."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import AdaptiveThrottle
from omnibase_infra.infrastructure.resilience.rules.adaptive_throttle import (
    Throttle,
    book,
    calm_until,
    rejection_probability,
)

MULTIPLIER = st.floats(1, 5)
WINDOW = 10.0
# (tenths of the window since the step before, accepted, not accepted)
STEPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20), st.integers(0, 20)), max_size=25)


@given(requests=st.integers(0, 10**6), accepts=st.integers(0, 10**6), multiplier=MULTIPLIER)
def test_without_a_floor_it_is_the_books_formula_and_a_probability(requests, accepts, multiplier):
    accepts = min(accepts, requests)
    probability = rejection_probability(requests, accepts, multiplier)
    assert probability == max(0, (requests - multiplier * accepts) / (requests + 1))
    assert 0 <= probability < 1


@given(requests=st.integers(0, 1000), accepts=st.integers(0, 1000), multiplier=MULTIPLIER, floor=st.floats(0, 500))
def test_a_floor_only_ever_lets_more_through_and_all_up_to_itself(requests, accepts, multiplier, floor):
    probability = rejection_probability(requests, accepts, multiplier, floor)
    assert probability <= rejection_probability(requests, accepts, multiplier)
    if requests <= floor:
        assert probability == 0


@given(multiplier=MULTIPLIER, floor=st.sampled_from([0.0, 1.0, 10.0]), steps=STEPS)
def test_it_follows_the_formula_over_the_calls_of_the_window(multiplier, floor, steps):
    state = Throttle(multiplier, floor, WINDOW, booked_at=0.0)
    tick, booked = 0, list[tuple[int, int, int]]()
    for gap, accepted, unaccepted in steps:
        tick += gap
        now = tick * WINDOW / 10 + 0.5  # in the middle of a tenth
        book(state, 0, 0, now)  # nothing has ended since: what is accepted now is booked as of now
        probability = book(state, accepted, unaccepted, now)
        booked.append((tick, accepted, unaccepted))
        recent = [counts for counts in booked if counts[0] > tick - 10]
        accepts = sum(counts[1] for counts in recent)
        requests = accepts + sum(counts[2] for counts in recent)
        assert state.counts.totals == [requests, accepts]
        assert probability == rejection_probability(requests, accepts, multiplier, floor * WINDOW)


@given(multiplier=MULTIPLIER, steps=STEPS, later=st.floats(0, 30), accepted=st.integers(0, 50))
def test_while_it_is_calm_no_call_would_be_rejected(multiplier, steps, later, accepted):
    state = Throttle(multiplier, 0.0, WINDOW, booked_at=0.0)
    now = probability = 0.0
    for gap, good, bad in steps:
        now += gap * WINDOW / 10
        probability = book(state, good, bad, now)
    until = calm_until(state, probability, now)
    assert until >= now
    if probability:
        assert until == now
    elif now + later < until:
        assert book(state, accepted, 0, now + later) == 0


def test_it_is_calm_no_longer_than_until_the_next_accepts_may_leave_the_window():
    state = Throttle(2.0, 0.0, WINDOW, booked_at=0.0)
    book(state, 20, 0, 0.5)
    book(state, 0, 10, 5.5)
    probability = book(state, 0, 0, 9.5)
    assert (probability, calm_until(state, probability, 9.5)) == (0, 10)
    assert book(state, 0, 0, 10.5) > 0


def overload(seed: int, *, multiplier: float, wanted: int, capacity: int, seconds: float) -> Counter[str]:
    """What becomes of `wanted` calls a second for a backend that accepts `capacity`, once the window is full."""
    chance = random.Random(seed)

    async def main() -> Counter[str]:
        policy = AdaptiveThrottle(multiplier, 30, 0, clock=clock, rng=chance.random)
        seen: Counter[str] = Counter()
        second, left = -1, 0

        @policy
        async def query() -> None:
            nonlocal second, left
            if int(clock()) != second:
                second, left = int(clock()), capacity
            seen["received"] += 1
            if left <= 0:
                raise InfraUnavailableError("503")
            left -= 1
            seen["accepted"] += 1

        while clock() < seconds:
            await asyncio.sleep(chance.expovariate(wanted))
            if clock() < 45:
                seen.clear()
            seen["wanted"] += 1
            try:
                await query()
            except InfraUnavailableError:
                pass
        return seen

    return run(main())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("multiplier", [1.2, 1.5, 2.0])
def test_an_overloaded_backend_receives_about_k_times_what_it_accepts(seed, multiplier):
    seen = overload(seed, multiplier=multiplier, wanted=60, capacity=12, seconds=120)
    assert seen["received"] / seen["accepted"] == pytest.approx(multiplier, rel=0.1)
    assert seen["received"] < 0.5 * seen["wanted"]


@pytest.mark.parametrize("seed", range(2))
def test_a_backend_that_keeps_up_receives_everything(seed):
    seen = overload(seed, multiplier=2.0, wanted=20, capacity=60, seconds=90)
    assert seen["received"] == seen["accepted"] == seen["wanted"]


def test_after_an_outage_the_floor_finds_the_recovery_and_all_calls_pass_again():
    chance = random.Random(1)

    async def main() -> None:
        policy = AdaptiveThrottle(clock=clock, rng=chance.random)
        received: list[float] = []

        @policy
        async def query() -> None:
            received.append(clock())
            if clock() < 300:
                raise ConnectionError

        rejected: list[float] = []
        while clock() < 600:
            await asyncio.sleep(chance.expovariate(20))
            try:
                await query()
            except InfraUnavailableError:
                rejected.append(clock())
            except ConnectionError:
                pass
        during = sum(100 < when < 300 for when in received)
        assert during == pytest.approx(200 * policy.config.min_per_second, rel=0.25)
        assert 300 < rejected[-1] < 400

    run(main())
