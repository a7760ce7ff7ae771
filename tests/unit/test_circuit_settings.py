"""Contract sections 2 and 4: a breaker's settings, one circuit for one name, and what a bad argument is told."""

import math

import pytest
from circuitbreaker import CircuitBreakerMonitor
from tests.support.circuits import Clock, attempt, fail, fresh, make

from omnibase_infra.enums import EnumCoreErrorCode, EnumInfraTransportType
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    CircuitBreaker,
    create_consul_circuit_breaker,
    create_database_circuit_breaker,
    create_grpc_circuit_breaker,
    create_kafka_circuit_breaker,
    create_network_circuit_breaker,
    create_valkey_circuit_breaker,
    create_vault_circuit_breaker,
)
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig
from omnibase_infra.presets import load_presets

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("create", "failures", "recovery", "transport"),
    [
        (create_database_circuit_breaker, 5, 60, EnumInfraTransportType.DATABASE),
        (create_kafka_circuit_breaker, 10, 30, EnumInfraTransportType.KAFKA),
        (create_network_circuit_breaker, 3, 45, EnumInfraTransportType.HTTP),
        (create_vault_circuit_breaker, 3, 90, EnumInfraTransportType.VAULT),
        (create_consul_circuit_breaker, 3, 30, EnumInfraTransportType.CONSUL),
        (create_valkey_circuit_breaker, 10, 30, EnumInfraTransportType.VALKEY),
        (create_grpc_circuit_breaker, 5, 60, EnumInfraTransportType.GRPC),
    ],
)
def test_each_transports_defaults_hold_in_the_running_circuit(create, failures, recovery, transport):
    clock = Clock()
    breaker = create(clock=clock)
    assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.transport) == (failures, recovery, transport)
    assert (breaker.success_threshold, breaker.half_open_max_calls) == (1, 1)
    assert (breaker.expected_exception, breaker.fallback_function, breaker.name) == (None, None, None)
    fail(breaker, failures - 1)
    assert breaker.closed
    fail(breaker)
    assert (breaker.opened, breaker.open_remaining) == (True, recovery)
    clock.advance(recovery)
    attempt(breaker)
    assert breaker.closed


def test_every_argument_is_a_readable_setting():
    def fallback():
        return None

    given = {
        "failure_threshold": 2,
        "recovery_timeout": 7.5,
        "success_threshold": 3,
        "half_open_max_calls": 4,
        "recovery_multiplier": 1.5,
        "max_recovery_timeout": 50.0,
        "recovery_jitter": 0.25,
        "failure_rate": 0.5,
        "window": 30.0,
        "minimum_calls": 10,
        "slow_call_seconds": 1.0,
        "slow_call_rate": 0.75,
        "connection_weight": 0.5,
    }
    breaker = make(name=fresh("read"), expected_exception=KeyError, fallback_function=fallback, **given)
    assert breaker.config.model_dump() == {**given, "shared": None}
    for setting in ("failure_threshold", "recovery_timeout", "success_threshold", "half_open_max_calls"):
        assert getattr(breaker, setting) == given[setting]
    assert (breaker.expected_exception, breaker.fallback_function) == (KeyError, fallback)


def test_the_documents_positional_order_is_threshold_recovery_name():
    name = fresh("positional")
    breaker = create_database_circuit_breaker(7, 12.5, name)
    assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.name) == (7, 12.5, name)


def test_a_service_inherits_from_its_transport_and_an_argument_wins(tmp_path):
    file = tmp_path / "presets.toml"
    file.write_text(
        "[services.orders.circuit_breaker]\nfailure_threshold = 8\nfailure_rate = 0.5\n"
        "slow_call_seconds = 1.0\nslow_call_rate = 0.5\n"
    )
    load_presets(file)
    try:
        orders = create_database_circuit_breaker(service="orders")
        bare = create_database_circuit_breaker(
            9, service="orders", failure_rate=None, slow_call_seconds=None, slow_call_rate=None
        )
    finally:
        load_presets()
    assert (orders.failure_threshold, orders.recovery_timeout, orders.config.failure_rate) == (8, 60, 0.5)
    assert (bare.failure_threshold, bare.config.failure_rate, bare.config.slow_call_rate) == (9, None, None)


