"""asyncpg, psycopg, psycopg2 and SQLAlchemy around each, against a real PostgreSQL: all that it and the wire can do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

pytest.importorskip("asyncpg", reason="asyncpg is not installed")
pytest.importorskip("psycopg", reason="psycopg is not installed")
pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
pytest.importorskip("psycopg_pool", reason="psycopg_pool is not installed")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install 'sqlalchemy[asyncio]'")

import asyncpg
import psycopg
import psycopg2.pool
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.postgres_drivers import DRIVERS, HOST, Driver, Expected, Sqlalchemy, Step, done
from tests.transports.situations import asyncpg as asyncpg_rows
from tests.transports.situations import psycopg as psycopg_rows
from tests.transports.situations import psycopg2 as psycopg2_rows
from tests.transports.situations import sqlalchemy as sqlalchemy_rows

from omnibase_infra.cli.demo.postgres_server import PostgresServer
from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelOnexError,
)
from omnibase_infra.infrastructure.resilience import (
    InfrastructureRetryPolicy,
    Timeout,
    create_database_circuit_breaker,
    create_database_retry_policy,
    create_database_timeout,
)
from omnibase_infra.infrastructure.resilience.transports import failure_of

pytestmark = pytest.mark.integration

ROWS = {
    (row.driver, row.situation): row
    for rows in (asyncpg_rows, psycopg_rows, psycopg2_rows, sqlalchemy_rows)
    for row in rows.SITUATIONS
}

every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=str)
ASYNCPG = DRIVERS[0]
BLOCKING = next(driver for driver in DRIVERS if driver.row == "psycopg" and not driver.asynchronous)


def check(driver: Driver, situation: str, error: BaseException, code: str | None = None) -> None:
    """The real exception is classified as the table says; without a row of its own it is the wrapped driver's."""
    row = ROWS.get((driver.row, situation)) or ROWS[driver.row.rpartition(" ")[2], situation]
    failure = failure_of(error, Transport.DATABASE)
    assert (failure.kind, failure.sent, failure.code) == (row.kind, row.sent, code), repr(error)
    assert not str(error) or str(error) not in failure.decided_by


@pytest.fixture(scope="module")
def shared_server(postgres_binaries: None) -> Iterator[PostgresServer]:
    with PostgresServer({"max_connections": "12", "superuser_reserved_connections": "3"}) as running:
        with admin(running) as control:
            control.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
            control.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
            control.execute("CREATE TABLE child (t int REFERENCES t)")
            control.execute("CREATE TABLE plan (id int)")
            control.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
            control.execute("CREATE ROLE nobody NOLOGIN PASSWORD 'app'")
            control.execute("CREATE ROLE busy LOGIN PASSWORD 'app' CONNECTION LIMIT 0")
            control.execute("CREATE DATABASE closed")
            control.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        yield running


