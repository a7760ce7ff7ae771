"""A broker that speaks Kafka's protocol (noida-db, not Apache Kafka), and a fault proxy that clients stay behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self, cast

from tests.support.fault_proxy import FaultProxy

HOST = "127.0.0.1"
# Below the range of outgoing connections: nobody takes the port while the broker is down.
_PORTS = range(20000, 32000)
_POLL_SECONDS = 0.005
_START_SECONDS = 10.0


def find_noida() -> Path | None:
    """The program of the installed `noida-db`."""
    spec = find_spec("noida_db")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        binary = Path(folder) / "noida-db"
        if os.access(binary, os.X_OK):
            return binary
    return None


class KafkaServer:
    """A broker on a free port of 127.0.0.1 with a directory of its own, gone at the end of the `with` block.

    Args:
        binary: The `noida-db` program.
    """

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._home = tempfile.TemporaryDirectory(prefix="onex-kafka-")

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
    def address(self) -> str:
        """Host and port for a client's bootstrap servers."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it on its port, with the data of the last time, and wait until it answers."""
        home = Path(self._home.name)
        command = [self.binary, "start", "--only", "kafka", "--host", HOST]
        command += ["--kafka-port", str(self.port), "--data-dir", str(home / "data")]
        with (home / "log").open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=home)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"noida-db did not start: {(home / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End it at once, paused or not, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitpid(self._process.pid, os.WUNTRACED)  # it stops a moment after the signal was sent

    def _answers(self) -> bool:
        api_versions_0 = struct.pack(">ihhih", 10, 18, 0, 1, -1)
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(api_versions_0)
                return len(connection.recv(4)) == 4
        except OSError:
            return False


class KafkaFaultProxy(FaultProxy):
    """A fault proxy that clients stay behind: in the broker's answers its own address takes the place of the broker's.

    A broker names its host and port in its metadata, and a client connects there.

    Args:
        upstream_port: Port of the broker on 127.0.0.1.
    """

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self._told = tuple(HOST.encode() + struct.pack(">i", port) for port in (upstream_port, self.port))

    @property
    def address(self) -> str:
        """Host and port for a client's bootstrap servers."""
        return f"{HOST}:{self.port}"

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        await super()._answers(cast("asyncio.StreamReader", _Rewriting(source, *self._told)), sink)


class _Rewriting:
    def __init__(self, source: asyncio.StreamReader, old: bytes, new: bytes) -> None:
        self._source = source
        self._old = old
        self._new = new

    async def read(self, size: int) -> bytes:
        return (await self._source.read(size)).replace(self._old, self._new)


def free_port() -> int:
    """A port that nobody listens on, and that no outgoing connection is given."""
    for _ in range(100):
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {_PORTS.start} and {_PORTS.stop}")
