"""What others may decide about a circuit: that it is open, and whether a probe may begin."""

from __future__ import annotations

import pytest

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind
from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig


def circuit(**numbers: object) -> rule.Circuit:
    return rule.Circuit(ModelCircuitBreakerConfig(**{"failure_threshold": 1, "recovery_timeout": 10.0, **numbers}))


def due(**numbers: object) -> rule.Circuit:
    """Open, and due for a probe at 10."""
    found = circuit(**numbers)
    rule.trip(found, 0.0, 0.0)
    return found


def test_open_elsewhere_refuses_every_call_here_for_what_is_left():
    found = circuit()
    rule.open_elsewhere(found, 100.0, left=3.0, recovery=10.0)
    assert rule.admit(found, 102.9) is None
    assert rule.retry_after(found, 101.0) == 2.0
    assert rule.admit(found, 103.0) is not None


def test_a_failed_probe_lets_the_recovery_time_grow_from_what_others_had():
    found = circuit(recovery_multiplier=2.0)
    rule.open_elsewhere(found, 0.0, left=0.0, recovery=20.0)
    probe = rule.admit(found, 0.0)
    rule.fail(found, probe, EnumFailureKind.TIMEOUT, 0.0, duration=0, chance=0)
    assert rule.open_for(found, 0.0) == 40.0


@pytest.mark.parametrize("hold", [rule.isolate, rule.disable])
def test_what_is_held_by_hand_stays_as_it_is(hold):
    found = circuit()
    hold(found)
    before = found.generation
    rule.open_elsewhere(found, 0.0, left=1.0, recovery=1.0)
    assert found.generation is before


def test_a_result_of_before_it_opened_elsewhere_changes_nothing():
    found = circuit()
    late = rule.admit(found, 0.0)
    rule.open_elsewhere(found, 0.0, left=5.0, recovery=10.0)
    rule.succeed(found, late, 1.0, duration=0, chance=0)
    assert rule.open_for(found, 1.0) == 4.0


def test_without_a_permit_no_probe_begins_and_the_hint_is_another_recovery_time():
    found = due()
    found.permits = 0
    assert rule.admit(found, 10.0) is None
    assert found.generation.state is EnumCircuitState.OPEN
    assert rule.retry_after(found, 10.0) == 10.0
    assert rule.wants_permit(found, 10.0)


def test_a_permit_is_for_one_probe():
    found = due(half_open_max_calls=2)
    found.permits = 1
    assert rule.admit(found, 10.0) is not None
    assert rule.admit(found, 10.0) is None
    assert found.permits == 0
    assert rule.wants_permit(found, 10.0)


def test_a_permit_is_wanted_neither_early_nor_beyond_the_places_nor_for_calls_that_pass():
    found = due()
    found.permits = 0
    assert not rule.wants_permit(found, 9.9)
    found.permits = 1
    rule.admit(found, 10.0)
    assert not rule.wants_permit(found, 10.0), "its one place is taken"
    closed = circuit()
    closed.permits = 0
    assert not rule.wants_permit(closed, 0.0)
    assert rule.admit(closed, 0.0) is not None


def test_nobody_else_has_a_say_while_permits_are_none():
    found = due()
    assert not rule.wants_permit(found, 10.0)
    assert rule.admit(found, 10.0) is not None


@pytest.mark.parametrize("rates", [{}, {"failure_rate": 0.5}])
def test_a_closed_circuit_told_to_ask_passes_unasked_again_after_the_next_call(rates):
    found = circuit(**rates)
    before = found.passing
    rule.ask_first(found)
    assert found.passing is None
    assert rule.admit(found, 0.0) is found.generation
    assert found.passing is before