@pytest.fixture
def server(shared_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that every test leaves as it found it."""
    yield shared_server
    # The backend of a connection that was cut works on: it notices when it has an answer to send.
    on_each_other_backend(shared_server, "pg_terminate_backend")


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as between:
        yield between


@contextlib.contextmanager
def admin(server: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.dsn, autocommit=True, application_name="admin") as connection:
        yield connection


_OTHERS = "pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name <> 'admin'"


def until(holds: Callable[[], object]) -> object:
    deadline = time.monotonic() + 5
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise AssertionError("what the test waits for did not happen")
        time.sleep(0.002)
    return value


@contextlib.contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def pid_of(control: psycopg.Connection, condition: str) -> int | None:
    row = control.execute(f"SELECT pid FROM pg_stat_activity WHERE {_OTHERS} AND {condition}").fetchone()
    return row[0] if row else None


def in_mid_query(driver: Driver, server: PostgresServer, port: int, act: Callable[[int], object]) -> BaseException:
    """What a query raises when something happens while the server works on it; `act` gets the backend's process id."""

    def when_it_runs() -> None:
        with admin(server) as control:
            pid = until(lambda: pid_of(control, "state = 'active' AND query LIKE '%pg_sleep%'"))
        act(pid)

    with meanwhile(when_it_runs):
        return driver.failure(port, "SELECT 1", "SELECT pg_sleep(5)", password=server.password)


def while_idle(driver: Driver, server: PostgresServer, port: int, act: Callable[[], object]) -> BaseException:
    return driver.failure(port, "SELECT 1", act, "SELECT 1", password=server.password)


def on_each_other_backend(server: PostgresServer, function: str) -> None:
    """Have the server act on the connections under test, and wait until it has when it ends them."""
    with admin(server) as control:
        control.execute(f"SELECT {function}(pid) FROM pg_stat_activity WHERE {_OTHERS}")
        if function == "pg_terminate_backend":
            until(lambda: pid_of(control, "true") is None)


# --- the server answers with an error ----------------------------------------------------------------------------


SIMPLE = (
    ("statement time-out", "57014", ("SET statement_timeout = 30", "SELECT pg_sleep(5)")),
    ("read-only transaction", "25006", ("SET default_transaction_read_only = on", "INSERT INTO t VALUES (3, 0)")),
    ("insufficient privilege", "42501", ("SET ROLE app", "SELECT * FROM t")),
    ("unique violation", "23505", ("INSERT INTO t VALUES (1, 0)",)),
    ("foreign key violation", "23503", ("INSERT INTO child VALUES (99)",)),
    ("syntax error", "42601", ("SELECT 'hunter2' FROMM t",)),
    ("unknown table", "42P01", ("SELECT * FROM nope",)),
    ("division by zero", "22012", ("SELECT 1/0",)),
    ("invalid value", "22P02", ("SELECT 'hunter2'::int",)),
    (
        "temporary files over their limit",
        "53400",
        ("SET work_mem = '64kB'", "SET temp_file_limit = 64", "SELECT * FROM generate_series(1, 100000) n ORDER BY -n"),
    ),
)


@every_driver
@pytest.mark.parametrize(("situation", "code", "steps"), SIMPLE, ids=[row[0] for row in SIMPLE])
def test_the_server_answers_with_an_error(
    driver: Driver, server: PostgresServer, situation: str, code: str, steps: tuple[Step, ...]
) -> None:
    check(driver, situation, driver.failure(server.port, *steps, password=server.password), code)


@every_driver
def test_statement_in_a_failed_transaction(driver: Driver, server: PostgresServer) -> None:
    error = driver.failure(server.port, "BEGIN", Expected("SELECT 1/0"), "SELECT 1", password=server.password)
    check(driver, "failed transaction", error, "25P02")


@every_driver
@pytest.mark.parametrize(
    ("situation", "steps"),
    [
        ("lock time-out", ("SET lock_timeout = 30", "SELECT * FROM t WHERE id = 1 FOR UPDATE")),
        ("row locked, NOWAIT", ("SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT",)),
    ],
)
def test_a_row_that_another_holds(
    driver: Driver, server: PostgresServer, situation: str, steps: tuple[Step, ...]
) -> None:
    with admin(server) as holder, holder.transaction():
        holder.execute("SELECT * FROM t WHERE id = 1 FOR UPDATE")
        error = driver.failure(server.port, *steps, password=server.password)
    check(driver, situation, error, "55P03")


@every_driver
def test_serialization_failure(driver: Driver, server: PostgresServer) -> None:
    def overtake() -> None:
        with admin(server) as other:
            other.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    error = driver.failure(
        server.port,
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "SELECT * FROM t",
        overtake,
        "UPDATE t SET n = n + 1 WHERE id = 1",
        password=server.password,
    )
    check(driver, "serialization failure", error, "40001")


@every_driver
def test_deadlock(driver: Driver, server: PostgresServer) -> None:
    with admin(server) as other, other.transaction(force_rollback=True), contextlib.ExitStack() as crossing:
        other.execute("SET LOCAL deadlock_timeout = '1min'")  # so that the connection under test is the victim
        other.execute("UPDATE t SET n = 1 WHERE id = 2")

        def cross() -> None:
            crossing.enter_context(meanwhile(lambda: other.execute("UPDATE t SET n = 1 WHERE id = 1")))
            with admin(server) as control:
                until(lambda: control.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())

        error = driver.failure(
            server.port,
            "SET deadlock_timeout = 10",
            "BEGIN",
            "UPDATE t SET n = 2 WHERE id = 1",
            cross,
            "UPDATE t SET n = 2 WHERE id = 2",
            password=server.password,
        )
    check(driver, "deadlock", error, "40P01")


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if not driver.is_psycopg2], ids=str)
def test_stale_cached_plan(driver: Driver, server: PostgresServer) -> None:
    def change() -> None:
        with admin(server) as other:
            other.execute("ALTER TABLE plan ALTER id TYPE text")

    with admin(server) as control:
        control.execute("ALTER TABLE plan ALTER id TYPE int USING 1")
    select = "SELECT * FROM plan"
    error = driver.failure(server.port, *[select] * 6, change, "BEGIN", select, password=server.password)
    check(driver, "stale cached plan", error, "0A000")


