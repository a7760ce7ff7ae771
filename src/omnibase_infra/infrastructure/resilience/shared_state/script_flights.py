"""Scripts that the tasks of an event loop run at once, sent together: as `packed_script`, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Final, Protocol, cast

from omnibase_infra.infrastructure.resilience.shared_state.packed_script import (
    Reply,
    Scripting,
    asked_for,
    has_pool,
    hash_of,
    is_unknown_script,
)

_FLIGHTS: Final = 8
"""Batches of one event loop that are on their way at once. The server takes their scripts one by one anyway."""

_BATCH: Final = 100
"""Scripts that go out together: so many that a batch costs little more than its scripts, and is quickly read."""


class _AsyncConnection(Protocol):
    """What is used of the packages' asyncio connections."""

    @property
    def is_connected(self) -> bool: ...

    def pack_command(self, *args: str | bytes | int) -> Iterable[bytes]: ...

    async def send_packed_command(self, command: Iterable[bytes], /) -> object: ...

    async def read_response(self) -> object: ...


class _AsyncPool(Protocol):
    """What is used of the packages' asyncio pools."""

    async def get_connection(self, *args: str) -> _AsyncConnection: ...

    async def release(self, connection: _AsyncConnection, /) -> object: ...


class _AsyncClient(Protocol):
    """A client with a pool."""

    connection_pool: _AsyncPool

    async def script_load(self, script: str, /) -> object: ...


AsyncScript = Callable[[str, bytes], Awaitable[Reply]]


def async_script_on(client: object, text: str, places: asyncio.Semaphore | None = None) -> AsyncScript:
    """The script, on an asyncio client of redis-py or valkey-py, or on one of coredis.

    Args:
        client: The client.
        text: Its source.
        places: For runs that are on their way; needed where each takes a connection of its own.
    """
    if has_pool(client):
        return AsyncPackedScript(cast("_AsyncClient", client), text)
    script = cast("Callable[..., Awaitable[Reply]]", cast("Scripting", client).register_script(text))

    async def run(key: str, argument: bytes, /) -> Reply:
        async with places or nullcontext():
            return await script([key], [argument])

    return run


class AsyncPackedScript:
    """As `PackedScript`, for one event loop. Runs that are asked for at once go out, and come back, together.

    One that is alone goes at once. Those that come while it is on its way gather for a round of the event loop, and
    fly as one batch on a connection of their own.
    """

    def __init__(self, client: _AsyncClient, text: str) -> None:
        self._load = client.script_load
        self._text = text
        self._sha = hash_of(text)
        self._pool = client.connection_pool
        self._pool_asks_for = asked_for(self._pool.get_connection)
        self._last_packed: tuple[str, bytes, Iterable[bytes]] = "", b"", ()
        self._waiting: list[_Passenger] = []
        self._flights = 0
        self._boarding: asyncio.Task[None] | None = None
        self._flying: set[asyncio.Task[None]] = set()

    async def __call__(self, key: str, argument: bytes, /) -> Reply:
        """Run it."""
        if not self._flights:
            (reply,) = await self._fly([(key, argument)])
        else:
            passenger = _Passenger(key, argument, asyncio.get_running_loop().create_future())
            self._waiting.append(passenger)
            self._board()
            reply = await passenger.reply
        if isinstance(reply, Exception):
            try:
                raise reply
            finally:
                del reply  # it leads back to this frame
        return cast("Reply", reply)

    def _board(self) -> None:
        """Have those who wait take off in the next round of the event loop."""
        if self._waiting and self._boarding is None and self._flights < _FLIGHTS:
            self._boarding = task = asyncio.create_task(self._take_off())
            self._flying.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        if self._boarding is task:  # cancelled before it began
            self._boarding = None
            self._board()

    async def _take_off(self) -> None:
        self._boarding = None
        waiting = [passenger for passenger in self._waiting if not passenger.reply.done()]
        aboard, self._waiting = waiting[:_BATCH], waiting[_BATCH:]
        if not aboard:
            return
        task = asyncio.current_task()

        def left(_: object) -> None:
            if task is not None and all(passenger.reply.done() for passenger in aboard):
                task.cancel()

        for passenger in aboard:
            passenger.reply.add_done_callback(left)
        replies: Sequence[object]
        try:
            replies = await self._fly([(passenger.key, passenger.argument) for passenger in aboard])
        except Exception as error:
            replies = [error] * len(aboard)
        except BaseException:
            for passenger in aboard:
                passenger.reply.cancel()
            raise
        for at, passenger in enumerate(aboard):
            passenger.reply.remove_done_callback(left)
            if not passenger.reply.done():
                passenger.reply.set_result(replies[at])
        del replies  # errors may lead back to this frame

    async def _fly(self, runs: Sequence[tuple[str, bytes]]) -> list[object]:
        """One round trip: the replies, errors among them."""
        self._flights += 1
        try:
            self._board()
            replies = await self._sent(runs)
            unknown = [at for at, reply in enumerate(replies) if is_unknown_script(reply)]
            if unknown:
                await self._load(self._text)
                for at, reply in zip(unknown, await self._sent([runs[at] for at in unknown]), strict=True):
                    replies[at] = reply
            return replies
        finally:
            self._flights -= 1
            self._board()

    def _packed(self, connection: _AsyncConnection, key: str, argument: bytes) -> Iterable[bytes]:
        packed_key, packed_argument, packed = self._last_packed
        if key != packed_key or argument != packed_argument:
            packed = connection.pack_command("EVALSHA", self._sha, 1, key, argument)
            self._last_packed = key, argument, packed
        return packed

    async def _sent(self, runs: Sequence[tuple[str, bytes]]) -> list[object]:
        connection = await self._pool.get_connection(*self._pool_asks_for)
        try:
            await connection.send_packed_command([part for run in runs for part in self._packed(connection, *run)])
            return [await _reply(connection) for _ in runs]
        finally:
            await self._pool.release(connection)


class _Passenger:
    __slots__ = ("argument", "key", "reply")

    def __init__(self, key: str, argument: bytes, reply: asyncio.Future[object]) -> None:
        self.key = key
        self.argument = argument
        self.reply = reply


async def _reply(connection: _AsyncConnection) -> object:
    try:
        return await connection.read_response()
    except Exception as error:
        if not connection.is_connected:
            raise
        return error  # the server's own, to this one script
