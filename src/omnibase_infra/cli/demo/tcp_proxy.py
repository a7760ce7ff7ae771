"""A TCP proxy that can be cut: connections are reset and new ones refused, as if the server behind it had crashed."""

import asyncio
import contextlib
import socket
import struct
from asyncio.trsock import TransportSocket
from types import TracebackType
from typing import Self

from omnibase_infra.cli.demo.postgres_server import free_port

_HOST = "127.0.0.1"
_CHUNK = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards connections to `127.0.0.1:<port>` to another address until it is cut, and again once restored.

    Args:
        host: where to forward to.
        port: its TCP port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        """The address to connect to."""
        return _HOST

    @property
    def port(self) -> int:
        """The TCP port to connect to, the same after every cut."""
        return self._port

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.cut()

    async def restore(self) -> None:
        """Accept connections, for the first time or again."""
        self._server = await asyncio.start_server(self._forward, _HOST, self._port)

    async def cut(self) -> None:
        """Refuse new connections and reset those that exist."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._connections):
            _reset(writer)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            self._connections.discard(writer)
            _reset(writer)
            return
        self._connections.add(upstream_writer)
        for source, sink in ((reader, upstream_writer), (upstream_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(_CHUNK):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            self._connections.discard(sink)
            sink.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if isinstance(raw, TransportSocket):
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