@every_driver
def test_query_cancelled_by_a_user(driver: Driver, server: PostgresServer) -> None:
    error = in_mid_query(driver, server, server.port, lambda _: on_each_other_backend(server, "pg_cancel_backend"))
    check(driver, "cancelled by a user", error, "57014")


# --- connecting --------------------------------------------------------------------------------------------------


@every_driver
def test_refused(driver: Driver, proxy: FaultProxy) -> None:
    proxy.fault = Fault.REFUSE
    check(driver, "refused", driver.failure(proxy.port, password="x"))


@every_driver
def test_unknown_host(driver: Driver) -> None:
    check(driver, "unknown host", driver.failure(5432, host="no-such-host.invalid", password="x"))


@every_driver
@pytest.mark.parametrize("fault", [Fault.RESET_ON_ACCEPT, Fault.CLOSE_ON_ACCEPT])
def test_reset_or_closed_while_connecting(driver: Driver, proxy: FaultProxy, fault: Fault) -> None:
    proxy.fault = fault
    error = driver.failure(proxy.port, password="x")
    if type(error).__module__ == "builtins":  # asyncpg negotiates TLS before its own protocol stands
        assert driver.is_asyncpg
        check(driver, "lost while negotiating TLS", error)
    else:
        check(driver, "lost while connecting", error, lost_code(driver))


@every_driver
def test_not_a_postgresql_server(driver: Driver) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as port:
        error = driver.failure(port, password="x")
    check(driver, "not a PostgreSQL server", error)


def check_ended(driver: Driver, situation: str, error: BaseException, code: str) -> None:
    """psycopg reads the last words of a server that hangs up; psycopg2 only hears that it was hung up on.

    So does asyncpg now and then, when it trips over its own protocol meanwhile.
    """
    if driver.is_psycopg2 or (driver.is_asyncpg and failure_of(error).code is None):
        check(driver, "lost in mid-query", error)
    else:
        check(driver, situation, error, code)


def lost_code(driver: Driver) -> str | None:
    """asyncpg puts an SQLSTATE of its own on a connection that was lost."""
    return "08003" if driver.is_asyncpg else None


def server_code(driver: Driver, code: str) -> str | None:
    """libpq loses the server's SQLSTATE while connecting."""
    return code if driver.is_asyncpg else None


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A port at which every request gets this answer and the end of the connection."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


DENIED = (
    ("wrong password", "28P01", {"password": "hunter2"}),
    ("wrong password", "28P01", {"password": "x", "user": "ghost"}),
    ("role may not log in", "28000", {"password": "app", "user": "nobody"}),
    ("database not permitted", "42501", {"password": "app", "user": "app", "database": "closed"}),
    ("unknown database", "3D000", {"database": "nope"}),
    ("too many connections of a role", "53300", {"password": "app", "user": "busy"}),
)


@every_driver
@pytest.mark.parametrize(("situation", "code", "settings"), DENIED, ids=[str(row[::2]) for row in DENIED])
def test_the_server_lets_nobody_in(
    driver: Driver, server: PostgresServer, situation: str, code: str, settings: dict[str, object]
) -> None:
    error = driver.failure(server.port, **{"password": server.password, **settings})
    check(driver, situation, error, server_code(driver, code))


@every_driver
def test_no_password_given(driver: Driver, server: PostgresServer) -> None:
    failure = failure_of(driver.failure(server.port), Transport.DATABASE)
    assert (failure.kind, failure.sent) == (Kind.AUTHENTICATION, False)


