"""What the launchers of server binaries share: a free port, an HTTP answer to wait for, and a certain end."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
_START_SECONDS = 15.0
# Below the range of outgoing connections: nobody takes the port while the server is down.
_PORTS = range(20000, 32000)


def free_ports(count: int) -> int:
    """The first of as many ports in a row that nobody listens on."""
    for _ in range(100):
        first = random.choice(_PORTS)
        if all(map(_is_free, range(first, first + count))):
            return first
    raise RuntimeError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class LocalProcess:
    """A server on 127.0.0.1 with a directory of its own, gone at the end of the `with` block."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.home = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def command(self) -> list[str]:
        """How to start it; its directory is `home`."""
        raise NotImplementedError

    def is_up(self) -> bool:
        """Whether it serves."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="onex-server-")
        self.home = Path(self._directory.name)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._directory is not None:
            self._directory.cleanup()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def kill(self) -> None:
        """Kill it, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def pause(self) -> None:
        """Freeze it: connections are accepted by the kernel, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

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

    def _start(self) -> None:
        log = self.home / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(self.command(), stdout=output, stderr=output, cwd=self.home)
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)