def test_one_name_with_agreeing_settings_is_one_circuit():
    name, clock = fresh("shared"), Clock()
    first = make(clock, name=name, rng=clock, failure_threshold=2, expected_exception=[KeyError])
    second = make(clock, name=name, rng=clock, failure_threshold=2, expected_exception=[KeyError])
    assert first is second
    assert CircuitBreakerMonitor.get(name) is first
    fail(first, 1, KeyError())
    fail(second, 1, KeyError())
    assert first.opened


def fallback():
    return None


DIFFERING = [
    ({"failure_threshold": 6}, "failure_threshold"),
    ({"recovery_timeout": 61}, "recovery_timeout"),
    ({"half_open_max_calls": 2, "success_threshold": 2}, "success_threshold, half_open_max_calls"),
    ({"failure_rate": 0.5}, "failure_rate"),
    ({"expected_exception": KeyError}, "expected_exception"),
    ({"fallback_function": fallback}, "fallback_function"),
    ({"translate": True}, "translate"),
    ({"clock": Clock()}, "clock"),
    ({"rng": lambda: 0.5}, "rng"),
]


@pytest.mark.parametrize(("other", "named"), DIFFERING, ids=[named for _, named in DIFFERING])
def test_one_name_with_differing_settings_is_refused_and_the_first_circuit_stays(other, named):
    name = fresh("contested")
    first = create_database_circuit_breaker(name=name)
    with pytest.raises(ProtocolConfigurationError) as caught:
        create_database_circuit_breaker(name=name, **other)
    assert caught.value.message == (
        f"name = '{name}': a circuit breaker of this name exists with another {named}; "
        "use the same settings to share it, or another name"
    )
    assert caught.value.model.context["parameter"] == "name"
    assert create_database_circuit_breaker(name=name) is first
    assert CircuitBreakerMonitor.get(name) is first


def test_one_name_for_two_transports_is_refused():
    name = fresh("transports")
    create_database_circuit_breaker(name=name)
    with pytest.raises(ProtocolConfigurationError, match="exists with another transport; use"):
        create_grpc_circuit_breaker(name=name)


def test_a_secret_in_a_contested_name_is_not_shown():
    name = fresh(f"postgresql://svc:{SECRET}@db")
    create_database_circuit_breaker(name=name)
    with pytest.raises(ProtocolConfigurationError) as caught:
        create_database_circuit_breaker(6, name=name)
    assert SECRET not in str(caught.value)


def test_zero_means_zero():
    assert create_database_circuit_breaker(recovery_timeout=0).recovery_timeout == 0


