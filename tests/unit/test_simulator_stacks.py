"""What guards a simulated call: the real policies, with the settings given, and without a trace in the process."""

from __future__ import annotations

import logging
import time
import warnings
from itertools import pairwise

import circuitbreaker
import pytest
from tests.support.simulations import NAIVE, REFUSED, at_once, event, outcomes, preset, recorded, scenario

from omnibase_infra.enums import EnumCircuitState, EnumScenarioEvent, EnumStackKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    create_database_resilience,
    create_database_retry_policy,
    rate_limiter,
)
from omnibase_infra.presets import load_presets
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.recorder import Outcome
from omnibase_infra.testing.stand_in import STAND_IN
from omnibase_infra.utils import util_ambient

OPEN, HALF_OPEN, CLOSED = EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN, EnumCircuitState.CLOSED
TRANSPORTS = ["database", "network", "kafka", "vault", "consul", "valkey", "grpc"]
DOWN = event(EnumScenarioEvent.OUTAGE, 5.5, 20, errors={REFUSED: 1.0})

CALM = scenario(load=at_once(1), seconds=3)


def down(load: ModelLoad | None = None, **more: object):
    return scenario(DOWN, load=load or at_once(1), seconds=more.pop("seconds", 120.0), **more)


@pytest.fixture
def shipped():
    load_presets()
    yield
    load_presets()


def test_a_naked_call_asks_once_whatever_comes():
    run = recorded(down(seconds=30))
    assert len(run.attempts) == len(run.began) == 29
    assert outcomes(run).count(Outcome.FAILED) == 20
    assert run.circuit == []
    assert run.budget is None


def test_a_naive_stack_is_tenacity_within_circuitbreaker_with_their_documented_numbers():
    run = recorded(down(load=at_once(1, every=20), seconds=30), NAIVE)
    assert list(run.attempts) == [20.0, 24.0, 28.0]  # three attempts, four seconds apart
    assert "opens after 5 failures in a row, for 30 s" in run.words[0]
    assert "3 attempts, 4 to 10 s apart" in run.words[1]


def test_a_naive_circuit_opens_and_half_opens_on_virtual_time():
    outage = event(EnumScenarioEvent.OUTAGE, 5.5, 40, errors={REFUSED: 1.0})
    run = recorded(scenario(outage, load=at_once(1), seconds=120), NAIVE)
    # Five calls have to fail three times each; what is under way then opens it anew.
    assert [state for _, state in run.circuit] == [OPEN, HALF_OPEN, CLOSED]
    opened, half_opened, closed = (when for when, _ in run.circuit)
    assert opened == 10 + 8
    assert opened + 30 <= half_opened <= opened + 38
    assert half_opened <= closed <= half_opened + 1.1
    assert outcomes(run).count(Outcome.REJECTED) >= 29


def test_a_preset_is_what_its_factory_makes():
    run = recorded(down(), preset())
    assert run.words == tuple(create_database_resilience().describe().splitlines())
    (opened, first), (probed, second), (closed, third) = run.circuit
    assert (first, second, third) == (OPEN, HALF_OPEN, CLOSED)
    assert probed - opened == pytest.approx(60, abs=1)
    assert closed == pytest.approx(probed + 0.1)
    assert run.wasted == 5


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_has_its_preset(transport):
    run = recorded(scenario(load=at_once(1), transport=transport, seconds=4), preset())
    assert outcomes(run) == [Outcome.ANSWERED] * 3


def test_settings_lie_over_the_preset():
    settings = {"retry.max_attempts": 5, "retry.min_wait": 1.0, "retry.max_wait": 1.0, "circuit_breaker": None}
    run = recorded(down(load=at_once(1, every=8), seconds=10), preset(settings))
    assert [following - when for when, following in pairwise(run.attempts)] == [1.0] * 4
    assert not any("circuit breaker" in word for word in run.words)


def test_none_switches_off_what_may_be():
    settings = {"retry.budget": None, "timeout.total": None, "circuit_breaker.failure_rate": None}
    run = recorded(CALM, preset(settings))
    assert run.budget is None
    assert not any("total timeout" in word for word in run.words)
    assert any("attempt timeout" in word for word in run.words)


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ("retry", "retry"),
        ("circuit_breaker", "circuit breaker"),
        ("rate_limit", "rate limiter"),
        ("bulkhead", "bulkhead"),
        ("timeout", "timeout"),
    ],
)
def test_a_policy_s_own_name_leaves_it_out(policy, word):
    there = recorded(CALM, preset()).words
    left_out = recorded(CALM, preset({policy: None})).words
    assert any(word in line for line in there)
    assert not any(word in line for line in left_out)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"hedge": True}, "hedge"),
        ({"hedge.delay": 0.3}, "hedge"),
        ({"adaptive_throttle": True}, "adaptive throttle"),
        ({"adaptive_throttle.multiplier": 3.0}, "adaptive throttle"),
        ({"credential_refresh": True}, "credential refresh"),
    ],
)
def test_what_no_preset_has_by_itself_is_put_in_when_it_is_set(settings, word):
    assert any(word in line for line in recorded(CALM, preset(settings)).words)


def test_a_hedge_sends_a_second_request_beside_a_slow_one():
    slow = event(EnumScenarioEvent.BROWN_OUT, 1.5, 1, factor=9.0)
    run = recorded(scenario(slow, load=at_once(1), seconds=3), preset({"hedge.delay": 0.5, "hedge.quantile": None}))
    assert list(run.attempts) == pytest.approx([1.0, 2.0, 2.5])
    assert list(run.retries) == [2.5]


