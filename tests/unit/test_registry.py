"""Every policy that has a name is listed, found and switched by it, for as long as it lives."""

import gc
import logging
import threading

import pytest
from tests.support.circuits import Clock, attempt, fail, fresh, make, refused

from omnibase_infra.enums import EnumCircuitState, EnumInfraTransportType, EnumPolicyKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    InfrastructureCircuitBreaker,
    RateLimiter,
    RetryBudget,
    TokenBucketLimiter,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    registry,
)
from omnibase_infra.models.resilience import ModelPolicySnapshot

SECRET = "hunter2"


def listed(name):
    return [shown for shown in registry.policies() if shown.name == name]


def limiter(name, **settings):
    return TokenBucketLimiter(1.0, 10, name, clock=Clock(), **settings)


MADE = [
    (
        lambda name: make(name=name, failure_threshold=3),
        EnumPolicyKind.CIRCUIT_BREAKER,
        {"failure_count": 0, "failure_threshold": 3, "recovery_timeout": 60, "open_remaining": 0},
    ),
    (
        lambda name: make(name=name, key=len, max_keys=7),
        EnumPolicyKind.CIRCUIT_BREAKER,
        {"keys": 0, "max_keys": 7, "open": 0, "half_open": 0, "isolated": 0, "disabled": 0},
    ),
    (limiter, EnumPolicyKind.RATE_LIMITER, {"tokens": 10, "rate": 1, "capacity": 10, "waiting": 0}),
    (
        lambda name: RateLimiter(name, max_keys=5, clock=Clock()),
        EnumPolicyKind.RATE_LIMITER,
        {"keys": 0, "max_keys": 5},
    ),
    (
        lambda name: Bulkhead(2, 3, 1.5, name),
        EnumPolicyKind.BULKHEAD,
        {"in_flight": 0, "max_concurrent": 2, "waiting": 0, "max_queue": 3, "max_wait": 1.5},
    ),
    (
        lambda name: RetryBudget(name=name, clock=Clock()),
        EnumPolicyKind.RETRY_BUDGET,
        {"balance": 100, "granted": 0, "refused": 0, "ratio": 0.1, "min_per_second": 10, "window": 10},
    ),
]
each_policy = pytest.mark.parametrize(
    ("build", "kind", "numbers"),
    MADE,
    ids=["breaker", "keyed breaker", "bucket", "keyed limiter", "bulkhead", "budget"],
)


@each_policy
def test_a_named_policy_is_listed_with_its_kind_and_numbers(build, kind, numbers):
    name = fresh("listed")
    policy = build(name)
    (shown,) = listed(name)
    assert (shown.kind, shown.numbers) == (kind, numbers)
    assert shown in registry.policies(kind)
    assert shown not in registry.policies(next(other for other in EnumPolicyKind if other is not kind))
    assert registry.find(name) == registry.find(name, kind) == [policy]
    assert ModelPolicySnapshot.model_validate_json(shown.model_dump_json()) == shown


@each_policy
def test_a_policy_that_its_user_drops_leaves_the_list(build, kind, numbers, monkeypatch):
    # The base library's monitor keeps what is registered there.
    monkeypatch.setattr("circuitbreaker.CircuitBreakerMonitor.circuit_breakers", {})
    name = fresh("dropped")
    policy = build(name)
    assert listed(name)
    del policy
    monkeypatch.undo()
    gc.collect()
    assert not listed(name)
    with pytest.raises(ProtocolConfigurationError, match="no policy has this name"):
        registry.find(name)


UNNAMED = [make, lambda: make(key=len), create_database_rate_limiter, lambda: Bulkhead(1)]


@pytest.mark.parametrize("build", UNNAMED)
def test_an_unnamed_policy_is_listed_under_what_it_guards_and_not_looked_up(build):
    policy = build()

    def guarded_and_listed():
        return None

    function = policy(guarded_and_listed)
    before = len(registry.policies())
    shown = registry.policies()[-1]
    assert shown.name.endswith(guarded_and_listed.__qualname__)
    with pytest.raises(ProtocolConfigurationError, match="no policy has this name"):
        registry.find(shown.name)
    policy(guarded_and_listed)
    assert len(registry.policies()) == before
    del function, policy