BAD = [
    ({"failure_threshold": 0}, "failure_threshold = 0: must be a whole number, 1 or more"),
    ({"failure_threshold": -1}, "failure_threshold = -1: must be a whole number, 1 or more"),
    ({"failure_threshold": 2.5}, "failure_threshold = 2.5: must be a whole number, 1 or more"),
    ({"failure_threshold": True}, "failure_threshold = True: must be a whole number, 1 or more"),
    ({"failure_threshold": SECRET}, "failure_threshold = (a str, not shown): must be a whole number, 1 or more"),
    ({"success_threshold": 0}, "success_threshold = 0: must be a whole number, 1 or more"),
    ({"half_open_max_calls": 0}, "half_open_max_calls = 0: must be a whole number, 1 or more"),
    ({"recovery_timeout": -1}, "recovery_timeout = -1: must be a finite number, 0 or more"),
    ({"recovery_timeout": math.nan}, "recovery_timeout = nan: must be a finite number, 0 or more"),
    ({"recovery_timeout": math.inf}, "recovery_timeout = inf: must be a finite number, 0 or more"),
    ({"recovery_multiplier": 0.5}, "recovery_multiplier = 0.5: must be a finite number, 1 or more"),
    (
        {"max_recovery_timeout": 59.0},
        "max_recovery_timeout = 59.0: must be at least recovery_timeout = 60",
    ),
    ({"recovery_jitter": 1.5}, "recovery_jitter = 1.5: must be a finite number, 0 or more and at most 1"),
    ({"failure_rate": 0}, "failure_rate = 0: must be a finite number, above 0 and at most 1, or None"),
    ({"failure_rate": 50}, "failure_rate = 50: must be a finite number, above 0 and at most 1, or None"),
    ({"window": 0}, "window = 0: must be a finite number, above 0"),
    ({"minimum_calls": 0}, "minimum_calls = 0: must be a whole number, 1 or more"),
    ({"slow_call_seconds": 0}, "slow_call_seconds = 0: must be a finite number, above 0, or None"),
    ({"slow_call_rate": 2}, "slow_call_rate = 2: must be a finite number, above 0 and at most 1, or None"),
    ({"slow_call_rate": 0.5}, "slow_call_rate: needs slow_call_seconds beside it, which is not set"),
    ({"slow_call_seconds": 1}, "slow_call_seconds: needs slow_call_rate beside it, which is not set"),
    ({"name": ""}, "name = (empty): must be text that is not blank, or None"),
    ({"name": "  "}, "name = (empty): must be text that is not blank, or None"),
    ({"name": 5}, "name = 5: must be text that is not blank, or None"),
    ({"fallback_function": SECRET}, "fallback_function = (a str, not shown): must be a function"),
    ({"clock": 5}, "clock = 5: must be a function"),
    ({"rng": 0.5}, "rng = 0.5: must be a function"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_a_bad_argument_is_named_with_what_was_wrong_and_what_is_allowed(arguments, message):
    with pytest.raises(ProtocolConfigurationError) as caught:
        create_database_circuit_breaker(**arguments)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.message.startswith(message)
    assert error.error_code is EnumCoreErrorCode.INVALID_CONFIGURATION
    assert error.model.context["parameter"] == next(iter(arguments))
    assert SECRET not in str(error)


ALLOWED = "expected_exception must be an exception class, several of them, or a predicate of the exception"


async def judge(error):
    return True


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("ValueError", ""),
        (5, ""),
        ((), ""),
        ((ValueError, "KeyError"), ""),
        (BaseException, ""),
        (KeyboardInterrupt, ""),
        (int, ""),
        ([ValueError, BaseException], ""),
        (lambda: True, "; this one takes neither the exception nor its type and the exception"),
        (lambda a, b, c: True, "; this one takes neither the exception nor its type and the exception"),
        (judge, "; this one is async"),
    ],
)
def test_an_unusable_expected_exception_is_refused(value, end):
    with pytest.raises(ProtocolConfigurationError) as caught:
        create_database_circuit_breaker(expected_exception=value)
    assert caught.value.message == ALLOWED + end
    assert caught.value.model.context["parameter"] == "expected_exception"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": {"failure_threshold": 3}}, "config = (a dict, not shown): must be a ModelCircuitBreakerConfig"),
        ({"transport": "db"}, "transport = (a str, not shown): must be an EnumInfraTransportType"),
    ],
)
def test_a_bad_argument_of_the_class_is_named_too(arguments, message):
    with pytest.raises(ProtocolConfigurationError) as caught:
        CircuitBreaker(**arguments)
    assert caught.value.message == message


def test_a_factory_used_without_parentheses_is_told_what_is_wrong():
    with pytest.raises(ProtocolConfigurationError, match="failure_threshold = "):

        @create_database_circuit_breaker
        def forgotten():
            pass


def test_the_settings_cannot_be_changed_behind_the_machines_back():
    breaker = CircuitBreaker(ModelCircuitBreakerConfig(failure_threshold=3))
    with pytest.raises(AttributeError):
        breaker.failure_threshold = 5
    with pytest.raises(ValueError, match="frozen"):
        breaker.config.failure_threshold = 5
