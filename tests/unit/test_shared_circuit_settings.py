"""`shared=` and its numbers: where they come from, what is refused, and that no password is shown."""

from __future__ import annotations

import pytest

pytest.importorskip("valkey", reason="valkey is not installed")

from tests.support.circuits import fresh

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    create_consul_circuit_breaker,
    create_database_circuit_breaker,
    create_grpc_circuit_breaker,
    create_kafka_circuit_breaker,
    create_network_circuit_breaker,
    create_valkey_circuit_breaker,
    create_vault_circuit_breaker,
)
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig
from omnibase_infra.presets import load_presets
from omnibase_infra.utils.util_store_url import shown_url

URL = "redis://user:hunter2@127.0.0.1:1/0"
FACTORIES = [
    create_consul_circuit_breaker,
    create_database_circuit_breaker,
    create_grpc_circuit_breaker,
    create_kafka_circuit_breaker,
    create_network_circuit_breaker,
    create_valkey_circuit_breaker,
    create_vault_circuit_breaker,
]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_every_factory_shares_its_circuit(factory, scheme):
    breaker = factory(name=fresh("shared"), shared=f"{scheme}://127.0.0.1:1")
    assert breaker.config.shared.url.get_secret_value() == f"{scheme}://127.0.0.1:1"
    assert breaker.config.shared.quorum == ModelSharedCircuitConfig().quorum == 2


def test_without_shared_a_circuit_is_of_this_process_alone():
    assert create_database_circuit_breaker().config.shared is None


def test_a_password_is_never_shown():
    breaker = create_database_circuit_breaker(name=fresh("secret"), shared=URL)
    shown = [repr(breaker.config), str(breaker.config.shared), repr(breaker.settings), repr(breaker.snapshot())]
    assert "hunter2" not in "".join(shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "redis://127.0.0.1:1/0"),
        ("valkeys://:pw@cache.example.com/3?password=pw", "valkeys://cache.example.com/3"),
    ],
)
def test_a_url_is_shown_without_who_logs_in_and_with_what_options(url, shown):
    assert shown_url(url) == shown


@pytest.mark.parametrize("url", ["http://hunter2", "hunter2", "", "redis://", "redis://h:hunter2", "redis://h:0", 5])
def test_what_is_no_url_of_a_store_is_refused_and_not_shown(url):
    with pytest.raises(ProtocolConfigurationError, match=r"url = .*must be a URL such as redis://") as caught:
        create_database_circuit_breaker(name="wrong", shared=url)
    assert "hunter2" not in str(caught.value)


def test_a_shared_circuit_needs_the_name_that_the_others_know_it_by():
    with pytest.raises(ProtocolConfigurationError, match="name: is needed with shared"):
        create_database_circuit_breaker(shared=URL)


def test_a_breaker_made_of_a_config_needs_the_name_too():
    with pytest.raises(ProtocolConfigurationError, match="name: is needed with shared"):
        InfrastructureCircuitBreaker(ModelCircuitBreakerConfig(shared=ModelSharedCircuitConfig(url=URL)))


def test_circuits_of_keys_cannot_be_shared():
    with pytest.raises(ProtocolConfigurationError, match="key: cannot go with shared"):
        create_database_circuit_breaker(name="keyed", shared=URL, key=str)


@pytest.mark.parametrize("quorum", [0, -1, 1.5])
def test_a_quorum_is_a_whole_number_of_workers(quorum):
    with pytest.raises(ProtocolConfigurationError, match=r"quorum = .*: must be a whole number, 1 or more"):
        create_database_circuit_breaker(name="few", shared=URL, quorum=quorum)


def test_a_quorum_without_shared_is_refused():
    with pytest.raises(ProtocolConfigurationError, match="quorum: is of no use without shared"):
        create_database_circuit_breaker(name="alone", quorum=3)


def test_the_environment_and_the_file_can_share_a_circuit_and_an_argument_can_keep_it(monkeypatch, tmp_path):
    file = tmp_path / "presets.toml"
    file.write_text("[services.orders.circuit_breaker.shared]\nquorum = 3\n", encoding="utf-8")
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__CIRCUIT_BREAKER__SHARED__URL", URL)
    try:
        load_presets(file)
        shared = create_database_circuit_breaker(name=fresh("env"), service="orders").config.shared
        assert (shared.url.get_secret_value(), shared.quorum) == (URL, 3)
        assert create_database_circuit_breaker(shared=None, service="orders").config.shared is None
    finally:
        monkeypatch.delenv("ONEX_RESILIENCE__DATABASE__CIRCUIT_BREAKER__SHARED__URL")
        load_presets()


def test_where_a_preset_shares_circuits_only_those_with_a_name_are(monkeypatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__CIRCUIT_BREAKER__SHARED__URL", URL)
    assert create_database_circuit_breaker().config.shared is None
    assert create_database_circuit_breaker(name=fresh("keyed"), key=lambda: 1).config.shared is None
    assert create_database_circuit_breaker(name=fresh("named")).config.shared is not None


def test_the_environment_s_wrong_url_is_refused_by_the_name_of_its_variable(monkeypatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__CIRCUIT_BREAKER__SHARED__URL", "http://hunter2")
    with pytest.raises(ProtocolConfigurationError, match="SHARED__URL") as caught:
        create_database_circuit_breaker(name=fresh("env"))
    assert "hunter2" not in str(caught.value)


def test_two_breakers_of_one_name_must_share_in_the_same_way():
    name = fresh("twice")
    kept = create_database_circuit_breaker(name=name, shared=URL)
    assert create_database_circuit_breaker(name=name, shared=URL) is kept
    with pytest.raises(ProtocolConfigurationError, match="another shared"):
        create_database_circuit_breaker(name=name)
