"""Buckets by key in memory: their answers, their places, and their bounds."""

import threading

import pytest
from tests.support.retries import Clock

from omnibase_infra.infrastructure.resilience.shared_state.booking import Request
from omnibase_infra.infrastructure.resilience.shared_state.memory_buckets import MemoryBuckets

SECOND = Request(cost=1.0, depth=2.0)


def buckets(clock: Clock, **settings: int) -> MemoryBuckets:
    return MemoryBuckets(clock=clock, **settings)


def test_a_take_is_granted_while_there_are_tokens_and_then_told_when() -> None:
    clock = Clock(100.0)
    kept = buckets(clock)
    assert [kept.take("a", SECOND).granted for _ in range(3)] == [True, True, False]
    refused = kept.take("a", SECOND)
    assert (refused.wait, refused.full_in) == (pytest.approx(1.0), pytest.approx(2.0))
    assert kept.take("b", SECOND).granted
    clock.now += 1.0
    assert kept.take("a", SECOND).granted


def test_a_place_is_booked_when_it_comes_within_the_patience() -> None:
    kept = buckets(Clock())
    patient = SECOND._replace(patience=2.0)
    waits = [kept.take("a", patient) for _ in range(5)]
    assert [(booking.granted, round(booking.wait, 6)) for booking in waits] == [
        (True, 0.0),
        (True, 0.0),
        (True, 1.0),
        (True, 2.0),
        (False, 3.0),
    ]
    assert not kept.take("a", SECOND).granted


def test_only_the_last_place_is_given_back_and_then_the_one_before_it() -> None:
    kept = buckets(Clock())
    patient = SECOND._replace(patience=9.0)
    places = [kept.take("a", patient).place for _ in range(4)]
    assert None not in places
    given_back = [kept.give_back("a", 1.0, 2.0, places[index]) for index in (1, 3, 3, 2)]
    assert given_back == [False, True, False, True]
    assert kept.take("a", patient).wait == pytest.approx(1.0)
    assert not kept.give_back("unknown", 1.0, 2.0, places[0])


def test_extra_tokens_are_taken_as_far_as_they_are_there() -> None:
    kept = buckets(Clock())
    request = Request(cost=1.0, depth=4.5, unit=1.0, extra=2)
    assert [(b.granted, b.extra) for b in (kept.take("a", request) for _ in range(3))] == [
        (True, 2),
        (True, 0),
        (False, 0),
    ]


def test_a_look_changes_nothing_and_keeps_no_bucket() -> None:
    kept = buckets(Clock())
    assert kept.take("a", SECOND._replace(cost=0.0)).full_in == 0.0
    assert len(kept) == 0
    kept.take("a", SECOND)
    assert [kept.take("a", SECOND._replace(cost=0.0)).full_in for _ in range(2)] == [1.0, 1.0]


def test_smaller_limits_leave_at_most_an_empty_bucket() -> None:
    clock = Clock()
    kept = buckets(clock)
    kept.take("a", Request(cost=1_000.0, depth=1_000.0))
    assert kept.take("a", SECOND).wait == pytest.approx(1.0)
    clock.now += 1.0
    assert kept.take("a", SECOND).granted


def test_what_was_granted_elsewhere_is_noted_as_far_as_the_bucket_has_it() -> None:
    kept = buckets(Clock(), max_keys=1)
    kept.note("a", 1.0, 2.0)
    assert kept.take("a", SECOND).granted
    kept.note("a", 50.0, 2.0)
    assert kept.take("a", SECOND).wait == pytest.approx(1.0)


def test_memory_is_bounded_and_no_key_is_crowded_out_while_it_is_limited() -> None:
    clock = Clock()
    kept = buckets(clock, max_keys=100)
    for number in range(100):
        assert kept.take(f"user {number}", SECOND).granted
    refused = kept.take("one more", SECOND)
    assert (refused.granted, refused.wait, len(kept)) == (False, pytest.approx(1.0), 100)
    assert kept.take("user 7", SECOND).granted
    assert not kept.take("user 7", SECOND).granted
    clock.now += 1.5
    assert kept.take("one more", SECOND).granted
    assert len(kept) < 100
    assert kept.take("user 7", SECOND).wait == pytest.approx(0.0)


def test_buckets_that_are_full_go_while_others_come() -> None:
    clock = Clock()
    kept = buckets(clock)
    for number in range(10_000):
        clock.now += 0.01
        kept.take(str(number), Request(cost=0.1, depth=1.0))
    assert len(kept) < 100


def test_clearing_fills_one_bucket_and_resetting_all() -> None:
    kept = buckets(Clock())
    for key in "ab":
        kept.take(key, Request(cost=2.0, depth=2.0))
    kept.clear("a")
    assert [kept.take(key, SECOND).granted for key in "ab"] == [True, False]
    assert kept.reset() == 2
    assert kept.take("b", SECOND).granted


def test_threads_never_get_more_than_there_is() -> None:
    kept = buckets(Clock())
    granted: list[bool] = []

    def work() -> None:
        granted.extend(kept.take("a", Request(cost=1.0, depth=500.0)).granted for _ in range(300))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 500
