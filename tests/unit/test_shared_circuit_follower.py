"""What a worker makes of what the store says; there is none, so nothing else says anything."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.support.circuits import Clock

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.infrastructure.resilience import InfrastructureCircuitBreaker, close_shared_circuits
from omnibase_infra.infrastructure.resilience.observers import add_observer
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import Reading
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

pytest.importorskip("valkey", reason="valkey is not installed")

CLOSED, OPEN, HALF_OPEN = EnumCircuitState.CLOSED, EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN


class Worker:
    def __init__(self) -> None:
        self.clock = Clock()
        config = ModelCircuitBreakerConfig(
            recovery_timeout=60.0, success_threshold=1, shared=ModelSharedCircuitConfig(url="valkey://127.0.0.1:1")
        )
        self.breaker = InfrastructureCircuitBreaker(config, name="orders", clock=self.clock)
        self.follower = self.breaker._follower

    def hears(self, state: EnumCircuitState, *, opened_at: float = 1.0, left: float = 0.0, resets: int = 0) -> None:
        self.follower.follow(Reading(state, opened_at, left, 60.0, resets=resets), self.follower._changes)


@pytest.fixture
def worker() -> Generator[Worker]:
    close_shared_circuits()
    yield Worker()
    close_shared_circuits()  # what is tripped looks for the store, and would tell the observers of a later test


def test_open_elsewhere_is_open_here_for_what_is_left(worker):
    worker.hears(OPEN, left=20.0)
    assert worker.breaker.open_remaining == 20


def test_the_same_opening_heard_again_changes_nothing(worker):
    worker.hears(OPEN, left=20.0)
    worker.clock.advance(5.0)
    worker.hears(OPEN, left=20.0)
    assert worker.breaker.open_remaining == 15


def test_another_opening_counts_anew(worker):
    worker.hears(OPEN, left=20.0)
    worker.clock.advance(5.0)
    worker.hears(OPEN, opened_at=2.0, left=20.0)
    assert worker.breaker.open_remaining == 20


def test_a_circuit_that_is_being_probed_elsewhere_is_due_here_and_needs_leave(worker):
    worker.hears(HALF_OPEN)
    assert worker.breaker.state is HALF_OPEN
    assert worker.breaker.circuit.permits == 0


def test_closed_elsewhere_closes_what_was_open_elsewhere(worker):
    worker.hears(OPEN, left=20.0)
    worker.hears(CLOSED)
    assert worker.breaker.closed
    assert worker.breaker.circuit.permits is None


def test_closed_elsewhere_leaves_this_worker_s_own_trip_alone(worker):
    worker.hears(CLOSED)
    worker.breaker.trip()
    worker.hears(CLOSED)
    assert worker.breaker.opened


def test_a_reset_elsewhere_ends_this_worker_s_own_trip_too(worker):
    worker.hears(CLOSED, resets=3)
    worker.breaker.trip()
    worker.hears(CLOSED, resets=4)
    assert worker.breaker.closed


def test_what_the_store_said_before_a_change_here_is_out_of_date(worker):
    worker.hears(OPEN, left=20.0)
    asked_at = worker.follower._changes
    worker.breaker.reset()
    worker.follower.follow(Reading(OPEN, 1.0, 15.0, 60.0), asked_at)
    assert worker.breaker.closed


def test_without_the_store_the_worker_decides_alone(worker):
    worker.hears(OPEN, left=20.0)
    worker.follower.lost()
    worker.clock.advance(20.0)
    assert worker.breaker.call(lambda: "fine") == "fine"
    assert worker.breaker.closed


def test_what_is_held_by_hand_is_neither_opened_nor_closed(worker):
    worker.hears(OPEN, left=20.0)
    worker.breaker.isolate()
    worker.hears(CLOSED)
    assert worker.breaker.state is EnumCircuitState.ISOLATED
    worker.breaker.disable()
    worker.hears(OPEN, opened_at=2.0, left=20.0)
    assert worker.breaker.state is EnumCircuitState.DISABLED


def test_observers_hear_of_what_came_from_the_store(worker):
    heard = []
    remove = add_observer(heard.append, inline=True)
    worker.hears(OPEN, left=20.0)
    worker.hears(OPEN, left=20.0)
    worker.hears(CLOSED)
    remove()
    assert [(event.previous_state, event.state) for event in heard] == [(CLOSED, OPEN), (OPEN, CLOSED)]


def test_a_permit_that_no_call_came_for_is_given_back_after_the_lease(worker):
    worker.hears(OPEN)
    worker.follower._tokens.append("token")
    worker.follower._granted_at = worker.clock()
    worker.breaker.circuit.permits = 1
    worker.clock.advance(worker.breaker.config.shared.lease)
    worker.follower.look()
    assert worker.breaker.circuit.permits == 1
    worker.clock.advance(0.1)
    worker.follower.look()
    assert (worker.breaker.circuit.permits, worker.follower._tokens) == (0, [])


def test_a_command_gives_back_a_permit_that_no_call_has_used_yet(worker):
    worker.hears(OPEN)
    worker.follower._tokens.append("token")
    worker.breaker.circuit.permits = 1
    worker.breaker.isolate()
    assert (worker.breaker.circuit.permits, worker.follower._tokens) == (0, [])
