"""The launcher: a real server that can be killed and started again, and of which nothing is ever left."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from omnibase_infra.cli.demo import postgres_server as module
from omnibase_infra.cli.demo import server_watchdog
from omnibase_infra.cli.demo.postgres_server import PostgresServer, PostgresServerError, find_binaries

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("postgres_binaries")]

_OWNER = """
import sys, time
from omnibase_infra.cli.demo.postgres_server import PostgresServer
with PostgresServer() as server:
    print(server.pid, server.directory, flush=True)
    time.sleep(60)
"""


def _fetch(server: PostgresServer, sql: str, timeout: float = 5.0) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(server.dsn, timeout=timeout)
        try:
            return await connection.fetchval(sql, timeout=timeout)
        finally:
            connection.terminate()

    return asyncio.run(fetch())


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 15
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def _parts(server: PostgresServer) -> tuple[list[int], Path]:
    assert server.pid is not None
    assert server.directory is not None
    return server_watchdog.family(server.pid), server.directory


def _wheel() -> list[Path]:
    """The installed package and, where there is one, the folder with its libraries."""
    binaries = find_binaries()
    assert binaries is not None
    package = binaries.parents[1]
    return [folder for folder in (package, package.with_name(f"{package.name}.libs")) if folder.is_dir()]


def _gone(processes: list[int], directory: Path) -> bool:
    return not directory.exists() and not any(server_watchdog.family(pid) for pid in processes)


def test_server_answers_on_loopback_and_asks_for_its_password(postgres_server: PostgresServer) -> None:
    assert _fetch(postgres_server, "SELECT inet_server_addr()::text || current_setting('listen_addresses')") == (
        "127.0.0.1/32127.0.0.1"
    )
    wrong = postgres_server.dsn.replace(postgres_server.password, "wrong")

    async def connect() -> None:
        await asyncpg.connect(wrong, timeout=5)

    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(connect())


def test_port_lies_below_the_range_of_outgoing_connections(postgres_server: PostgresServer) -> None:
    assert 20000 <= postgres_server.port < 32000


def test_killed_server_is_gone_with_every_child_and_returns_with_data_and_port(postgres_server: PostgresServer) -> None:
    _fetch(postgres_server, "CREATE TABLE kept AS SELECT 42 AS answer")
    processes, _ = _parts(postgres_server)
    port = postgres_server.port
    assert len(processes) > 3

    postgres_server.kill()

    assert not postgres_server.running
    assert not any(server_watchdog.family(pid) for pid in processes)
    with pytest.raises(ConnectionRefusedError):
        _fetch(postgres_server, "SELECT 1")

    postgres_server.start()

    assert postgres_server.port == port
    assert _fetch(postgres_server, "SELECT answer FROM kept") == 42


def test_backend_in_the_middle_of_a_query_is_killed_too(postgres_server: PostgresServer) -> None:
    async def scenario() -> int:
        connection = await asyncpg.connect(postgres_server.dsn, timeout=5)
        backend = connection.get_server_pid()
        query = asyncio.create_task(
            connection.fetchval("SELECT count(*) FROM generate_series(1, 1000000000)", timeout=30)
        )
        await asyncio.sleep(0.2)
        postgres_server.kill()
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            await query
        return backend

    # Left alone it would notice only at the end of its query that the postmaster is gone.
    assert server_watchdog.family(asyncio.run(scenario())) == []


def test_stopped_server_starts_again(postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    assert not postgres_server.running
    postgres_server.start()
    assert _fetch(postgres_server, "SELECT 1") == 1


def test_paused_server_hangs_until_it_is_resumed(postgres_server: PostgresServer) -> None:
    postgres_server.pause()
    with pytest.raises(TimeoutError):
        _fetch(postgres_server, "SELECT 1", timeout=0.2)
    postgres_server.resume()
    assert _fetch(postgres_server, "SELECT 1") == 1


def test_paused_server_can_be_stopped(postgres_server: PostgresServer) -> None:
    postgres_server.pause()
    postgres_server.stop()
    assert not postgres_server.running


def test_exception_leaves_nothing_behind() -> None:
    server = PostgresServer()
    seen: list[tuple[list[int], Path]] = []

    def work() -> None:
        with server:
            seen.append(_parts(server))
            raise LookupError

    with pytest.raises(LookupError):
        work()
    assert _gone(*seen[0])
    assert server.directory is None
    server.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_process_that_started_the_server(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        processes = server_watchdog.family(int(pid))
        assert len(processes) > 3
        owner.send_signal(number)
        owner.wait()
    assert _wait_until(lambda: _gone(processes, Path(directory)))
    assert list(tmp_path.iterdir()) == []


def test_server_killed_and_never_restarted_leaves_no_shared_memory() -> None:
    def segments() -> set[str]:
        return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}

    if not Path("/proc/sysvipc/shm").exists():
        pytest.skip("the system does not list its shared memory segments in /proc")
    with PostgresServer() as server:
        _, directory = _parts(server)
        segment = (directory / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
        assert segment in segments()
        server.kill()
    assert segment not in segments()


def test_refused_setting_is_reported_with_the_servers_own_words() -> None:
    server = PostgresServer(settings={"shared_buffers": "nonsense"})
    with pytest.raises(PostgresServerError, match="shared_buffers") as caught, server:
        pass
    assert server.password not in str(caught.value)
    assert server.directory is None


def test_given_setting_holds() -> None:
    with PostgresServer(settings={"max_connections": "7"}) as server:
        assert _fetch(server, "SHOW max_connections") == "7"


def test_missing_wheel_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_binaries", lambda: None)
    with pytest.raises(PostgresServerError, match=r"pip install 'onex-resilience\[demo\]'"):
        PostgresServer().start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the server as another user")
def test_root_without_user_namespaces_runs_it_as_nobody_from_a_copy_within_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    installed = _wheel()
    for folder in installed:
        (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.setattr(module, "find_binaries", lambda: tmp_path / installed[0].name / "pginstall" / "bin")
    monkeypatch.setattr(module, "_IN_USER_NAMESPACE", ("false",))
    with PostgresServer() as server:
        processes, directory = _parts(server)
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in processes} == {65534}
        server.kill()
        server.start()
        assert _fetch(server, "SELECT 1") == 1
        processes, directory = _parts(server)
    assert _gone(processes, directory)


def test_lost_exec_bits_are_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = _wheel()
    for folder in installed:
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    binaries = tmp_path / installed[0].name / "pginstall" / "bin"
    (binaries / "initdb").chmod(0o644)
    monkeypatch.setattr(module, "find_binaries", lambda: binaries)
    with PostgresServer() as server:
        assert _fetch(server, "SELECT 1") == 1


def test_watchdog_ends_what_was_not_ended_and_removes_the_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = tmp_path / "server"
    (directory / "data").mkdir(parents=True)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["watchdog", str(directory)])
    with subprocess.Popen(["sleep", "60"]) as running, subprocess.Popen(["sleep", "60"]) as ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"+{running.pid}\n+{ended.pid}\n-{ended.pid}\n"))
        server_watchdog.main()
        assert running.wait() == -signal.SIGKILL
        assert ended.poll() is None
        ended.kill()
    assert not directory.exists()


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="there is no ps")
def test_processes_are_found_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server_watchdog, "_PROC", tmp_path)
    with subprocess.Popen(["sleep", "60"]) as child:
        members = server_watchdog.family(os.getpid())
        assert members[0] == os.getpid()
        assert child.pid in members
        server_watchdog.kill_family(child.pid)
        assert server_watchdog.family(child.pid) == []
