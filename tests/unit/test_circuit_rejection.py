"""Contract sections 2 and 4: the error of a refused call says what is to be known, and nothing that is secret."""

import copy
import json
import pickle
import traceback
from uuid import uuid4

import pytest
from circuitbreaker import CircuitBreakerError
from tests.support.circuits import CALLS, FACES, Clock, Flight, attempt, fail, fresh, make, refused
from tests.support.garbage import garbage_of

from omnibase_infra.enums import EnumCircuitState, EnumCoreErrorCode, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    classify,
    create_consul_circuit_breaker,
    create_database_circuit_breaker,
    create_grpc_circuit_breaker,
    create_kafka_circuit_breaker,
    create_network_circuit_breaker,
    create_valkey_circuit_breaker,
    create_vault_circuit_breaker,
)
from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.utils import CorrelationContext

SECRET = "hunter2"
TRANSPORTS = [
    (create_database_circuit_breaker, EnumInfraTransportType.DATABASE),
    (create_kafka_circuit_breaker, EnumInfraTransportType.KAFKA),
    (create_network_circuit_breaker, EnumInfraTransportType.HTTP),
    (create_vault_circuit_breaker, EnumInfraTransportType.VAULT),
    (create_consul_circuit_breaker, EnumInfraTransportType.CONSUL),
    (create_valkey_circuit_breaker, EnumInfraTransportType.VALKEY),
    (create_grpc_circuit_breaker, EnumInfraTransportType.GRPC),
]


def opened(clock=None, **settings):
    breaker = make(clock, failure_threshold=1, **settings)
    fail(breaker, 1, ConnectionRefusedError(f"postgresql://svc:{SECRET}@db.example.com"))
    return breaker


@pytest.mark.parametrize("face", FACES)
def test_every_face_refuses_with_the_same_onex_error(face):
    clock = Clock()
    breaker = opened(clock, name=fresh("orders"))
    clock.advance(20)
    error = refused(breaker, face)
    assert type(error) is InfraUnavailableError
    assert error.error_code is EnumCoreErrorCode.SERVICE_UNAVAILABLE
    assert error.http_status == 503
    assert error.circuit_state == "open"
    assert error.retry_after_seconds == 40.0
    assert error.rejected_by == breaker.name
    assert "Circuit breaker open" in error.message
    assert breaker.name in error.message
    assert "40" in error.message
    assert classify(error) == "rejected"


def test_the_context_tells_transport_operation_target_and_correlation_id():
    breaker = opened(name=fresh("orders"))

    @breaker
    def load_order():
        raise AssertionError

    correlation_id = uuid4()
    with CorrelationContext(correlation_id), pytest.raises(InfraUnavailableError) as caught:
        load_order()
    context = caught.value.context
    assert context.transport_type is EnumInfraTransportType.DATABASE
    assert context.operation == load_order.__qualname__
    assert context.target_name == breaker.name
    assert context.correlation_id == caught.value.correlation_id == correlation_id


def test_without_a_current_correlation_id_each_rejection_has_one_of_its_own():
    breaker = opened()
    assert refused(breaker).correlation_id != refused(breaker).correlation_id


@pytest.mark.parametrize(("create", "transport"), TRANSPORTS)
def test_the_rejection_names_the_factorys_transport(create, transport):
    breaker = create(clock=Clock())
    breaker.trip()
    assert refused(breaker).context.transport_type is transport


def test_a_block_is_called_a_block():
    breaker = opened(name=fresh("blocks"))
    assert refused(breaker, "with").context.operation == "with block"


def test_a_block_of_a_breaker_without_any_name_is_refused_by_its_kind():
    breaker = make()
    breaker.trip()
    assert refused(breaker, "with").rejected_by == "circuit_breaker"


def test_it_comes_from_a_circuit_breaker_error_that_knows_nothing_of_the_failure():
    breaker = opened(name=fresh("orders cause"))
    error = refused(breaker)
    assert isinstance(error.__cause__, CircuitBreakerError)
    assert breaker.name in str(error.__cause__)
    shown = str(error) + repr(error) + error.model_dump_json() + "".join(traceback.format_exception(error))
    assert SECRET not in shown
    assert "refused" not in str(error.__cause__)


def test_a_secret_in_the_breakers_name_is_not_shown():
    breaker = opened(name=f"postgresql://svc:{SECRET}@db.example.com")
    error = refused(breaker)
    assert SECRET not in f"{error} {error.__cause__} {error.rejected_by} {breaker.name} {error.model_dump_json()}"
    assert "db.example.com" in breaker.name


