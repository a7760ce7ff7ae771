"""The servers of these tests leave nothing behind, however the test run ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers.local_process import LocalProcess

from omnibase_infra.cli.demo import server_watchdog
from omnibase_infra.cli.demo.postgres_server import free_port

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


class WebServer(LocalProcess):
    """The plainest server there is."""

    def __init__(self) -> None:
        super().__init__(free_port())

    def command(self) -> list[str]:
        return [sys.executable, "-I", "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]

    def is_up(self) -> bool:
        return self.status("/") == 200


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


def test_a_server_is_frozen_thawed_killed_started_again_on_its_port_and_gone_with_its_directory() -> None:
    with WebServer() as server:
        home, port = server.home, server.port
        server.pause()
        assert server.status("/") is None
        server.resume()
        until(server.is_up)
        server.kill()
        assert server.status("/") is None
        server.start()
        assert (server.is_up(), server.port) == (True, port)
        server.stop()
        assert server.status("/") is None
        server.kill()
    assert not home.exists()


def test_a_server_that_cannot_start_says_so_and_is_gone() -> None:
    with WebServer() as first:
        second = WebServer()
        second.port = first.port
        second.is_up = lambda: False  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match=r"WebServer did not start: [\s\S]*Address already in use"), second:
            pass
        assert not second.home.exists()


def test_a_server_does_not_outlive_a_test_run_that_was_killed() -> None:
    code = (
        "import sys, time; from tests.integration.test_local_process import WebServer\n"
        "with WebServer() as server: print(server.port, server._process.pid, server.home, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        port, pid, home = run.stdout.readline().split()
        run.send_signal(signal.SIGKILL)
    server = WebServer()
    server.port = int(port)
    until(lambda: server.status("/") is None and not Path(home).exists())
    assert server_watchdog.family(int(pid)) == []
