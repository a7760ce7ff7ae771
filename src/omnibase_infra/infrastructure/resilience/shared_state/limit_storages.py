"""Storages of `limits` for one URI: one for all threads, one for each event loop, none inherited by a forked worker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, cast
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from omnibase_infra.infrastructure.resilience.shared_state.clients import no_retry, package_for, url_for

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage as AsyncRedisStorage
    from limits.storage import RedisStorage

KEY_PREFIX: Final = "onex"
"""Of every key: ``onex:rate-limit:<name>``."""

_CONNECTIONS: Final = 8
"""Calls of one event loop that are on their way at once. The server takes them one by one anyway."""


class _AsyncHandle(Protocol):
    async def aclose(self) -> None: ...

    def ping(self) -> Awaitable[object]: ...


class _Handle(Protocol):
    def close(self) -> None: ...


class LoopStorage:
    """The storage of one event loop, and the places for calls that are on their way."""

    __slots__ = (
        "__weakref__",
        "_connect_timeout",
        "_connecting",
        "is_connected",
        "keeper",
        "places",
        "storage",
        "was_left",
    )

    def __init__(self, storage: AsyncRedisStorage, connect_timeout: float) -> None:
        self.storage = storage
        self._connect_timeout = connect_timeout
        self.places = asyncio.Semaphore(_CONNECTIONS)
        self.keeper = _kept(storage)
        self.is_connected = False
        """Whether the server has answered, and was not lost since."""
        self.was_left = False
        """Whether somebody has waited for that answer in vain."""
        self._connecting: asyncio.Task[None] | None = None

    @property
    def is_connecting(self) -> bool:
        """Whether that answer may still come."""
        return self._connecting is not None and not self._connecting.done()

    async def connect(self) -> None:
        """Wait for the server's first answer. Who leaves before it comes does not end the connecting."""
        task = self._connecting
        if task is None:
            client = cast("_AsyncHandle", _handles(self.storage.bridge)[0])
            self._connecting = task = asyncio.create_task(_answer(client, self._connect_timeout))
            self.was_left = False
        try:
            await asyncio.shield(task)
            self.is_connected = True
        finally:
            if task.done() and self._connecting is task:
                self._connecting = None

    async def close(self) -> None:
        """Close the connections."""
        if self._connecting is not None:
            self._connecting.cancel()
        await self.keeper.aclose()


