"""Waits lie within their bounds, whatever the seed, the attempt and the bounds."""

from __future__ import annotations

import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.retries import Clock, Script

from omnibase_infra.errors import InfraConnectionError
from omnibase_infra.infrastructure.resilience import create_database_retry_policy
from omnibase_infra.infrastructure.resilience.rules import backoff

SECONDS = st.floats(0, 1e308, allow_subnormal=True)
YEARS = st.floats(0, 1e8)
BOUNDS = st.tuples(SECONDS, SECONDS).map(sorted)
CHANCE = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(1, 10**9)


@pytest.fixture(autouse=True, scope="module")
def _unlogged():
    logger = logging.getLogger("omnibase_infra.resilience")
    logger.disabled = True
    yield
    logger.disabled = False


@given(attempt=ATTEMPTS, bounds=BOUNDS, chance=CHANCE)
def test_every_wait_lies_within_min_and_max(attempt: int, bounds: list[float], chance: float):
    least, longest = bounds
    assert least <= backoff.wait(attempt, least, longest, chance) <= longest


@given(attempt=st.integers(1, 200), bounds=BOUNDS, chance=CHANCE)
def test_with_the_same_chance_no_wait_is_shorter_than_the_one_before(attempt: int, bounds: list[float], chance: float):
    least, longest = bounds
    assert backoff.wait(attempt, least, longest, chance) <= backoff.wait(attempt + 1, least, longest, chance)


@given(attempt=st.integers(1, 60), least=st.floats(1e-3, 1e3), growth=st.floats(1, 1e6))
def test_the_ceiling_is_min_wait_doubled_each_attempt_up_to_max_wait(attempt: int, least: float, growth: float):
    longest = least * growth
    assert backoff.ceiling(attempt, least, longest) == pytest.approx(min(longest, least * 2**attempt))


@given(bounds=BOUNDS, attempt=ATTEMPTS)
def test_no_chance_gives_the_shortest_wait(bounds: list[float], attempt: int):
    least, longest = bounds
    assert backoff.wait(attempt, least, longest, 0.0) == least


@given(seed=st.integers(0, 2**32), attempts=st.integers(1, 9), bounds=st.tuples(YEARS, YEARS).map(sorted))
def test_a_policy_waits_within_its_bounds_for_any_seed(seed: int, attempts: int, bounds: list[float]):
    least, longest = bounds
    clock = Clock()
    built = create_database_retry_policy(
        attempts, least, longest, clock=clock, sleep=clock.sleep, rng=random.Random(seed).random
    )
    with pytest.raises(InfraConnectionError):
        built(Script(ConnectionError))()
    assert len(clock.waits) == attempts - 1
    assert all(least <= wait <= longest for wait in clock.waits)


@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_waits(seed: int):
    waits = []
    for _ in range(2):
        clock = Clock()
        built = create_database_retry_policy(5, clock=clock, sleep=clock.sleep, rng=random.Random(seed).random)
        with pytest.raises(InfraConnectionError):
            built(Script(ConnectionError))()
        waits.append(clock.waits)
    assert waits[0] == waits[1]