@every_driver
def test_no_slot_is_free(driver: Driver, server: PostgresServer) -> None:
    with contextlib.ExitStack() as busy:
        for _ in range(9):
            busy.enter_context(admin(server))
        reserved = driver.failure(server.port, user="app", password="app")
        for _ in range(3):
            busy.enter_context(admin(server))
        all_taken = driver.failure(server.port, password=server.password)
    check(driver, "free slots are reserved", reserved, server_code(driver, "53300"))
    check(driver, "too many clients", all_taken, server_code(driver, "53300"))


@every_driver
def test_no_host_in_the_wanted_role(driver: Driver, server: PostgresServer) -> None:
    with admin(server) as control:
        control.execute("ALTER ROLE app SET default_transaction_read_only = on")
    error = driver.failure(server.port, user="app", password="app", target_session_attrs="read-write")
    check(driver, "no host in the wanted role", error)


@every_driver
def test_server_without_tls(driver: Driver, server: PostgresServer) -> None:
    tls = {"ssl": "require"} if driver.is_asyncpg else {"sslmode": "require"}
    check(driver, "server without TLS", driver.failure(server.port, password=server.password, **tls))


def test_connect_time_out_on_a_frozen_server(own_server: PostgresServer) -> None:
    own_server.pause()

    async def all_at_once() -> list[BaseException]:
        return await asyncio.gather(
            *(
                asyncio.to_thread(
                    driver.failure,
                    own_server.port,
                    password="x",
                    # psycopg takes whole seconds, and at least two.
                    **({"timeout": 0.2} if driver.is_asyncpg else {"connect_timeout": 1}),
                )
                for driver in DRIVERS
            )
        )

    for driver, error in zip(DRIVERS, asyncio.run(all_at_once()), strict=True):
        check(driver, "connect time-out", error)


@every_driver
def test_server_that_shuts_down(driver: Driver, server_to_spare: PostgresServer) -> None:
    with admin(server_to_spare):  # a smart shutdown waits for it
        assert server_to_spare.pid is not None
        os.kill(server_to_spare.pid, signal.SIGTERM)
        until(lambda: "shutting down" in str(unless_let_in(BLOCKING, server_to_spare)))
        error = driver.failure(server_to_spare.port, password=server_to_spare.password)
    check(driver, "shutting down", error, server_code(driver, "57P03"))


def unless_let_in(driver: Driver, server: PostgresServer) -> BaseException | None:
    try:
        return driver.failure(server.port, password=server.password)
    except AssertionError:
        return None


@every_driver
def test_server_that_recovers_from_a_crash(driver: Driver, server_to_spare: PostgresServer) -> None:
    with psycopg.connect(server_to_spare.dsn) as killed, psycopg.connect(server_to_spare.dsn) as frozen:
        # The recovery cannot begin before every backend has ended.
        os.kill(frozen.info.backend_pid, signal.SIGSTOP)
        try:
            os.kill(killed.info.backend_pid, signal.SIGKILL)
            until(lambda: "recovery mode" in str(unless_let_in(BLOCKING, server_to_spare)))
            error = driver.failure(server_to_spare.port, password=server_to_spare.password)
        finally:
            os.kill(frozen.info.backend_pid, signal.SIGCONT)
    check(driver, "in crash recovery", error, server_code(driver, "57P03"))


# --- connections that go away ------------------------------------------------------------------------------------


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> PostgresServer:
    """A server that the test may break."""
    return postgres_server


@pytest.fixture(scope="module")
def spare(postgres_binaries: None) -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def server_to_spare(spare: PostgresServer) -> Iterator[PostgresServer]:
    """A server that the test may break; it is mended afterwards, which is quicker than making another."""
    spare.start()
    until(lambda: accepts(spare))
    yield spare
    spare.resume()
    spare.kill()


def accepts(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.dsn).close()
    except psycopg.OperationalError:
        return False
    return True


@every_driver
@pytest.mark.parametrize("end", ["reset_connections", "close_connections"])
def test_lost_in_mid_query(driver: Driver, server: PostgresServer, proxy: FaultProxy, end: str) -> None:
    error = in_mid_query(driver, server, proxy.port, lambda _: getattr(proxy, end)())
    check(driver, "lost in mid-query", error, lost_code(driver))