def test_the_budget_s_balance_is_noted_at_the_end_of_every_second():
    run = recorded(down(seconds=12.5, load=ModelLoad(rate=40.0)), preset())
    assert run.budget is not None
    assert len(run.budget) == 13
    assert min(run.budget) < run.budget[4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retry.max_attemps": 5}, "did you mean max_attempts"),
        ({"retries.max_attempts": 5}, "did you mean retry.max_attempts"),
        ({"retry.max_attempts": 0}, "max_attempts = 0: must be a whole number, 1 or more"),
        ({"retry.min_wait": 5.0, "retry.max_wait": 1.0}, "max_wait"),
        ({"bulkhead": 5}, "bulkhead"),
        ({"fallback.timeout_seconds": 1.0}, "a simulated call has none"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(ProtocolConfigurationError, match=message):
        recorded(down(), preset(settings))


def test_an_unknown_transport_profile_or_file_is_refused():
    with pytest.raises(ProtocolConfigurationError, match="did you mean database"):
        recorded(down(transport="databse"), preset())
    with pytest.raises(ProtocolConfigurationError, match="profile"):
        recorded(down(), preset(profile="no such"))
    with pytest.raises(ProtocolConfigurationError, match="cannot be read"):
        recorded(down(), preset(file="/no/such.toml"))


@pytest.mark.parametrize("given", [{"settings": {"retry.max_attempts": 3}}, {"service": "orders"}, {"profile": "x"}])
@pytest.mark.parametrize("kind", [EnumStackKind.NAKED, EnumStackKind.NAIVE])
def test_settings_for_what_has_none_are_refused(kind, given):
    with pytest.raises(ProtocolConfigurationError, match="is for presets only"):
        recorded(down(), ModelStack(name="x", kind=kind, **given))


def test_a_file_and_a_service_of_it_count_for_the_run_alone(tmp_path, shipped):
    theirs = tmp_path / "theirs.toml"
    theirs.write_text("[database.retry]\nmax_attempts = 4\n[services.orders.retry]\nmax_attempts = 2\n")
    load_presets(theirs)
    mine = tmp_path / "mine.toml"
    mine.write_text("[database.retry]\nmax_attempts = 6\n[services.orders.retry]\nmax_attempts = 7\n")

    def attempts(stack: ModelStack) -> str:
        return next(word for word in recorded(CALM, stack).words if "retry" in word)

    assert "4 attempts" in attempts(preset())
    assert "2 attempts" in attempts(preset(service="orders"))
    assert "6 attempts" in attempts(preset(file=str(mine)))
    assert "7 attempts" in attempts(preset(file=str(mine), service="orders"))
    assert "5 attempts" in attempts(preset({"retry.max_attempts": 5}, file=str(mine), service="orders"))
    assert create_database_retry_policy().max_attempts == 4
    assert create_database_retry_policy(service="orders").max_attempts == 2


def test_a_store_that_the_presets_name_is_never_asked(tmp_path, shipped, monkeypatch):
    monkeypatch.setattr(rate_limiter, "SharedRateLimiter", None)  # none can be made
    shared = tmp_path / "shared.toml"
    shared.write_text(
        '[database.rate_limit]\nstorage_uri = "redis://192.0.2.1:1"\nstrategy = "moving-window"\n'
        '[database.circuit_breaker.shared]\nurl = "redis://192.0.2.1:1"\n'
    )
    run = recorded(scenario(load=at_once(1), seconds=3), preset(file=str(shared)))
    assert outcomes(run) == [Outcome.ANSWERED] * 2


def test_a_setting_that_wastes_is_simulated_all_the_same():
    wasteful = preset({"timeout.attempt": 29.0, "retry.max_attempts": 10})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcomes(recorded(scenario(load=at_once(1), seconds=3), wasteful)) == [Outcome.ANSWERED] * 2


@pytest.mark.parametrize("stack", [NAIVE, preset()])
def test_a_run_leaves_no_trace_in_the_process(stack, caplog):
    heard, breakers = [], dict(circuitbreaker.CircuitBreakerMonitor.circuit_breakers)
    clock, ambient = circuitbreaker.monotonic, util_ambient.current
    remove = add_observer(heard.append, inline=True)
    try:
        with caplog.at_level(logging.DEBUG):
            assert recorded(down(seconds=30), stack).circuit
    finally:
        remove()
    assert not heard
    assert not [record for record in caplog.records if record.name.startswith("omnibase_infra")]
    assert breakers == circuitbreaker.CircuitBreakerMonitor.circuit_breakers
    assert circuitbreaker.monotonic is clock is time.monotonic
    assert util_ambient.current is ambient is STAND_IN


def test_a_failing_run_leaves_no_trace_either(tmp_path):
    ambient, breakers = util_ambient.current, dict(circuitbreaker.CircuitBreakerMonitor.circuit_breakers)
    before = create_database_retry_policy().max_attempts
    for settings in ({"bulkhead": 5}, {"retry.min_wait": 50.0}, {"retry.max_attempts": 0}):
        with pytest.raises(ProtocolConfigurationError):
            recorded(down(), preset(settings))
    assert util_ambient.current is ambient is STAND_IN
    assert breakers == circuitbreaker.CircuitBreakerMonitor.circuit_breakers
    assert create_database_retry_policy().max_attempts == before


def test_policies_follow_virtual_time_whether_the_process_is_under_test_or_not():
    run_under_test = recorded(down(), preset())
    ambient = util_ambient.set_ambient(None)
    try:
        run = recorded(down(), preset())
    finally:
        util_ambient.set_ambient(ambient)
    assert run.circuit == run_under_test.circuit
    assert run.attempts == run_under_test.attempts
