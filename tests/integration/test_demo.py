"""The demo as its user runs it: a process with arguments, output, a picture and a status, and nothing left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from omnibase_infra.cli.demo.postgres_server import PostgresServer
from omnibase_infra.cli.demo.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("postgres_binaries")]

_DEMO = [sys.executable, "-m", "omnibase_infra.cli.main", "demo", "--seconds", "6"]


@contextmanager
def _temporary_directory(tmp_path: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """An environment whose temporary directory must be empty in the end."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    yield {**os.environ, "TMPDIR": str(directory), "COLUMNS": "100"}, directory
    deadline = time.monotonic() + 15
    while list(directory.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(directory.iterdir()) == []


def test_stack_carries_a_real_postgresql_through_a_crash(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    with _temporary_directory(tmp_path) as (environment, _):
        done = subprocess.run(
            [*_DEMO, "--json", "--output", picture], check=False, capture_output=True, text=True, env=environment
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["ok"] is True
    assert summary["successes"] > 0
    assert summary["rejected"] > summary["queries_to_dead_server"] > 0
    assert summary["retries"] > 0
    assert summary["calls"] == summary["successes"] + summary["rejected"] + summary["failed"]
    assert {name.split()[0] for name in summary["errors"]} == {"InfraUnavailableError", "InfraConnectionError"}
    assert summary["seconds_to_open"] is not None
    assert summary["seconds_to_recover"] is not None
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    for line in ("taken away: SIGKILL", "the circuit is open", "the circuit is half-open", "the circuit is closed"):
        assert line in done.stderr
    assert "\x1b[" not in done.stderr
    assert "Traceback" not in done.stderr


def test_users_own_database_is_cut_off_and_neither_harmed_nor_quoted(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    before = postgres_server.pid
    command = [*_DEMO, "--dsn", postgres_server.dsn, "--output", tmp_path / "picture.png"]
    with _temporary_directory(tmp_path) as (environment, _):
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "your server itself is left alone" in done.stdout
    assert postgres_server.pid == before
    for text in (postgres_server.password, postgres_server.dsn):
        assert text not in done.stdout + done.stderr


def test_database_that_cannot_be_reached_is_an_error_without_its_dsn(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    dsn = postgres_server.dsn.replace(postgres_server.password, "wr0ng-Pa55")
    command = [*_DEMO, "--dsn", dsn, "--output", tmp_path / "picture.png"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "onex-resilience demo: the database cannot be reached: InvalidPasswordError\n"
    assert "wr0ng-Pa55" not in done.stdout


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_nothing_is_left_when_the_demo_is_interrupted(number: signal.Signals, status: int, tmp_path: Path) -> None:
    command = [*_DEMO, "--output", tmp_path / "picture.png"]
    with (
        _temporary_directory(tmp_path) as (environment, directory),
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            # A shell that runs tests in the background has it ignored, and children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        ) as demo,
    ):
        assert demo.stdout is not None
        assert any("all is well" in line for line in demo.stdout)
        assert list(directory.iterdir())
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=30)
        assert demo.returncode == status
        assert "Traceback" not in errors


def test_proxy_refuses_and_resets_when_cut_and_serves_again_when_restored(postgres_server: PostgresServer) -> None:
    async def scenario() -> None:
        async with TcpProxy(postgres_server.host, postgres_server.port) as proxy:

            async def connect() -> "asyncpg.Connection[asyncpg.Record]":
                return await asyncpg.connect(postgres_server.dsn, host=proxy.host, port=proxy.port, timeout=5)

            connection = await connect()
            assert await connection.fetchval("SELECT 1") == 1
            idle, _ = await asyncio.open_connection(proxy.host, proxy.port)
            await asyncio.sleep(0.1)  # until the proxy has accepted it
            await proxy.cut()
            with pytest.raises(ConnectionResetError):
                await idle.read()
            with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError, asyncpg.InterfaceError)):
                await connection.fetchval("SELECT 1", timeout=5)
            with pytest.raises(ConnectionRefusedError):
                await connect()
            await proxy.restore()
            connection = await connect()
            assert await connection.fetchval("SELECT 1") == 1
            await connection.close()

            postgres_server.kill()
            with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
                await connect()

    asyncio.run(scenario())