@every_driver
@pytest.mark.parametrize("end", ["reset_connections", "close_connections"])
def test_lost_while_idle(driver: Driver, server: PostgresServer, proxy: FaultProxy, end: str) -> None:
    check(driver, "lost while idle", while_idle(driver, server, proxy.port, getattr(proxy, end)))


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if not driver.is_asyncpg], ids=str)
def test_answer_out_of_step(driver: Driver, server: PostgresServer, proxy: FaultProxy) -> None:
    def confuse() -> None:
        proxy.garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        proxy.fault = Fault.GARBAGE

    check(driver, "answer out of step", while_idle(driver, server, proxy.port, confuse))


@every_driver
def test_terminated_in_mid_query(driver: Driver, server: PostgresServer) -> None:
    error = in_mid_query(driver, server, server.port, lambda _: on_each_other_backend(server, "pg_terminate_backend"))
    check_ended(driver, "terminated in mid-query", error, "57P01")


@every_driver
def test_terminated_while_idle(driver: Driver, server: PostgresServer) -> None:
    error = while_idle(driver, server, server.port, lambda: on_each_other_backend(server, "pg_terminate_backend"))
    check_ended_while_idle(driver, "terminated while idle", error, "57P01")


def check_ended_while_idle(driver: Driver, situation: str, error: BaseException, code: str) -> None:
    """psycopg reads the server's last words when the connection is used next; the others throw them away."""
    if driver.is_asyncpg or driver.is_psycopg2:
        check(driver, "lost while idle", error)
    else:
        check(driver, situation, error, code)


@every_driver
@pytest.mark.parametrize(
    ("situation", "code", "steps"),
    [
        (
            "idle in transaction for too long",
            "25P03",
            ("SET idle_in_transaction_session_timeout = 20", "BEGIN", "SELECT 1"),
        ),
        ("session idle for too long", "57P05", ("SET idle_session_timeout = 20", "SELECT 1")),
    ],
)
def test_idle_for_too_long(
    driver: Driver, server: PostgresServer, situation: str, code: str, steps: tuple[Step, ...]
) -> None:
    def wait() -> None:
        with admin(server) as control:
            until(lambda: pid_of(control, "true") is None)

    error = driver.failure(server.port, *steps, wait, "SELECT 1", password=server.password)
    check_ended_while_idle(driver, situation, error, code)


@every_driver
def test_transaction_time_out(driver: Driver, server: PostgresServer) -> None:
    error = driver.failure(
        server.port, "SET transaction_timeout = 30", "BEGIN", "SELECT pg_sleep(5)", password=server.password
    )
    check_ended(driver, "transaction time-out", error, "25P04")


@every_driver
def test_used_after_it_was_lost(driver: Driver, server: PostgresServer, proxy: FaultProxy) -> None:
    error = driver.failure(
        proxy.port, "SELECT 1", proxy.reset_connections, Expected("SELECT 1"), "SELECT 1", password=server.password
    )
    if driver.is_sqlalchemy:  # it guards the transaction that was begun on the lost connection
        assert failure_of(error).kind is ROWS["sqlalchemy", "a rollback is due"].kind
    else:
        check(driver, "lost while idle" if driver.is_asyncpg else "used after it was lost", error)


@every_driver
def test_its_backend_crashes(driver: Driver, server_to_spare: PostgresServer) -> None:
    error = in_mid_query(driver, server_to_spare, server_to_spare.port, lambda pid: os.kill(pid, signal.SIGKILL))
    check(driver, "lost in mid-query", error, lost_code(driver))


@every_driver
def test_another_backend_crashes(driver: Driver, server_to_spare: PostgresServer) -> None:
    with psycopg.connect(server_to_spare.dsn, application_name="admin") as other:
        error = in_mid_query(
            driver, server_to_spare, server_to_spare.port, lambda _: os.kill(other.info.backend_pid, signal.SIGKILL)
        )
    check(driver, "lost in mid-query", error, lost_code(driver))


@every_driver
def test_server_is_killed_in_mid_query(driver: Driver, server_to_spare: PostgresServer) -> None:
    error = in_mid_query(driver, server_to_spare, server_to_spare.port, lambda _: server_to_spare.kill())
    # A backend that outlives the postmaster by a moment still says so.
    if failure_of(error).code == "57P01":
        check(driver, "terminated in mid-query", error, "57P01")
    else:
        check(driver, "lost in mid-query", error, lost_code(driver))


