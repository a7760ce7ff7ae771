"""`shared=` and its numbers: where they come from, what is refused, and that no password is shown."""

from __future__ import annotations

import re
from enum import Enum
from uuid import UUID

import pytest

pytest.importorskip("valkey", reason="valkey is not installed")

from tests.support.circuits import fresh

from omnibase_infra.enums import EnumUnset
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    KeyedCircuitBreaker,
    create_consul_circuit_breaker,
    create_database_circuit_breaker,
    create_database_resilience,
    create_grpc_circuit_breaker,
    create_kafka_circuit_breaker,
    create_network_circuit_breaker,
    create_valkey_circuit_breaker,
    create_vault_circuit_breaker,
)
from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import name_of_key
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import circuit_keys
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig
from omnibase_infra.presets import load_presets
from omnibase_infra.utils.util_store_url import parse_store_url, shown_url

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
        ("redis+sentinel://u:p@w1:1,w2:2/orders?password=pw", "redis+sentinel://w1:1,w2:2/orders"),
        ("valkey+cluster://:p%40@[::1]:1,n2", "valkey+cluster://[::1]:1,n2"),
        ("redis+unix://:pw@/run/valkey.sock", "redis+unix:///run/valkey.sock"),
        ("http://hunter2", ""),
    ],
)
def test_a_url_is_shown_without_who_logs_in_and_with_what_options(url, shown):
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis://h", (("h", 6379),)),
        ("valkey://[::1]:1/0", (("::1", 1),)),
        ("redis+sentinel://w1,w2:2/orders", (("w1", 26379), ("w2", 2))),
        ("redis+cluster://n1:65535,[::1]", (("n1", 65535), ("::1", 6379))),
        ("valkey+unix:///run/valkey.sock", ()),
    ],
)
def test_a_url_names_hosts_each_with_the_usual_port_unless_it_has_one(url, hosts):
    assert parse_store_url(url).hosts == hosts