@pytest.mark.parametrize(
    "clone", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deep"]
)
def test_a_rejection_survives_pickle_and_copy_without_loss(clone):
    breaker = opened(name=fresh("picklable"))
    error = refused(breaker)
    twin = clone(error)
    assert type(twin) is InfraUnavailableError
    assert twin.model_dump() == error.model_dump()
    assert (twin.message, str(twin)) == (error.message, str(error))
    assert (twin.circuit_state, twin.retry_after_seconds, twin.rejected_by) == ("open", 60.0, breaker.name)
    assert classify(twin) == "rejected"


def test_the_record_is_json():
    breaker = opened(name=fresh("json"))
    record = json.loads(refused(breaker).model_dump_json())
    assert record["circuit_state"] == "open"
    assert record["rejected_by"] == breaker.name
    assert record["context"]["transport_type"] == "db"


@pytest.mark.parametrize("face", FACES)
def test_each_rejection_is_a_new_error_that_collects_no_traceback(face):
    breaker = opened()
    errors = [refused(breaker, face) for _ in range(3)]
    assert len({id(error) for error in errors}) == 3
    assert all(error.__cause__ is not None and error.__cause__.__traceback__ is None for error in errors)
    assert len({len(traceback.extract_tb(error.__traceback__)) for error in errors}) == 1


@pytest.mark.parametrize("face", ["function", "coroutine function", "call", "await call", "with", "async with"])
@pytest.mark.parametrize("outcome", ["refused", "failed", "translated"])
def test_an_error_that_was_handled_is_gone_without_a_garbage_collection(face, outcome):
    breaker = make(failure_threshold=100, translate=outcome == "translated")
    if outcome == "refused":
        breaker.trip()

    def act():
        raise OSError

    def handled():
        try:
            CALLS[face](breaker, act)
        except (OSError, InfraUnavailableError):
            return
        raise AssertionError

    assert garbage_of(handled) == 0


def test_retry_after_is_above_zero_however_close_the_recovery_is():
    clock = Clock()
    breaker = opened(clock)
    clock.now += 60 - 1e-9
    assert 0 < refused(breaker).retry_after_seconds < 1e-6


def test_while_probes_are_under_way_the_answer_is_another_recovery_time():
    clock = Clock()
    breaker = opened(clock, recovery_timeout=30)
    clock.advance(30)
    probe = Flight(breaker)
    clock.advance(7)
    error = refused(breaker)
    assert (error.circuit_state, error.retry_after_seconds) == (EnumCircuitState.HALF_OPEN, 30.0)
    probe.land()
    assert breaker.closed


def test_a_rejection_is_announced_with_its_fields():
    breaker = opened(name=fresh("announcing"))
    events = []
    remove = add_observer(events.append, inline=True)
    correlation_id = uuid4()
    try:
        with CorrelationContext(correlation_id):
            refused(breaker, "with")
    finally:
        remove()
    (event,) = events
    assert event.kind is EnumResilienceEvent.REJECTED
    assert (event.policy, event.name, event.operation) == ("circuit_breaker", breaker.name, "with block")
    assert (event.transport, event.state, event.retry_after_seconds) == ("db", EnumCircuitState.OPEN, 60.0)
    assert event.correlation_id == correlation_id


def test_an_observer_that_raises_does_not_break_a_call_nor_keep_its_place():
    clock = Clock()
    breaker = opened(clock)

    def broken(event):
        raise RuntimeError("the observer is broken")

    remove = add_observer(broken, inline=True)
    try:
        refused(breaker)
        clock.advance(60)
        assert attempt(breaker) == "ok"
    finally:
        remove()
    assert breaker.closed


def test_a_circuit_that_closes_after_it_refused_a_call_is_told_as_half_open():
    clock = Clock()
    breaker = opened(clock)
    clock.advance(60)
    for change in (breaker.reset, breaker.disable):
        change()
        assert rule.refusal(breaker.circuit, clock.now)[0] is EnumCircuitState.HALF_OPEN
    breaker.isolate()
    assert rule.refusal(breaker.circuit, clock.now) == (EnumCircuitState.ISOLATED, None)


def test_a_clock_below_zero_opens_no_circuit():
    breaker = make(lambda: -1_000.0, failure_rate=0.5)
    assert attempt(breaker) == "ok"