def test_an_unnamed_policy_that_guards_nothing_is_not_listed():
    before = len(registry.policies())
    unused = make(), create_database_rate_limiter(), RetryBudget()
    assert len(registry.policies()) == before
    del unused


def test_a_breaker_is_listed_with_its_transport_and_the_state_that_the_next_call_meets():
    name, clock = fresh("state"), Clock()
    breaker = make(clock, name=name, failure_threshold=1)
    fail(breaker)
    clock.advance(20)
    (shown,) = listed(name)
    assert shown.transport is EnumInfraTransportType.DATABASE
    assert shown.state is EnumCircuitState.OPEN
    assert (shown.numbers["failure_count"], shown.numbers["open_remaining"]) == (1, 40)
    clock.advance(40)
    (shown,) = listed(name)
    assert (shown.state, shown.numbers["open_remaining"]) == (EnumCircuitState.HALF_OPEN, 0)


def test_a_policy_whose_clock_cannot_be_read_is_listed_without_numbers():
    def elsewhere():
        raise RuntimeError("no running event loop")

    name = fresh("elsewhere")
    breaker = make(elsewhere, name=name)
    assert listed(name) == [ModelPolicySnapshot(kind=EnumPolicyKind.CIRCUIT_BREAKER, name=name)]
    del breaker


def test_two_factory_calls_with_one_name_are_listed_once():
    name = fresh("once")
    first, second = create_database_circuit_breaker(name=name), create_database_circuit_breaker(name=name)
    assert first is second
    assert len(listed(name)) == 1


def test_breakers_of_one_name_that_no_factory_made_are_each_listed_and_switched_together():
    name = fresh("own")
    breakers = [InfrastructureCircuitBreaker(name=name) for _ in range(2)]
    assert registry.find(name) == breakers
    registry.isolate(name)
    assert [breaker.state for breaker in breakers] == [EnumCircuitState.ISOLATED] * 2


def test_limiters_of_one_name_are_each_listed_oldest_first():
    name = fresh("twice")
    first, second = limiter(name), limiter(name)
    first.acquire(4)
    assert [shown.numbers["tokens"] for shown in listed(name)] == [6, 10]
    assert registry.find(name) == [first, second]


def test_trip_isolate_and_reset_reach_the_circuit_of_the_name():
    name = fresh("switched")
    breaker = make(name=name)
    registry.trip(name)
    assert breaker.state is EnumCircuitState.OPEN
    registry.isolate(name)
    assert refused(breaker).circuit_state is EnumCircuitState.ISOLATED
    registry.reset(name)
    assert breaker.closed
    assert attempt(breaker) == "ok"


@pytest.mark.parametrize("build", [limiter, lambda name: RateLimiter(name, clock=Clock())])
def test_reset_fills_the_bucket_of_a_limiter(build):
    name = fresh("filled")
    policy = build(name)
    arguments = () if isinstance(policy, TokenBucketLimiter) else ("user", 1, 10)
    assert [policy.acquire(*arguments) for _ in range(11)] == [True] * 10 + [False]
    registry.reset(name)
    assert [policy.acquire(*arguments) for _ in range(11)] == [True] * 10 + [False]


def test_reset_of_a_name_that_two_kinds_have_needs_the_kind():
    name = fresh("both")
    breaker, bucket = make(name=name), limiter(name)
    breaker.trip()
    bucket.acquire(10)
    with pytest.raises(ProtocolConfigurationError) as caught:
        registry.reset(name)
    assert caught.value.message == (f"kind: is needed, for a circuit_breaker and a rate_limiter have the name '{name}'")
    registry.reset(name, "circuit_breaker")
    assert (breaker.closed, bucket.tokens) == (True, 0)
    registry.reset(name, EnumPolicyKind.RATE_LIMITER)
    assert bucket.tokens == 10


