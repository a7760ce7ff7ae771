"""Contract section 8, `CredentialRefreshManager`: when it asks the issuer, and when it does not."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.credentials import REFUSALS, SECRET
from tests.support.retries import Clock

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraAuthenticationError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import CredentialRefreshManager, add_observer
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.models.resilience import ModelCredentialRefreshConfig
from omnibase_infra.presets import load_presets

Credentials = dict[str, object]


class Issuer:
    """Hands out numbered credentials that live for `ttl` seconds; without a word about it for None."""

    def __init__(self, ttl: object = 3600) -> None:
        self.ttl = ttl
        self.calls = 0
        self.error: Exception | None = None

    def refresh_credential(self) -> Credentials:
        self.calls += 1
        if self.error is not None:
            raise self.error
        lifetime = {} if self.ttl is None else {"ttl_seconds": self.ttl}
        return {"token": f"{SECRET}.{self.calls}", **lifetime}


class Kept:
    def __init__(self, ttl: object = 3600, threshold: float | None = None) -> None:
        self.clock = Clock(1000.0)
        self.issuer = Issuer(ttl)
        self.manager = CredentialRefreshManager(self.issuer, threshold, clock=self.clock)

    def get(self, after: float = 0.0) -> object:
        self.clock.now += after
        return self.manager.get_valid_credential()["token"]


def test_a_credential_serves_until_less_than_the_threshold_is_left():
    kept = Kept(3600)
    assert kept.get() == f"{SECRET}.1"
    assert kept.get(3299.99) == f"{SECRET}.1"
    assert kept.get(0.01) == f"{SECRET}.2"
    assert kept.get(3299.99) == f"{SECRET}.2"
    assert kept.issuer.calls == 2


def test_a_credential_that_tells_no_lifetime_has_the_preset_s():
    kept = Kept(None, 600)
    kept.get()
    kept.get(2999.99)
    assert kept.issuer.calls == 1
    kept.get(0.01)
    assert kept.issuer.calls == 2


@pytest.mark.parametrize("ttl", [1, 60, 299, 300, 301, 599])
def test_a_lifetime_below_the_threshold_does_not_refresh_at_every_use(ttl):
    kept = Kept(ttl, 300)
    for _ in range(10):
        kept.get()
    assert kept.issuer.calls == 1
    kept.get(ttl * 0.49)
    assert kept.issuer.calls == 1
    kept.get(ttl * 0.01)
    assert kept.issuer.calls == 2


def test_a_threshold_of_zero_is_honoured():
    kept = Kept(60, 0)
    kept.get()
    assert kept.get(59.99) == f"{SECRET}.1"
    assert kept.get(0.01) == f"{SECRET}.2"


def test_a_lifetime_of_zero_is_a_credential_for_one_use():
    kept = Kept(0)
    assert [kept.get(), kept.get()] == [f"{SECRET}.1", f"{SECRET}.2"]


def test_a_lifetime_without_end_is_never_refreshed():
    kept = Kept(float("inf"))
    assert kept.get() == kept.get(1e12)


def test_a_reset_forgets_the_credential_and_the_next_use_asks_for_another():
    kept = Kept()
    assert kept.get() == kept.get() == f"{SECRET}.1"
    kept.manager.reset()
    assert kept.issuer.calls == 1, "nobody has asked yet"
    assert kept.get() == kept.get() == f"{SECRET}.2"


def test_the_lifetime_counts_from_before_the_issuer_was_asked():
    clock = Clock()

    class Slow(Issuer):
        def refresh_credential(self) -> Credentials:
            clock.now += 50
            return super().refresh_credential()

    issuer = Slow(100)
    manager = CredentialRefreshManager(issuer, 10, clock=clock)
    manager.get_valid_credential()
    clock.now += 39
    manager.get_valid_credential()
    assert issuer.calls == 1
    clock.now += 1
    manager.get_valid_credential()
    assert issuer.calls == 2


@given(
    st.floats(0.01, 1e5),
    st.floats(0, 1e5),
    st.lists(st.floats(0, 1e5), max_size=30),
)
def test_a_credential_is_never_used_past_its_end_and_serves_at_least_half_its_life(ttl, threshold, waits):
    clock, issuer = Clock(), Issuer(ttl)
    manager = CredentialRefreshManager(issuer, threshold, clock=clock)
    manager.get_valid_credential()
    issued_at, calls = 0.0, 1
    for wait in waits:
        clock.now += wait
        manager.get_valid_credential()
        age = clock.now - issued_at
        if issuer.calls > calls:
            assert issuer.calls == calls + 1
            assert age >= ttl / 2 * (1 - 1e-9)
            issued_at, calls = clock.now, issuer.calls
        else:
            assert age < ttl


# call_with_auth


def test_the_function_gets_the_credential_and_its_arguments():
    kept = Kept()
    answer = kept.manager.call_with_auth(
        lambda path, *, credential, depth: (path, depth, credential["token"]), "db", depth=2
    )
    assert answer == ("db", 2, f"{SECRET}.1")


@pytest.mark.parametrize("refusal", REFUSALS, ids=["of ours", "of a driver"])
def test_a_refused_credential_is_replaced_and_the_call_made_once_more(refusal):
    kept = Kept()
    seen: list[object] = []

    def use(credential: Credentials) -> str:
        seen.append(credential["token"])
        if len(seen) == 1:
            raise refusal()
        return "secret"

    assert kept.manager.call_with_auth(use) == "secret"
    assert seen == [f"{SECRET}.1", f"{SECRET}.2"]


def test_a_refused_credential_that_was_replaced_meanwhile_is_not_replaced_again():
    kept = Kept()

    def call(others: int, *, credential: Credentials) -> object:
        if credential["token"] == f"{SECRET}.1":
            for _ in range(others):
                kept.manager.call_with_auth(call, 0)
            raise InfraAuthenticationError("refused")
        return credential["token"]

    assert kept.manager.call_with_auth(call, 1) == f"{SECRET}.2"
    assert kept.issuer.calls == 2


def test_a_second_refusal_goes_through_after_two_calls_and_one_replacement():
    kept = Kept()
    kept.get()
    calls = 0

    def use(credential: Credentials) -> None:
        nonlocal calls
        calls += 1
        raise InfraAuthenticationError(f"refused {calls}")

    with pytest.raises(InfraAuthenticationError, match="refused 2"):
        kept.manager.call_with_auth(use)
    assert (calls, kept.issuer.calls) == (2, 2)


@pytest.mark.parametrize("error", [ValueError, ConnectionError, TimeoutError])
def test_every_other_error_goes_through_and_replaces_nothing(error):
    kept = Kept()

    def use(credential: Credentials) -> None:
        raise error

    with pytest.raises(error):
        kept.manager.call_with_auth(use)
    assert kept.issuer.calls == 1


async def coroutine(credential: Credentials) -> None:
    pass


def test_an_async_function_is_refused():
    with pytest.raises(TypeError, match="returned a coroutine"):
        Kept().manager.call_with_auth(coroutine)


# A failing issuer


def test_a_failing_issuer_is_an_authentication_error_that_holds_no_secret():
    kept = Kept()
    kept.issuer.error = broken = ConnectionError(SECRET)
    with pytest.raises(InfraAuthenticationError) as caught:
        kept.get()
    error = caught.value
    assert error.__cause__ is broken
    assert error.message == "Failed to refresh authentication credentials (ConnectionError)"
    assert (error.context.transport_type, error.context.operation, error.context.target_name) == (
        EnumInfraTransportType.VAULT,
        "credential_refresh",
        "Issuer",
    )
    assert SECRET not in error.model_dump_json()


def test_a_credential_that_has_not_ended_serves_on_while_the_issuer_fails():
    kept = Kept(3600)
    kept.get()
    kept.issuer.error = ConnectionError()
    assert kept.get(3400) == f"{SECRET}.1"
    with pytest.raises(InfraAuthenticationError):
        kept.get(200)
    kept.issuer.error = None
    assert kept.get() == f"{SECRET}.4"


def test_a_credential_that_serves_on_is_announced():
    kept = Kept(3600)
    kept.get()
    kept.issuer.error = ConnectionError()
    events: list[ModelResilienceEvent] = []
    stop = add_observer(events.append, inline=True)
    try:
        kept.get(3400)
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.policy) == (EnumResilienceEvent.FALLBACK_USED, "credential_refresh")
    assert (event.failure_kind, event.error_type) == (EnumFailureKind.CONNECTION, "ConnectionError")


def test_a_refused_credential_does_not_serve_on_while_the_issuer_fails():
    kept = Kept(3600)
    kept.get()
    kept.issuer.error = ConnectionError()

    def use(credential: Credentials) -> None:
        raise InfraAuthenticationError("401")

    with pytest.raises(InfraAuthenticationError, match="Failed to refresh") as caught:
        kept.manager.call_with_auth(use)
    assert isinstance(caught.value.__cause__, ConnectionError)


@pytest.mark.parametrize("ttl", [-1, float("nan"), True, SECRET, [1]])
def test_a_lifetime_that_is_none_is_refused_without_being_shown(ttl):
    with pytest.raises(InfraAuthenticationError) as caught:
        Kept(ttl).get()
    assert isinstance(caught.value.__cause__, ProtocolConfigurationError)
    assert "ttl_seconds = " in str(caught.value.__cause__)
    assert "must be a number of seconds, 0 or more" in str(caught.value.__cause__)
    assert SECRET not in str(caught.value.__cause__)


def test_an_issuer_that_returns_no_mapping_is_refused():
    class Broken:
        def refresh_credential(self) -> object:
            return SECRET

    build: Callable[..., CredentialRefreshManager[Credentials]] = CredentialRefreshManager
    with pytest.raises(InfraAuthenticationError) as caught:
        build(Broken()).get_valid_credential()
    assert str(caught.value.__cause__).endswith("refresh_credential() = (a str, not shown): must be a mapping")


# Settings and events


def test_the_shipped_numbers_and_their_overriding(monkeypatch):
    assert CredentialRefreshManager(Issuer()).config == ModelCredentialRefreshConfig()
    shipped = ModelCredentialRefreshConfig()
    assert (shipped.refresh_threshold_seconds, shipped.max_threshold_share, shipped.ttl_seconds) == (300, 0.5, 3600)
    monkeypatch.setenv("ONEX_RESILIENCE__DEFAULTS__CREDENTIAL_REFRESH__TTL_SECONDS", "60")
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__CREDENTIAL_REFRESH__MAX_THRESHOLD_SHARE", "0.2")
    try:
        manager = CredentialRefreshManager(Issuer(), 10, service="orders")
    finally:
        monkeypatch.undo()
        load_presets()
    assert manager.config == ModelCredentialRefreshConfig(
        refresh_threshold_seconds=10, max_threshold_share=0.2, ttl_seconds=60
    )
    assert manager.name == "orders"


async def issue() -> Credentials:
    return {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"credential_provider": SECRET}, r"credential_provider = \(a str, not shown\): must be an object whose"),
        ({"credential_provider": type("Async", (), {"refresh_credential": issue})()}, "is a plain function"),
        ({"refresh_threshold_seconds": -1}, "refresh_threshold_seconds = -1: must be a finite number, 0 or more"),
        ({"refresh_threshold_seconds": SECRET}, r"refresh_threshold_seconds = \(a str, not shown\)"),
        ({"clock": 3}, "clock = 3: must be a function"),
        ({"transport": "vault"}, "transport = .* must be an EnumInfraTransportType"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    build: Callable[..., CredentialRefreshManager[Credentials]] = CredentialRefreshManager
    with pytest.raises(ProtocolConfigurationError, match=message):
        build(**{"credential_provider": Issuer(), **settings})


def test_each_replacement_is_announced_without_the_credential():
    events: list[ModelResilienceEvent] = []
    stop = add_observer(events.append, inline=True)
    try:
        kept = Kept(60)
        kept.get()
        kept.get()
        kept.get(60)
    finally:
        stop()
    assert [event.kind for event in events] == [EnumResilienceEvent.CREDENTIAL_REFRESHED] * 2
    assert {event.name for event in events} == {"Issuer"}
    assert SECRET not in "".join(event.model_dump_json() for event in events)
    assert SECRET not in repr(kept.manager)


def test_an_issuer_that_asks_its_own_manager_fails_in_place_of_a_deadlock():
    class Circular:
        def refresh_credential(self) -> Credentials:
            return manager.get_valid_credential()

    manager = CredentialRefreshManager(Circular())
    with pytest.raises(InfraAuthenticationError):
        manager.get_valid_credential()


def test_no_exception_is_kept_alive():
    class LostError(ConnectionError):
        pass

    kept = Kept(3600)
    kept.get()
    gc.disable()
    try:
        for after in (3400, 200):
            kept.issuer.error = LostError()
            gone = weakref.ref(kept.issuer.error)
            try:
                kept.get(after)
            except InfraAuthenticationError:
                assert after == 200
            kept.issuer.error = None
            assert gone() is None
    finally:
        gc.enable()
