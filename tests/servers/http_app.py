"""An HTTP server that fails on request: an ASGI app under uvicorn in a child process, gone at the end of the block.

    with HttpServer() as server:
        get(f"http://127.0.0.1:{server.port}/status/503?retry_after=7")

| path | answer |
| --- | --- |
| `/status/<code>` | that status; `?retry_after=7` sends the seconds, `?retry_at=7` the date that far ahead |
| `/flaky/<key>` | 503 as often as `?fail=2` says, then 200; `?status=` for another one |
| `/seen/<key>` | how often `/flaky/<key>` was asked |
| `/slow` | 200 after a minute |
| `/drip` | 200 at once, then a byte every 50 ms for a minute |
| `/stop` | 200 and 5 bytes of the 100 that it promised, then nothing for a minute |
| `/cut` | 200 and 5 bytes of the 100 that it promised |
| `/cut-chunks` | 200 and one chunk of a body that never ends |
| `/not-gzip` | 200 and a body that is not what it says |
| `/loop` | a redirect to itself |
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs

HOST = "127.0.0.1"
_START_SECONDS = 10.0

Event = dict[str, object]
Send = Callable[[Event], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_seen: Counter[str] = Counter()


async def app(scope: dict[str, object], receive: Callable[[], Awaitable[Event]], send: Send) -> None:
    _, path, *rest = str(scope["path"]).split("/")
    key = rest[0] if rest else ""
    query_string = scope["query_string"]
    assert isinstance(query_string, bytes)
    query = {name: values[0] for name, values in parse_qs(query_string.decode()).items()}
    if path == "status":
        headers: Headers = []
        if "retry_after" in query:
            headers.append((b"retry-after", query["retry_after"].encode()))
        if "retry_at" in query:
            headers.append((b"retry-after", formatdate(time.time() + int(query["retry_at"]), usegmt=True).encode()))
        await _answer(send, int(key), headers, b"no")
    elif path == "flaky":
        _seen[key] += 1
        failing = _seen[key] <= int(query.get("fail", "0"))
        await _answer(send, int(query.get("status", "503")) if failing else 200, [], b"done")
    elif path == "seen":
        await _answer(send, 200, [], str(_seen[key]).encode())
    elif path == "slow":
        await asyncio.sleep(60)
    elif path == "drip":
        await _drip(send)
    elif path in ("stop", "cut", "cut-chunks"):
        await _begin(send, 200, [] if path == "cut-chunks" else [(b"content-length", b"100")])
        await send({"type": "http.response.body", "body": b"short", "more_body": True})
        await asyncio.sleep(60 if path == "stop" else 0)
    elif path == "not-gzip":
        await _answer(send, 200, [(b"content-encoding", b"gzip")], b"not gzip at all")
    elif path == "loop":
        await _answer(send, 302, [(b"location", b"/loop")], b"")
    else:
        await _answer(send, 200, [], b"ok")


async def _drip(send: Send) -> None:
    await _begin(send, 200, [(b"content-length", b"1200")])
    for _ in range(1200):
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        await asyncio.sleep(0.05)


async def _begin(send: Send, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await _begin(send, status, [*headers, (b"content-length", str(len(body)).encode())])
    await send({"type": "http.response.body", "body": body})


class HttpServer:
    """The app on a free port of 127.0.0.1; kill, pause and resume it at will.

    Args:
        certificate: PEM file with key and certificate; then it speaks TLS.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._certificate = certificate
        # The child gets the socket itself: no port is ever looked for twice.
        with socket.create_server((HOST, 0)) as listener:
            self.port: int = listener.getsockname()[1]
            command = [sys.executable, __file__, str(listener.fileno()), *([str(certificate)] if certificate else [])]
            self._process = subprocess.Popen(
                command, pass_fds=[listener.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )

    def __enter__(self) -> Self:
        watchdog = threading.Timer(_START_SECONDS, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        started = self._process.stdout.readline()
        watchdog.cancel()
        if not started:
            self.__exit__()
            raise RuntimeError(f"the HTTP server did not start within {_START_SECONDS} s")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://{HOST}:{self.port}"

    def pause(self) -> None:
        """Freeze it: connections are accepted by the kernel, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, frozen or not."""
        self._process.kill()
        self._process.wait(10)


def _serve(descriptor: int, certificate: str | None) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            sys.stdout.write("started\n")
            sys.stdout.flush()

    # Whoever started this server holds the other end of the pipe; it never outlives them.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ssl_certfile=certificate)
    Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