@every_driver
def test_server_is_stopped_in_mid_query(driver: Driver, server_to_spare: PostgresServer) -> None:
    error = in_mid_query(driver, server_to_spare, server_to_spare.port, lambda _: server_to_spare.stop())
    check_ended(driver, "terminated in mid-query", error, "57P01")


@every_driver
def test_server_is_killed_while_idle_and_refuses_afterwards(driver: Driver, server_to_spare: PostgresServer) -> None:
    error = while_idle(driver, server_to_spare, server_to_spare.port, server_to_spare.kill)
    if failure_of(error).code == "57P01":
        check(driver, "terminated while idle", error, "57P01")
    else:
        check(driver, "lost while idle", error)
    check(driver, "refused", driver.failure(server_to_spare.port, password="x"))


# --- no answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver.is_asyncpg], ids=str)
def test_no_answer_from_a_frozen_server(driver: Driver, server_to_spare: PostgresServer) -> None:
    error = driver.failure(
        server_to_spare.port,
        "SELECT 1",
        server_to_spare.pause,
        "SELECT 1",
        password=server_to_spare.password,
        command_timeout=0.1,
    )
    check(driver, "no answer in time", error)


@pytest.mark.parametrize("how", ["wait_for", "wait"])
def test_psycopg_overruns_wait_for_on_a_frozen_server_but_not_wait(server_to_spare: PostgresServer, how: str) -> None:
    async def work() -> tuple[bool, BaseException]:
        connection = await psycopg.AsyncConnection.connect(server_to_spare.dsn, autocommit=True)
        thawed = asyncio.Event()
        server_to_spare.pause()
        try:
            query = asyncio.ensure_future(connection.execute("SELECT 1"))
            # Left alone it takes ten seconds: cancelling asks the frozen server to cancel, and then drains.
            thaw = asyncio.create_task(thaw_after_the_time_out(thawed))
            if how == "wait_for":
                with pytest.raises(TimeoutError) as raised:
                    await asyncio.wait_for(query, 0.1)
                error: BaseException = raised.value
            else:
                await asyncio.wait({query}, timeout=0.1)
                error = TimeoutError()
                query.cancel()
            overrun = thawed.is_set()
            await thaw
            await asyncio.gather(query, return_exceptions=True)
            return overrun, error
        finally:
            server_to_spare.resume()
            await connection.close()

    async def thaw_after_the_time_out(thawed: asyncio.Event) -> None:
        await asyncio.sleep(0.6)
        thawed.set()
        server_to_spare.resume()

    overrun, error = asyncio.run(work())
    assert overrun is (how == "wait_for")
    assert failure_of(error, Transport.DATABASE).kind is Kind.TIMEOUT


@pytest.mark.parametrize(
    "policy",
    [create_database_retry_policy(max_elapsed=0.1), create_database_timeout(0.1, abandon=True)],
    ids=["max_elapsed", "abandoning timeout"],
)
def test_psycopg_on_a_frozen_server_is_left_behind_on_time(
    policy: InfrastructureRetryPolicy | Timeout, server_to_spare: PostgresServer
) -> None:
    async def work() -> BaseException:
        connection = await psycopg.AsyncConnection.connect(server_to_spare.dsn, autocommit=True)
        server_to_spare.pause()
        try:
            with pytest.raises(InfraTimeoutError) as raised:
                await policy.call(connection.execute, "SELECT 1")
            left_behind = asyncio.all_tasks() - {asyncio.current_task()}
            assert len(left_behind) == 1  # the caller is back, and psycopg still waits for the frozen server
        finally:
            server_to_spare.resume()
        await asyncio.wait(left_behind)
        await connection.close()
        return raised.value

    assert failure_of(asyncio.run(work()), Transport.DATABASE).kind is Kind.TIMEOUT


# --- pools -------------------------------------------------------------------------------------------------------


def caught_by(work: Callable[[], object]) -> BaseException:
    try:
        result = work()
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_asyncpg_pool_exhausted_or_closed(server: PostgresServer) -> None:
    async def exhaust() -> None:
        async with asyncpg.create_pool(server.dsn, min_size=1, max_size=1) as pool, pool.acquire():
            await pool.acquire(timeout=0.05)

    async def use_closed() -> None:
        async with asyncpg.create_pool(server.dsn, min_size=1, max_size=1) as pool:
            pass
        await pool.fetch("SELECT 1")

    check(ASYNCPG, "pool exhausted", caught_by(exhaust))
    check(ASYNCPG, "pool closed", caught_by(use_closed))


