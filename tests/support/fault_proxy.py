"""A TCP proxy that fails on command: refuse, reset, hang up, stall, cut in mid-answer, throttle, or talk nonsense.

It runs on a thread of its own, so that blocking clients can be tested with it as well as asyncio ones:

    with FaultProxy(server.port) as proxy:
        connect(proxy.port)
        proxy.fault = Fault.STALL       # from now on, on connections old and new, nothing comes through
        proxy.reset_connections()       # every connection of this moment gets a TCP reset
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from enum import Enum, auto
from typing import Self

HOST = "127.0.0.1"
_TURNS = 5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What the proxy does to connections."""

    NONE = auto()
    REFUSE = auto()
    """The port is closed: connecting is refused. Connections that exist go on."""
    RESET_ON_ACCEPT = auto()
    CLOSE_ON_ACCEPT = auto()
    STALL = auto()
    """Connections are accepted, and nothing passes in either direction."""
    RESET_ANSWER = auto()
    """The request passes; after `FaultProxy.answer_bytes` of the answer comes a reset."""
    CLOSE_ANSWER = auto()
    """The request passes; after `FaultProxy.answer_bytes` of the answer the connection is closed."""
    GARBAGE = auto()
    """The request passes; the answer is `FaultProxy.garbage`, and the connection stays open."""
    THROTTLE = auto()
    """The answer passes a byte at a time, `FaultProxy.bytes_per_second` of them."""


class FaultProxy:
    """Forwards `127.0.0.1:port` to a server on this machine until told to fail.

    Args:
        upstream_port: Port of the server on 127.0.0.1.
    """

    def __init__(self, upstream_port: int) -> None:
        self.answer_bytes = 0
        self.garbage = b"\x00\xffnonsense\r\n\r\n"
        self.bytes_per_second = 10.0
        self.accepted = 0
        self._upstream_port = upstream_port
        self._fault = Fault.NONE
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def fault(self) -> Fault:
        """What happens to connections; takes effect at once."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        self._run(self._refuse if fault is Fault.REFUSE else self._listen)

    def reset_connections(self) -> None:
        """Reset every connection of this moment, idle ones too."""
        self._run(lambda: self._drop(_reset))

    def close_connections(self) -> None:
        """Close every connection of this moment in an orderly way."""
        self._run(lambda: self._drop(lambda writer: writer.close()))

    def _run(self, step: Callable[[], object]) -> None:
        async def run() -> None:
            result = step()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, reuse_address=True)

    async def _refuse(self) -> None:
        if self._server is None:
            return
        # Clients connect again and again, and asyncio loses a connection that is being accepted by a server that
        # closes: it asserts that the server is open, with the socket already in hand.
        for listening in self._server.sockets:
            self._loop.remove_reader(listening)
        await asyncio.sleep(0.01)
        self._server.close()
        self._server = None

    async def _shut(self) -> None:
        await self._refuse()
        # More than one turn: what was being accepted, or has been aborted, is done with in the loop's next ones.
        for _ in range(_TURNS):
            self._drop(_reset)
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def _drop(self, end: Callable[[asyncio.StreamWriter], None]) -> None:
        for writer in tuple(self._writers):
            end(writer)
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        accepting = asyncio.current_task()
        assert accepting is not None
        self._tasks.add(accepting)
        accepting.add_done_callback(self._tasks.discard)
        if self._fault is Fault.RESET_ON_ACCEPT:
            _reset(writer)
            return
        if self._fault is Fault.CLOSE_ON_ACCEPT:
            writer.close()
            return
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._upstream_port)
        except OSError:
            self._writers.discard(writer)
            _reset(writer)
            return
        self._writers.add(server_writer)
        for pump in (self._requests(reader, server_writer), self._answers(server_reader, writer)):
            task = asyncio.ensure_future(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._stalled()
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError):
            sink.close()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._stalled()
                if self._fault in (Fault.RESET_ANSWER, Fault.CLOSE_ANSWER):
                    sink.write(data[: self.answer_bytes])
                    await sink.drain()
                    _reset(sink) if self._fault is Fault.RESET_ANSWER else sink.close()
                    return
                if self._fault is Fault.GARBAGE:
                    sink.write(self.garbage)
                    await sink.drain()
                    continue
                if self._fault is Fault.THROTTLE:
                    for byte in data:
                        sink.write(bytes((byte,)))
                        await sink.drain()
                        await asyncio.sleep(1 / self.bytes_per_second)
                    continue
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError):
            sink.close()

    async def _stalled(self) -> None:
        while self._fault is Fault.STALL:  # noqa: ASYNC110 - a test may change it at any time
            await asyncio.sleep(0.01)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if isinstance(raw, TransportSocket):
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
