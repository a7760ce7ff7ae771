"""What the launchers of server binaries share: a port, an answer to wait for, faults of the process, a certain end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

from omnibase_infra.cli.demo import server_watchdog
from omnibase_infra.cli.demo.postgres_server import free_port

HOST = "127.0.0.1"
_POLL_SECONDS = 0.005
_STOP_SECONDS = 10.0


def free_ports(count: int) -> int:
    """The first of as many ports in a row that nobody listens on."""
    for _ in range(100):
        first = free_port()
        if all(map(_is_free, range(first + 1, first + count))):
            return first
    raise RuntimeError(f"no {count} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def in_wheel(package: str, pattern: str) -> Path | None:
    """A program among the files of an installed package, which is not imported."""
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for binary in Path(folder).glob(pattern):
            if os.access(binary, os.X_OK):
                return binary
    return None


def on_path(name: str) -> Path | None:
    """A program on PATH."""
    found = shutil.which(name)
    return None if found is None else Path(found)


class LocalProcess:
    """A server on 127.0.0.1 with a directory of its own, gone at the end of the `with` block.

    It is gone as well when the test run itself is killed: a watchdog outlives the run by a moment.
    """

    start_seconds: ClassVar[float] = 15.0

    def __init__(self, port: int) -> None:
        self.port = port
        self.home = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """How to start it; its directory is `home`."""
        raise NotImplementedError

    def is_up(self) -> bool:
        """Whether it serves."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="onex-server-"))
        self._watchdog = server_watchdog.watch(self.home)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._watchdog is not None
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        self._watchdog.wait(_STOP_SECONDS)  # it removes the directory

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        """Start it on its port, with the data of the last time, and wait until it serves."""
        assert self._watchdog is not None
        log = self.home / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*server_watchdog.REGISTER_AND_EXEC, *self.command()],
                stdin=self._watchdog.stdin,
                stdout=output,
                stderr=output,
                cwd=self.home,
            )
        deadline = time.monotonic() + self.start_seconds
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End it at once, frozen or not, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._gone()

    def stop(self) -> None:
        """Ask it to shut down in an orderly way, and wait."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._gone()

    def pause(self) -> None:
        """Freeze it: it keeps its connections, the kernel accepts further ones, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # it stops a moment after the signal was sent

    def resume(self) -> None:
        """It goes on where it was frozen."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def status(self, path: str) -> int | None:
        """The HTTP status that it answers; None while it does not."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=1) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def answers(self, question: bytes, size: int) -> bytes:
        """The first bytes that it answers to a question on a new connection; none while it does not."""
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(question)
            return connection.recv(size)
        return b""

    def _gone(self) -> None:
        assert self._process is not None
        self._process.wait(_STOP_SECONDS)
        server_watchdog.forget(self._watchdog, self._process.pid)
        self._process = None