def test_psycopg_pool_exhausted_overrun_or_closed(server: PostgresServer) -> None:
    def pool(**settings: object) -> ConnectionPool:
        return ConnectionPool(server.dsn, min_size=1, max_size=1, **settings)

    def exhaust() -> None:
        with pool() as connections, connections.connection():
            connections.getconn(timeout=0.05)

    def overrun() -> None:
        with pool(max_waiting=1) as connections, connections.connection():
            waiting = threading.Thread(target=lambda: caught_by(lambda: connections.getconn(timeout=0.5)))
            waiting.start()
            try:
                until(lambda: connections.get_stats()["requests_waiting"])
                connections.getconn(timeout=0.05)
            finally:
                waiting.join()

    def use_closed() -> None:
        with pool() as connections:
            pass
        connections.getconn()

    check(BLOCKING, "pool exhausted", caught_by(exhaust))
    check(BLOCKING, "pool's queue is full", caught_by(overrun))
    check(BLOCKING, "pool closed", caught_by(use_closed))


def test_psycopg_pool_of_asyncio_exhausted_closed_or_without_a_server(
    server: PostgresServer, proxy: FaultProxy
) -> None:
    def pool(dsn: str) -> AsyncConnectionPool:
        return AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False)

    async def exhaust() -> None:
        async with pool(server.dsn) as connections, connections.connection():
            await connections.getconn(timeout=0.05)

    async def use_closed() -> None:
        async with pool(server.dsn) as connections:
            pass
        await connections.getconn()

    async def open_without_a_server() -> None:
        connections = pool(server.dsn.replace(f":{server.port}/", f":{proxy.port}/"))
        try:
            await connections.open(wait=True, timeout=0.1)
        finally:
            await connections.close()

    proxy.fault = Fault.REFUSE
    check(BLOCKING, "pool exhausted", caught_by(exhaust))
    check(BLOCKING, "pool closed", caught_by(use_closed))
    check(BLOCKING, "pool cannot connect", caught_by(open_without_a_server))


def test_psycopg2_pool_exhausted_or_closed(server: PostgresServer) -> None:
    driver = next(driver for driver in DRIVERS if driver.row == "psycopg2")
    pool = psycopg2.pool.ThreadedConnectionPool(1, 1, server.dsn)
    pool.getconn()
    exhausted = caught_by(pool.getconn)
    pool.closeall()
    check(driver, "pool exhausted", exhausted)
    check(driver, "pool closed", caught_by(pool.getconn))


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver.is_sqlalchemy], ids=str)
def test_sqlalchemy_pool_exhausted(driver: Sqlalchemy, server: PostgresServer) -> None:
    async def exhaust() -> None:
        engine = driver.engine(
            server.port,
            password=server.password,
            poolclass=None,
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.05,
        )
        first = await done(engine.connect())
        try:
            await done(engine.connect())
        finally:
            await done(first.close())
            await done(engine.dispose())

    failure = failure_of(caught_by(exhaust), Transport.DATABASE)
    row = ROWS["sqlalchemy", "pool exhausted"]
    assert (failure.kind, failure.sent) == (row.kind, row.sent)


# --- whole stack -------------------------------------------------------------------------------------------------


@dataclass
class Attempts:
    """A call under the transport's own breaker and retry; each attempt makes a connection of its own."""

    driver: Driver
    port: int
    password: str
    before: Callable[[int], object] = lambda _: None
    sql: str = "SELECT 41 + 1"
    idempotent: bool | None = None
    made: int = 0

    def call(self) -> object:
        retry = create_database_retry_policy(
            max_attempts=3, min_wait=0, max_wait=0, retry_budget=None, idempotent=self.idempotent
        )
        breaker = create_database_circuit_breaker(failure_threshold=2)

        @breaker
        @retry
        async def read_answer_later() -> None:
            connection = await self._connection()
            try:
                await self.driver.take(connection, self.sql)
            finally:
                await done(self.driver.close(connection))

        @breaker
        @retry
        def read_answer() -> None:
            connection = self._connection()
            try:
                self.driver.run(connection, self.sql)
            finally:
                self.driver.close(connection)

        return asyncio.run(read_answer_later()) if self.driver.asynchronous else read_answer()

    def _connection(self):
        self.made += 1
        self.before(self.made)
        return self.driver.connect(self.port, password=self.password)