class LimitStorages:
    """Made when first used. None tries again by itself.

    The connections of an event loop are closed with it (by `asyncio.run`, or whatever else shuts its asynchronous
    generators down), the others by `close`. A storage that was closed is made anew when it is used again.

    Args:
        uri: A URI of `limits`.
        timeout: Bound of each call, seconds.
        connect_timeout: Bound of connecting, seconds.
    """

    def __init__(self, uri: str, timeout: float, connect_timeout: float) -> None:
        self._package: Final = package_for(uri, "storage_uri")
        self._uri: Final = url_for(self._package, uri)
        self.timeout: Final = timeout
        self._connect_timeout: Final = connect_timeout
        self._lock = threading.Lock()
        self._is_prepared = False
        self._blocking: RedisStorage | None = None
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopStorage] = WeakKeyDictionary()
        _everyone.add(self)

    @property
    def made(self) -> RedisStorage | None:
        """The storage for threads, once it is there."""
        return self._blocking

    def prepare(self) -> None:
        """Have the clients read the URI, and import what they need: no call, and no event loop, is to be held by that.

        Raises:
            Exception: Whatever a client raises.
        """
        if not self._is_prepared:
            self.blocking()
            self._made(f"async+{self._uri}")
            self._is_prepared = True

    def blocking(self) -> RedisStorage:
        """The storage for threads."""
        if self._blocking is None:
            with self._lock:
                if self._blocking is None:
                    self._blocking = cast("RedisStorage", self._made(self._uri))
        return self._blocking

    async def of_loop(self) -> LoopStorage:
        """The storage for the running event loop."""
        loop = asyncio.get_running_loop()
        held = self._of_loops.get(loop)
        if held is None:
            storage = cast("AsyncRedisStorage", self._made(f"async+{self._uri}"))
            held = LoopStorage(storage, self._connect_timeout)
            self._of_loops[loop] = held
            await anext(held.keeper)  # does not suspend: the loop learns of the generator, and closes it at its end
        return held

    def close(self) -> None:
        """Close the connections of threads."""
        with self._lock:
            storage, self._blocking = self._blocking, None
        if storage is not None:
            for handle in cast("Iterable[_Handle]", _handles(storage)):
                handle.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and those of threads."""
        held = self._of_loops.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.close()
        self.close()

    def forget(self) -> None:
        """Use nothing that was made so far, and leave it alone: its sockets are the parent's."""
        _inherited.append((self._blocking, dict(self._of_loops)))
        self._lock = threading.Lock()
        self._blocking = None
        self._of_loops = WeakKeyDictionary()

    def _made(self, uri: str) -> object:
        from limits.storage import storage_from_string

        is_async = uri.startswith("async+")
        # For connecting, which may go on for longer than anybody waits. Who waits has a bound of their own, and what is
        # awaited has that of `within`, so that each step needs none.
        bounds = {
            "socket_timeout": None if is_async else self._connect_timeout,
            "socket_connect_timeout": self._connect_timeout,
        }
        options: dict[str, object] = {
            "key_prefix": KEY_PREFIX,
            "retry": no_retry(self._package, asynchronous=is_async),
            **bounds,
        }
        if is_async:
            options["implementation"] = "valkey" if self._package == "valkey" else "redispy"
        if "+sentinel" in uri:
            options["sentinel_kwargs"] = bounds
        return storage_from_string(uri, **cast("dict[str, float]", options))


_shared: Final[WeakValueDictionary[tuple[str, float, float], LimitStorages]] = WeakValueDictionary()
_everyone: Final[WeakSet[LimitStorages]] = WeakSet()
_inherited: Final[list[object]] = []
"""What a forked worker has from its parent: closing, or collecting, would disturb the parent's connections."""


def storages_for(uri: str, timeout: float, connect_timeout: float) -> LimitStorages:
    """The storages of this URI and these bounds, which all limiters that ask for them share.

    Raises:
        ProtocolConfigurationError: When no client for the URI is installed.
    """
    key = uri, timeout, connect_timeout
    found = _shared.get(key)
    return found or _shared.setdefault(key, LimitStorages(*key))


def _forget_all() -> None:
    for storages in list(_everyone):
        storages.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Bound what is awaited inside; an answer that is there when the time is over, but not read yet, still counts.

    A loop that is busy for longer than the bound finds both at once. `asyncio.timeout` would throw the answer away.

    Raises:
        TimeoutError: When the time is over.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise RuntimeError("a shared limiter is awaited in a task")
    cancelling, late = task.cancelling(), False

    handles: list[asyncio.Handle] = []

    def stop() -> None:
        nonlocal late
        late = True
        task.cancel()

    handles.append(loop.call_later(seconds, lambda: handles.append(loop.call_soon(stop))))
    try:
        yield
    except asyncio.CancelledError:
        if late and task.uncancel() <= cancelling:
            raise TimeoutError from None
        raise
    finally:
        for handle in handles:
            handle.cancel()


async def _answer(client: _AsyncHandle, timeout: float) -> None:
    async with asyncio.timeout(timeout):
        await client.ping()


async def _kept(storage: AsyncRedisStorage) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        for handle in cast("Iterable[_AsyncHandle]", _handles(storage.bridge)):
            with suppress(Exception):
                await handle.aclose()


def _handles(holder: object) -> list[object]:
    """The clients in a storage of `limits`: the server's, and with Sentinel the sentinels' own."""
    sentinel: object = getattr(holder, "sentinel", None)
    of_sentinel: list[object] = [] if sentinel is None else list(getattr(sentinel, "sentinels", ()))
    return [getattr(holder, "storage"), *of_sentinel]  # noqa: B009  # no type of `limits` tells that it is there