def test_a_name_that_a_budget_shares_is_reset_without_the_kind():
    name = fresh("shared")
    breaker, budget = make(name=name), RetryBudget(name=name)
    registry.trip(name)
    registry.reset(name)
    assert breaker.closed
    del budget


@pytest.mark.parametrize("action", [registry.trip, registry.isolate, registry.reset])
def test_an_action_that_the_kind_does_not_know_is_refused(action):
    name = fresh("no such action")
    policy = Bulkhead(1, name=name)
    knowing = "a circuit_breaker" if action is not registry.reset else "a circuit_breaker and a rate_limiter"
    with pytest.raises(ProtocolConfigurationError) as caught:
        action(name)
    assert caught.value.message == f"name = '{name}': a bulkhead knows no {action.__name__}, only {knowing} does"
    del policy


@pytest.mark.parametrize("ask", [registry.find, registry.trip, registry.isolate, registry.reset])
def test_an_unknown_name_is_refused_and_the_nearest_suggested(ask):
    name = fresh("invoices of the year")
    policy = make(name=name)
    with pytest.raises(ProtocolConfigurationError) as caught:
        ask(f"{name}s")
    assert caught.value.message == f"name = '{name}s': no policy has this name; did you mean '{name}'?"
    assert caught.value.model.context["parameter"] == "name"
    with pytest.raises(
        ProtocolConfigurationError, match=r"no policy has this name; policies\(\) lists those there are"
    ):
        ask("§§§§§§§§")
    del policy


def test_a_name_of_another_kind_is_not_found():
    name = fresh("another kind")
    policy = limiter(name)
    with pytest.raises(ProtocolConfigurationError, match="no bulkhead has this name"):
        registry.find(name, "bulkhead")
    del policy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: registry.find(None), "name = None: must be text that is not blank"),
        (lambda: registry.find(3), "name = 3: must be text that is not blank"),
        (lambda: registry.trip(""), r"name = \(empty\): must be text that is not blank"),
        (lambda: registry.policies("fuse"), r"kind = \(a str, not shown\): must be one of circuit_breaker, "),
        (lambda: registry.find("a", 7), "kind = 7: must be one of"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(call, message):
    with pytest.raises(ProtocolConfigurationError, match=message):
        call()


def test_a_secret_in_a_name_is_neither_listed_nor_repeated():
    name = fresh(f"postgresql://svc:{SECRET}@db")
    policy = limiter(name)
    assert registry.find(name) == [policy]
    assert SECRET not in repr(registry.policies())
    del policy
    with pytest.raises(ProtocolConfigurationError) as caught:
        registry.find(name)
    assert SECRET not in str(caught.value)


def test_beyond_the_bound_policies_work_unlisted_and_that_is_said_once(monkeypatch, caplog):
    gc.collect()  # what other tests left must not go while this one counts
    monkeypatch.setattr(registry, "MOST_LISTED", len(registry.policies()) + 1)
    monkeypatch.setattr(registry._table, "_complained", False)
    first, name = limiter(fresh("fits")), fresh("does not fit")
    with caplog.at_level(logging.WARNING):
        others = [limiter(fresh("does not fit")) for _ in range(2)]
        breakers = [create_database_circuit_breaker(name=name) for _ in range(2)]
    assert len(registry.policies()) == registry.MOST_LISTED
    assert all(other.acquire() for other in others)
    assert breakers[0] is breakers[1]
    assert len(caplog.records) == 1
    del first


def test_listing_goes_on_while_threads_make_and_drop_policies():
    stop = threading.Event()
    errors = []

    def work():
        try:
            while not stop.is_set():
                limiter(fresh("brief"))
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        registry.policies("rate_limiter")
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    gc.collect()
    assert not [shown for shown in registry.policies() if shown.name.startswith("brief")]