def assert_clean(error: ModelOnexError, password: str, caplog: pytest.LogCaptureFixture) -> None:
    ours = [record for record in caplog.records if record.name.startswith(("omnibase_infra", "onex"))]
    shown = f"{error} {error!r} {error.model_dump_json()} {[(record.getMessage(), vars(record)) for record in ours]}"
    assert ours
    assert password not in shown
    assert str(error.__cause__) not in shown


@every_driver
def test_a_call_that_fails_once_while_connecting_succeeds(
    driver: Driver, server: PostgresServer, proxy: FaultProxy
) -> None:
    def before(attempt: int) -> None:
        proxy.fault = Fault.CLOSE_ON_ACCEPT if attempt == 1 else Fault.NONE

    attempts = Attempts(driver, proxy.port, server.password, before)
    attempts.call()
    assert attempts.made == 2


@every_driver
@pytest.mark.parametrize(("fault", "made"), [(Fault.REFUSE, 3), (Fault.RESET_ANSWER, 1)])
def test_a_call_that_must_not_be_repeated_is_repeated_only_when_it_was_not_sent(
    driver: Driver, server: PostgresServer, proxy: FaultProxy, fault: Fault, made: int
) -> None:
    attempts = Attempts(driver, proxy.port, server.password, idempotent=False)
    if fault is Fault.REFUSE:
        proxy.fault = fault
        with pytest.raises(InfraConnectionError):
            attempts.call()
    else:
        attempts.sql = "SELECT pg_sleep(5)"

        def cut() -> None:
            with admin(server) as control:
                until(lambda: pid_of(control, "state = 'active' AND query LIKE '%pg_sleep%'"))
            proxy.reset_connections()

        with meanwhile(cut), pytest.raises(InfraConnectionError):
            attempts.call()
    assert attempts.made == made


@every_driver
def test_a_dead_server_is_tried_three_times_and_reported_clean(
    driver: Driver, server: PostgresServer, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fault = Fault.REFUSE
    attempts = Attempts(driver, proxy.port, server.password)
    with caplog.at_level(logging.DEBUG), pytest.raises(InfraConnectionError) as raised:
        attempts.call()
    assert attempts.made == 3
    assert raised.value.model.context["retry_count"] == 3
    assert_clean(raised.value, server.password, caplog)


@every_driver
def test_a_read_only_server_is_tried_three_times_and_is_unavailable(
    driver: Driver, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = Attempts(driver, server.port, server.password, sql="INSERT INTO t VALUES (9, 9)")
    with admin(server) as control:
        control.execute("ALTER ROLE onex SET default_transaction_read_only = on")
        try:
            with caplog.at_level(logging.DEBUG), pytest.raises(InfraUnavailableError) as raised:
                attempts.call()
        finally:
            control.execute("SET default_transaction_read_only = off")
            control.execute("ALTER ROLE onex RESET default_transaction_read_only")
    assert attempts.made == 3
    assert raised.value.model.context["driver_code"] == "25006"
    assert_clean(raised.value, server.password, caplog)


@every_driver
def test_a_wrong_password_is_tried_once_and_reported_clean(
    driver: Driver, server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = Attempts(driver, server.port, "hunter2-S3CR3T")
    with caplog.at_level(logging.DEBUG), pytest.raises(InfraAuthenticationError) as raised:
        attempts.call()
    assert attempts.made == 1
    assert_clean(raised.value, "hunter2-S3CR3T", caplog)


@every_driver
def test_a_constraint_violation_comes_out_untouched(driver: Driver, server: PostgresServer) -> None:
    attempts = Attempts(driver, server.port, server.password, sql="INSERT INTO t VALUES (1, 0)")
    error = caught_by(attempts.call)
    assert attempts.made == 1
    assert not isinstance(error, ModelOnexError)
    check(driver, "unique violation", error, "23505")
