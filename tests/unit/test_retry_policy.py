"""Contract section 5: how often, how long, and what the caller sees when it was not enough."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.retries import Caller, Clock, Script, call_coroutine, call_plain

from omnibase_infra.enums import EnumCircuitState, EnumCoreErrorCode, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelOnexError,
    RuntimeHostError,
)
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    create_consul_retry_policy,
    create_database_retry_policy,
    create_grpc_retry_policy,
    create_kafka_retry_policy,
    create_network_retry_policy,
    create_valkey_retry_policy,
    create_vault_retry_policy,
)
from omnibase_infra.models.resilience import ModelRetryConfig

FACTORIES = [
    (create_database_retry_policy, 3, 1.0, 10.0, EnumInfraTransportType.DATABASE),
    (create_network_retry_policy, 3, 0.5, 5.0, EnumInfraTransportType.HTTP),
    (create_kafka_retry_policy, 5, 1.0, 30.0, EnumInfraTransportType.KAFKA),
    (create_vault_retry_policy, 3, 2.0, 20.0, EnumInfraTransportType.VAULT),
    (create_consul_retry_policy, 3, 1.0, 30.0, EnumInfraTransportType.CONSUL),
    (create_valkey_retry_policy, 3, 0.1, 2.0, EnumInfraTransportType.VALKEY),
    (create_grpc_retry_policy, 3, 0.5, 5.0, EnumInfraTransportType.GRPC),
]

both_kinds = pytest.mark.parametrize("call", [call_plain, call_coroutine])


def policy(clock: Clock, **settings: object) -> InfrastructureRetryPolicy:
    build: Callable[..., InfrastructureRetryPolicy] = create_database_retry_policy
    return build(**{"clock": clock, "sleep": clock.sleep, "rng": lambda: 0.5, **settings})


@pytest.mark.parametrize(("factory", "attempts", "least", "longest", "transport"), FACTORIES)
def test_each_transport_has_its_attempts_and_waits(factory, attempts, least, longest, transport):
    clock = Clock()
    built = factory(clock=clock, sleep=clock.sleep, rng=lambda: 0.0)
    script = Script(ConnectionError)

    with pytest.raises(InfraConnectionError) as caught:
        call_plain(built, script)

    assert (built.max_attempts, built.min_wait, built.max_wait, built.max_elapsed) == (attempts, least, longest, None)
    assert built.transport is transport
    assert script.calls == attempts
    assert clock.waits == [least] * (attempts - 1)
    assert caught.value.context.transport_type is transport


@both_kinds
def test_max_attempts_counts_every_call_the_first_too(call: Caller):
    clock, script = Clock(), Script(ConnectionError)
    with pytest.raises(InfraConnectionError):
        call(policy(clock, max_attempts=4), script)
    assert script.calls == 4
    assert len(clock.waits) == 3


@both_kinds
def test_one_attempt_means_no_retry_but_the_error_is_translated(call: Caller):
    clock, script = Clock(), Script(ConnectionError)
    with pytest.raises(InfraConnectionError) as caught:
        call(policy(clock, max_attempts=1), script)
    assert (script.calls, clock.waits, caught.value.retry_count) == (1, [], 1)


@both_kinds
def test_the_result_of_a_later_attempt_is_the_result_of_the_call(call: Caller):
    clock, script = Clock(), Script(ConnectionError, TimeoutError, "rows")
    assert call(policy(clock), script) == "rows"
    assert script.calls == 3


@both_kinds
def test_a_call_that_succeeds_at_once_neither_waits_nor_draws_chance(call: Caller):
    clock, drawn = Clock(), []
    script = Script("rows")
    assert call(policy(clock, rng=lambda: drawn.append(0) or 0.0), script) == "rows"
    assert (script.calls, clock.waits, drawn) == (1, [], [])


def test_every_attempt_gets_the_arguments_of_the_call():
    clock, script = Clock(), Script(ConnectionError, ConnectionError, "rows")
    assert policy(clock)(script)("select 1", timeout=2) == "rows"
    assert script.arguments == [(("select 1",), {"timeout": 2})] * 3


def test_the_wait_grows_exponentially_with_jitter_below_a_cap():
    waits = {}
    for chance in (0.0, 0.5, 0.999):
        clock = Clock()
        with pytest.raises(InfraConnectionError):
            call_plain(
                policy(clock, max_attempts=6, min_wait=1, max_wait=10, rng=lambda c=chance: c), Script(ConnectionError)
            )
        waits[chance] = clock.waits
    assert waits[0.0] == [1, 1, 1, 1, 1]
    assert waits[0.5] == [1.5, 2.5, 4.5, 5.5, 5.5]
    assert waits[0.999] == pytest.approx([1.999, 3.997, 7.993, 9.991, 9.991])


def test_the_first_wait_may_be_as_short_as_min_wait():
    clock = Clock()
    call_plain(policy(clock, min_wait=2, max_wait=9, rng=lambda: 0.0), Script(ConnectionError, "rows"))
    assert clock.waits == [2]


def test_a_min_wait_of_zero_is_honoured_and_still_grows():
    clock = Clock()
    with pytest.raises(InfraConnectionError):
        call_plain(
            policy(clock, max_attempts=4, min_wait=0, max_wait=10, rng=lambda: 0.5),
            Script(ConnectionError),
        )
    assert clock.waits == pytest.approx([0.1, 0.2, 0.4])


def test_waits_of_zero_retry_at_once():
    clock = Clock()
    with pytest.raises(InfraConnectionError):
        call_coroutine(policy(clock, min_wait=0, max_wait=0), Script(ConnectionError))
    assert clock.waits == [0, 0]


@pytest.mark.parametrize(
    "failure", [ConnectionResetError, TimeoutError, OSError, InfraConnectionError("x"), InfraUnavailableError("x")]
)
def test_connection_timeout_and_unavailable_are_retried(failure):
    clock, script = Clock(), Script(failure, "rows")
    assert call_plain(policy(clock), script) == "rows"


@pytest.mark.parametrize("failure", [ValueError, KeyError, FileNotFoundError, PermissionError, LookupError])
@both_kinds
def test_an_error_of_the_caller_is_not_retried_and_comes_out_untouched(call: Caller, failure):
    raised, clock = failure("as it was"), Clock()
    script = Script(raised)
    with pytest.raises(failure) as caught:
        call(policy(clock), script)
    assert caught.value is raised
    assert (script.calls, clock.waits) == (1, [])
    assert (raised.args, raised.__cause__, raised.__dict__) == (("as it was",), None, {})


@both_kinds
def test_an_error_of_the_caller_on_a_later_attempt_comes_out_untouched(call: Caller):
    raised, clock = ValueError("as it was"), Clock()
    script = Script(ConnectionError, raised)
    with pytest.raises(ValueError, match="as it was") as caught:
        call(policy(clock), script)
    assert caught.value is raised
    assert script.calls == 2
    assert (raised.__cause__, raised.__context__) == (None, None)


@both_kinds
def test_an_authentication_failure_is_not_retried_but_translated(call: Caller):
    invalid_password = type(
        "InvalidPasswordError", (Exception,), {"__module__": "asyncpg.exceptions", "sqlstate": "28P01"}
    )
    clock, script = Clock(), Script(invalid_password("password authentication failed for user"))
    with pytest.raises(InfraAuthenticationError) as caught:
        call(policy(clock), script)
    assert (script.calls, clock.waits) == (1, [])
    assert caught.value.retry_count == 1
    assert caught.value.error_code is EnumCoreErrorCode.AUTHENTICATION_ERROR
    assert isinstance(caught.value.__cause__, invalid_password)


@pytest.mark.parametrize(
    "rejection",
    [
        InfraRateLimitedError("ours", rejected_by="limiter", retry_after_seconds=0.1),
        InfraUnavailableError("ours", rejected_by="bulkhead"),
        InfraUnavailableError("ours", rejected_by="db", circuit_state=EnumCircuitState.OPEN, retry_after_seconds=0.1),
    ],
)
@both_kinds
def test_a_rejection_by_one_of_our_own_policies_is_not_retried(call: Caller, rejection):
    clock, script = Clock(), Script(rejection)
    with pytest.raises(type(rejection)) as caught:
        call(policy(clock), script)
    assert caught.value is rejection
    assert script.calls == 1


@pytest.mark.parametrize(
    ("failure", "becomes"), [(ConnectionError, InfraConnectionError), (TimeoutError, InfraTimeoutError)]
)
@both_kinds
def test_exhausted_retries_raise_the_matching_error_with_count_context_and_cause(call: Caller, failure, becomes):
    clock, last = Clock(), failure("the last one")
    with pytest.raises(becomes) as caught:
        call(policy(clock, service="orders"), Script(failure, failure, last))

    error = caught.value
    assert error.retry_count == 3
    assert error.model.context["retry_count"] == 3
    assert error.__cause__ is last
    assert error.rejected_by is None
    assert error.context.operation == f"{call.__name__}.<locals>.query"
    assert error.context.target_name == "orders"
    assert error.context.transport_type is EnumInfraTransportType.DATABASE
    assert error.context.original_error_type == f"builtins.{failure.__name__}"
    assert "after 3 attempts" in error.message


@pytest.mark.parametrize(
    ("factory", "code"),
    [
        (create_database_retry_policy, EnumCoreErrorCode.DATABASE_CONNECTION_ERROR),
        (create_network_retry_policy, EnumCoreErrorCode.NETWORK_ERROR),
        (create_grpc_retry_policy, EnumCoreErrorCode.NETWORK_ERROR),
        (create_kafka_retry_policy, EnumCoreErrorCode.SERVICE_UNAVAILABLE),
        (create_vault_retry_policy, EnumCoreErrorCode.SERVICE_UNAVAILABLE),
    ],
)
def test_the_code_of_an_exhausted_connection_error_follows_the_transport(factory, code):
    clock = Clock()
    with pytest.raises(InfraConnectionError) as caught:
        call_plain(factory(clock=clock, sleep=clock.sleep), Script(ConnectionError))
    assert caught.value.error_code is code


@both_kinds
def test_an_error_that_is_already_onex_is_retried_and_kept_as_it_is(call: Caller):
    clock, last = Clock(), InfraConnectionError("mine", host="db.example.com")
    script = Script(InfraConnectionError("first"), InfraConnectionError("second"), last)
    with pytest.raises(InfraConnectionError) as caught:
        call(policy(clock), script)
    assert caught.value is last
    assert script.calls == 3
    assert last.model.context == {"host": "db.example.com"}


def test_an_onex_error_that_is_not_about_the_dependency_is_not_retried():
    clock, script = Clock(), Script(RuntimeHostError("a plugin failed"))
    with pytest.raises(RuntimeHostError):
        call_plain(policy(clock), script)
    assert script.calls == 1


def test_no_word_of_a_foreign_exception_stands_in_the_error():
    clock = Clock()
    with pytest.raises(ModelOnexError) as caught:
        call_plain(policy(clock), Script(ConnectionError("postgresql://svc:hunter2@10.0.0.7/orders")))
    error = caught.value
    assert "hunter2" not in f"{error}{error!r}{error.model_dump_json()}{error.context}"
    assert "hunter2" in str(error.__cause__)


def test_a_policy_without_config_has_the_general_preset():
    clock, script = Clock(), Script(ConnectionError)
    general = InfrastructureRetryPolicy(clock=clock, sleep=clock.sleep)
    with pytest.raises(InfraConnectionError) as caught:
        call_plain(general, script)
    assert general.config == ModelRetryConfig()
    assert script.calls == general.max_attempts == 5
    assert caught.value.context.transport_type is None


def test_a_call_without_a_decorator_is_retried_too():
    clock, script = Clock(), Script(ConnectionError, "rows")
    assert policy(clock).call(script, 1, a=2) == "rows"
    assert script.arguments == [((1,), {"a": 2})] * 2


def test_retries_inside_retries_each_keep_their_own_count():
    clock, script = Clock(), Script(ConnectionError)
    inner, outer = policy(clock, max_attempts=2), policy(clock, max_attempts=3)
    with pytest.raises(InfraConnectionError) as caught:
        call_plain(lambda fn: outer(inner(fn)), script)
    assert script.calls == 6
    assert caught.value.retry_count == 2