@pytest.mark.parametrize(
    "url",
    [
        *("http://hunter2", "hunter2", "", "redis://", "redis://h:hunter2", "redis://h:0", "redis://h:65536", 5),
        *("redis://a:1,b:2", "redis+sentinel://w:1", "redis+sentinel:///orders", "redis+sentinel://w:1/"),
        *("redis+cluster://", "redis+unix://h/x", "redis+unix://", "rediss+cluster://h", "redis+tls://hunter2"),
        *("redis://:hunter2/@h", "redis+cluster://a:1,,b:2", "redis://h\n"),
    ],
)
def test_what_is_no_url_of_a_store_is_refused_and_not_shown(url):
    with pytest.raises(ProtocolConfigurationError, match=r"url = .*must be a URL such as redis://") as caught:
        create_database_circuit_breaker(name="wrong", shared=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", ["redis://h/0", "redis+sentinel://w/orders", "redis+cluster://n"])
def test_a_url_whose_options_the_client_refuses_is_refused_at_once_and_not_shown(kind):
    with pytest.raises(
        ProtocolConfigurationError, match=r"shared: the client refuses the URL \(ValueError\)"
    ) as caught:
        create_database_circuit_breaker(name=fresh("wrong"), shared=f"{kind}?max_connections=hunter2")
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_shared_circuit_needs_the_name_that_the_others_know_it_by():
    with pytest.raises(ProtocolConfigurationError, match="name: is needed with shared"):
        create_database_circuit_breaker(shared=URL)


def test_a_breaker_made_of_a_config_needs_the_name_too():
    with pytest.raises(ProtocolConfigurationError, match="name: is needed with shared"):
        InfrastructureCircuitBreaker(ModelCircuitBreakerConfig(shared=ModelSharedCircuitConfig(url=URL)))


def test_the_circuits_of_keys_are_shared_too():
    breaker = create_database_circuit_breaker(name=fresh("keyed"), shared=URL, key=lambda host: host, quorum=3)
    assert (breaker.config.shared.url.get_secret_value(), breaker.config.shared.quorum) == (URL, 3)
    assert "hunter2" not in repr(breaker.settings)


def test_a_breaker_with_keys_needs_the_name_too():
    with pytest.raises(ProtocolConfigurationError, match="name: is needed with shared"):
        create_database_circuit_breaker(shared=URL, key=lambda host: host)


def test_a_breaker_with_keys_made_by_hand_is_told_itself_how_to_share():
    shared = ModelSharedCircuitConfig(url=URL)
    template = InfrastructureCircuitBreaker(ModelCircuitBreakerConfig(shared=shared), name=fresh("template"))
    with pytest.raises(ProtocolConfigurationError, match=r"template = .*: must be a breaker that is not shared itself"):
        KeyedCircuitBreaker(template, key=lambda host: host)
    with pytest.raises(ProtocolConfigurationError, match="name = None: must be text, by which workers share"):
        KeyedCircuitBreaker(InfrastructureCircuitBreaker(), key=lambda host: host, shared=shared)


class Colour(Enum):
    RED = 1


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


EQUAL_KEYS = [("db1", Text("db1")), (1, True), (("a", 1), (Text("a"), True))]
DIFFERENT_KEYS = [
    ("1", 1),
    (("a", "b"), "a,b"),
    (("a", "b"), ("a,b",)),
    (("a,t1:b",), ("a", "b")),
    (b"a", "a"),
    (None, "None"),
    (Colour.RED, 1),
    (UUID(int=1), str(UUID(int=1))),
    ("a", "b"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL_KEYS)
def test_equal_keys_are_one_circuit_in_the_store(one, other):
    assert name_of_key("orders", one) == name_of_key("orders", other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT_KEYS)
def test_different_keys_are_different_circuits_in_the_store(one, other):
    assert name_of_key("orders", one) != name_of_key("orders", other)


def test_the_name_of_a_key_s_circuit_is_the_same_in_every_process_and_tells_nothing_of_the_key():
    assert name_of_key("orders", "jane@example.com") == "orders #b3bbe406d33f2d60"


@pytest.mark.parametrize("key", [object(), frozenset({"a"}), 1.5, ("a", object())])
def test_a_key_that_may_look_different_elsewhere_is_refused_and_not_shown(key):
    breaker = create_database_circuit_breaker(name=fresh("odd"), shared=URL, key=lambda key: key)
    with pytest.raises(ProtocolConfigurationError, match=r"key = .*: must be text, bytes, a whole number"):
        breaker.call(lambda key: key, key)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("orders", "{orders}"),
        ("my {orders} db", "my {orders} db"),
        ("a}b", "{a}b}"),
        ("}b", "{circuit}}b"),
        ("{}", "{{}}"),
        ("orders #0123456789abcdef", "{orders} #0123456789abcdef"),
        ("{x} y #0123456789abcdef", "{x} y #0123456789abcdef"),
        ("orders #12", "{orders #12}"),
    ],
)
def test_in_a_cluster_the_keys_of_a_circuit_lie_together(name, keys):
    placed = circuit_keys(name, is_cluster=True)
    assert placed[0] == f"{keys}:pybreaker:state"
    assert len({tag.group(1) for tag in map(re.compile(r"^[^{]*\{([^}]+)\}").match, placed)}) == 1
    assert circuit_keys(name)[0] == f"{name}:pybreaker:state", "on one server the name is pybreaker's namespace"


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
    assert create_database_circuit_breaker(key=lambda: 1).config.shared is None
    assert create_database_circuit_breaker(name=fresh("keyed"), key=lambda: 1).config.shared is not None
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


def test_a_pipeline_shares_the_circuit_of_its_breaker_by_its_name():
    pipeline = create_database_resilience(name=fresh("pipeline"), shared=URL, quorum=3)
    (breaker,) = (policy for policy in pipeline.policies if isinstance(policy, InfrastructureCircuitBreaker))
    assert (breaker.config.shared.url.get_secret_value(), breaker.config.shared.quorum) == (URL, 3)
    assert "hunter2" not in f"{pipeline!r}{pipeline}{pipeline.explain()!r}"


def test_a_pipeline_can_keep_a_circuit_that_the_preset_shares(monkeypatch):
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__CIRCUIT_BREAKER__SHARED__URL", URL)
    for shared, expected in ((EnumUnset.UNSET, True), (None, False)):
        pipeline = create_database_resilience(name=fresh("kept"), shared=shared)
        (breaker,) = (policy for policy in pipeline.policies if isinstance(policy, InfrastructureCircuitBreaker))
        assert (breaker.config.shared is not None) == expected


def test_a_pipeline_that_shares_needs_a_name():
    with pytest.raises(ProtocolConfigurationError, match="name: is needed with shared"):
        create_database_resilience("orders", shared=URL)


@pytest.mark.parametrize(("argument", "value"), [("shared", URL), ("quorum", 3)])
def test_how_a_given_breaker_is_shared_is_for_it_to_say(argument, value):
    with pytest.raises(ProtocolConfigurationError, match=f"{argument} = .*: must be given to the circuit br"):
        create_database_resilience(circuit_breaker=create_database_circuit_breaker(), **{argument: value})
    with pytest.raises(ProtocolConfigurationError, match=f"{argument} = .*: must be None, since there is no"):
        create_database_resilience(circuit_breaker=None, **{argument: value})
    assert create_database_resilience(circuit_breaker=None, **{argument: None})
