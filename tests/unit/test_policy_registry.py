"""The policy registry's trust rules: what is taken, what is refused, and what is written down."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    RateLimiter,
    TokenBucketLimiter,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_resilience,
    create_database_retry_policy,
)
from omnibase_infra.runtime import ModelPolicyAllowList, RegistryPolicy, registry_policy
from omnibase_infra.runtime.registry_policy import policy_classes
from omnibase_infra.runtime.semantic_version import precedence

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITERS = "omnibase_infra.infrastructure.resilience.rate_limiter"
BREAKERS = "omnibase_infra.infrastructure.resilience.circuit_breaker_factory"


def breaker() -> InfrastructureCircuitBreaker:
    return create_database_circuit_breaker()


def registry(**settings: object) -> RegistryPolicy:
    return RegistryPolicy(**{"clock": lambda: NOON, **settings})


def register(into: RegistryPolicy, policy: object | None = None, **arguments: object) -> object:
    given = {"service": "orders", "name": "writes", "version": "1.0.0", "registered_by": "orders.startup"}
    return into.register(breaker() if policy is None else policy, **{**given, **arguments})


def resolve(of: RegistryPolicy, version: str | None = None) -> object:
    return of.resolve(object, service="orders", name="writes", version=version)


def test_a_policy_is_found_by_service_name_and_version():
    into, first, second = registry(), breaker(), breaker()
    register(into, first)
    register(into, second, version="1.1.0")
    assert resolve(into, "1.0.0") is first
    assert resolve(into, "1.1.0") is second


def test_without_a_version_the_latest_release_is_found():
    into, latest = registry(), breaker()
    for version in ("1.9.0", "1.10.0-rc.1", "1.2.3", "2.0.0-rc.1"):
        register(into, version=version)
    register(into, latest, version="1.10.0")
    register(into, version="1.9.9")
    assert resolve(into) is latest


def test_a_pre_release_must_be_asked_for():
    into, candidate = registry(), breaker()
    register(into, candidate, version="1.0.0-rc.1")
    with pytest.raises(ProtocolConfigurationError, match=r"orders/writes has no release, but 1\.0\.0-rc\.1"):
        resolve(into)
    assert resolve(into, "1.0.0-rc.1") is candidate


def test_a_policy_of_another_kind_than_asked_for_is_not_handed_out():
    into = registry()
    register(into)
    assert into.resolve(InfrastructureCircuitBreaker, service="orders", name="writes").failure_threshold == 5
    with pytest.raises(ProtocolConfigurationError, match="is a InfrastructureCircuitBreaker, not a TokenBucketLimiter"):
        into.resolve(TokenBucketLimiter, service="orders", name="writes")


@pytest.mark.parametrize(
    ("service", "name", "version", "message"),
    [
        ("orders", "reads", None, "name: orders has no policy reads, but writes"),
        ("users", "reads", None, "service: users has no policies; those of orders are registered"),
        ("orders", "writes", "2.0.0", r"orders/writes has no version 2\.0\.0, but 1\.0\.0, 1\.1\.0"),
        ("orders", "writes", "latest", "version = .*: must be a semantic version"),
    ],
)
def test_who_asks_for_what_is_not_there_is_told_what_is(service: str, name: str, version: str | None, message: str):
    into = registry()
    register(into, version="1.1.0")
    register(into)
    with pytest.raises(ProtocolConfigurationError, match=message):
        into.resolve(object, service=service, name=name, version=version)


def test_an_empty_registry_says_so():
    with pytest.raises(ProtocolConfigurationError, match="those of no service are registered"):
        resolve(registry())


def test_every_kind_of_policy_that_guards_functions_is_taken():
    into = registry()
    for number, policy in enumerate(
        (
            *(breaker(), create_database_retry_policy(), create_database_rate_limiter(), TokenBucketLimiter(1, 1)),
            create_database_resilience(),
        )
    ):
        register(into, policy, version=f"1.0.{number}")
    assert {known.__name__ for known in policy_classes()} >= {
        "InfrastructureCircuitBreaker",
        "InfrastructureRetryPolicy",
        "TokenBucketLimiter",
    }


class Lookalike:
    """Has what a policy has, and is none."""

    def around_async(self, fn: object) -> object:
        return fn

    around_sync = around_async


@pytest.mark.parametrize("policy", [Lookalike(), InfrastructureCircuitBreaker, lambda fn: fn, "breaker", RateLimiter()])
def test_what_is_no_policy_of_this_package_is_refused(policy: object):
    into = registry()
    with pytest.raises(ProtocolConfigurationError, match=r"policy = .*: must be one of .*InfrastructureCircuitBreaker"):
        register(into, policy)
    assert into.history() == ()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("service", ""),
        ("service", "orders/writes"),
        ("service", "-orders"),
        ("service", "bestellungen für alle"),
        ("service", "x" * 129),
        ("name", None),
        ("name", "a\nb"),
        ("version", "1.0"),
        ("version", "v1.0.0"),
        ("version", "01.0.0"),
        ("version", "1.0.0-01"),
        ("version", "1.0.0 "),
        ("version", "1.0.0\n"),
        ("version", "\N{ARABIC-INDIC DIGIT ONE}.0.0"),
        ("version", "1.0.0-" + "x" * 200),
        ("version", 1),
        ("registered_by", None),
        ("registered_by", "  "),
        ("replace", 1),
    ],
)
def test_an_unusable_argument_is_refused_by_name_and_not_shown(argument: str, value: object):
    into = registry()
    with pytest.raises(ProtocolConfigurationError) as caught:
        register(into, **{argument: value})
    assert caught.value.message.startswith(f"{argument} = ")
    assert not isinstance(value, str) or len(value) < 8 or value not in caught.value.message
    assert into.history() == ()


def test_no_policy_takes_the_place_of_another_without_saying_so():
    into, first, second = registry(), breaker(), breaker()
    register(into, first)
    with pytest.raises(ProtocolConfigurationError, match=r"orders/writes 1\.0\.0 is registered already; say replace="):
        register(into, second)
    with pytest.raises(ProtocolConfigurationError, match=r"orders/writes 1\.0\.0 is registered already"):
        register(into, second, version="1.0.0+another.build")
    assert resolve(into) is first
    assert len(into.history()) == 1
    assert register(into, second, replace=True).replaced
    assert resolve(into) is second


@pytest.mark.parametrize(
    ("allow_list", "refused"),
    [
        ({"names": {"orders/*"}}, None),
        ({"names": {"users/*", "orders/writes"}}, None),
        ({"names": {"orders/reads"}}, "no name that orders/writes fits"),
        ({"names": set()}, "no name that orders/writes fits"),
        ({"classes": {InfrastructureCircuitBreaker}}, None),
        ({"classes": {TokenBucketLimiter}}, "no class InfrastructureCircuitBreaker"),
        ({"modules": {BREAKERS}}, None),
        ({"modules": {"omnibase_infra"}}, None),
        ({"modules": {LIMITERS}}, f"no module {BREAKERS}"),
        ({"modules": {BREAKERS[:-1]}}, f"no module {BREAKERS}"),
        ({"names": {"orders/*"}, "modules": {LIMITERS}}, f"no module {BREAKERS}"),
    ],
)
def test_an_allow_list_lets_pass_what_all_its_parts_name(allow_list: dict[str, set[object]], refused: str | None):
    into = registry(allow_list=ModelPolicyAllowList(**{key: frozenset(of) for key, of in allow_list.items()}))
    if refused is None:
        register(into)
        assert len(into.registrations()) == 1
    else:
        with pytest.raises(ProtocolConfigurationError, match=f"policy: the allow-list has {refused}"):
            register(into)
        assert into.history() == ()


def test_a_subclass_of_an_allowed_class_is_another_class():
    class Mine(TokenBucketLimiter):
        pass

    into = registry(allow_list=ModelPolicyAllowList(classes=frozenset({TokenBucketLimiter})))
    register(into, TokenBucketLimiter(1, 1))
    with pytest.raises(ProtocolConfigurationError, match=r"no class .*Mine"):
        register(into, Mine(1, 1), name="other")


def test_the_record_tells_who_registered_what_and_when():
    times = iter(NOON + timedelta(hours=hour) for hour in range(3))
    into = registry(clock=lambda: next(times))
    register(into)
    register(into, version="1.0.0+fix", replace=True, registered_by="hotfix postgresql://svc:hunter2@db/x")
    register(into, service="users", version="2.0.0-rc.1")
    first, second, third = into.history()
    assert (first.sequence, first.service, first.name, first.version) == (1, "orders", "writes", "1.0.0")
    assert (first.registered_by, first.registered_at, first.replaced) == ("orders.startup", NOON, False)
    assert first.policy_type == f"{BREAKERS}.InfrastructureCircuitBreaker"
    assert (second.sequence, second.version, second.replaced) == (2, "1.0.0+fix", True)
    assert second.registered_at == NOON + timedelta(hours=1)
    assert "hunter2" not in second.registered_by
    assert into.registrations() == (second, third)
    assert into.registrations("users") == (third,)
    with pytest.raises(ValueError, match="frozen"):
        first.version = "9.9.9"


def test_every_registration_is_logged_with_its_record(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "omnibase_infra.runtime.policies")
    into = registry()
    register(into)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"orders/writes 1.0.0 ({BREAKERS}.InfrastructureCircuitBreaker) was registered by orders.startup"
    )
    assert record.policy_registration["registered_at"] == "2026-01-01T12:00:00Z"


def test_a_clock_without_a_time_zone_is_refused():
    with pytest.raises(ProtocolConfigurationError, match=r"clock = .*: must be a wall clock that tells its time zone"):
        register(registry(clock=lambda: datetime(2026, 1, 1)))  # noqa: DTZ001


def test_a_full_registry_refuses_further_policies_but_not_replacements(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_policy, "MOST_POLICIES", 2)
    into = registry()
    register(into)
    register(into, replace=True)
    register(into, version="1.1.0")
    with pytest.raises(ProtocolConfigurationError, match="the registry holds 2 policies already"):
        register(into, version="1.2.0")
    register(into, version="1.1.0", replace=True)


def test_the_history_is_bounded_and_its_numbers_show_what_is_lost(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_policy, "MOST_RECORDS", 3)
    into = registry()
    for _ in range(5):
        register(into, replace=True)
    assert [line.sequence for line in into.history()] == [3, 4, 5]


def test_clear_leaves_nothing_behind():
    into = registry()
    register(into)
    into.clear()
    assert into.history() == into.registrations() == ()
    assert register(into).sequence == 1


VERSIONS = st.from_regex(
    r"(0|[1-9][0-9]?)\.(0|[1-9])\.(0|[1-9])(-(0|[1-9][0-9]?|[a-c-]{1,2})(\.(0|[1-9]|[a-c])){0,2})?", fullmatch=True
)


def compare_as_the_specification_says(left: str, right: str) -> int:
    """Item 11 of semver.org 2.0.0, word by word."""
    (left_core, _, left_suffix), (right_core, _, right_suffix) = left.partition("-"), right.partition("-")
    cores = [[int(part) for part in core.split(".")] for core in (left_core, right_core)]
    if cores[0] != cores[1]:
        return -1 if cores[0] < cores[1] else 1
    if not left_suffix or not right_suffix:
        return bool(right_suffix) - bool(left_suffix)
    parts = left_suffix.split("."), right_suffix.split(".")
    for one, other in zip(*parts, strict=False):
        if one == other:
            continue
        if one.isdecimal() and other.isdecimal():
            return -1 if int(one) < int(other) else 1
        if one.isdecimal() != other.isdecimal():
            return -1 if one.isdecimal() else 1
        return -1 if one < other else 1
    return len(parts[0]) - len(parts[1])


@given(VERSIONS, VERSIONS)
def test_versions_order_as_the_specification_says(left: str, right: str):
    expected = compare_as_the_specification_says(left, right)
    assert (precedence(left) < precedence(right)) == (expected < 0)
    assert (precedence(left) == precedence(right)) == (expected == 0)


def test_the_specifications_own_example_is_in_order():
    suffixes = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    versions = [*(f"1.0.0-{suffix}" for suffix in suffixes), "1.0.0"]
    assert sorted({*versions}, key=precedence) == versions
