"""One piece of work at a time for each key; whoever asks meanwhile waits for it and shares its outcome.

Tasks share with the tasks of their own event loop, threads with threads: no future ever leaves its loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from inspect import isawaitable
from types import TracebackType
from typing import Final, Generic, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

T = TypeVar("T")


class Landed(NamedTuple, Generic[T]):
    """How the work ended, for everyone who waited for it."""

    value: T | None
    error: Exception | None
    traceback: TracebackType | None = None

    def result(self) -> T:
        """The value, else the error: one object for all callers, each time with the traceback it came with."""
        error, traceback = self.error, self.traceback
        try:
            if error is not None:
                raise error.with_traceback(traceback)
            return cast("T", self.value)
        finally:
            del self, error, traceback  # the traceback will hold this frame


class SingleFlight(Generic[T]):
    """Shares work among callers that need the same at the same time. Bounded by the work under way."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _TaskFlight[T]]] = (
            WeakKeyDictionary()
        )
        self._new_loop = threading.RLock()
        self._in_threads: dict[Hashable, _ThreadFlight[T]] = {}

    async def join_async(self, key: Hashable, work: Callable[[], Awaitable[T] | T]) -> Landed[T]:
        """Wait for the work on `key` that is under way on this loop, or begin it.

        The work runs in a task of its own, in the context of the caller who began it. A cancelled caller leaves the
        others theirs; the last one takes the work down with it, and waits for its end as for a call of its own.

        Raises:
            CancelledError: When the work was cancelled.
            RuntimeError: When the work waits for itself, which would be for ever.
        """
        flights = self._flights_here()
        flight = flights.get(key)
        if flight is None:
            flight = flights[key] = _TaskFlight(asyncio.get_running_loop().create_task(_awaited(work)))
            flight.task.add_done_callback(partial(_clear, flights, key))
        elif flight.task is asyncio.current_task():
            raise RuntimeError(_WAITS_FOR_ITSELF)
        task = flight.task
        flight.waiting += 1
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            if flight.waiting == 1 and task.cancel():
                _clear(flights, key, task)  # who comes now must not join what is being taken down
                await asyncio.wait((task,))
            raise
        finally:
            flight.waiting -= 1
        return task.result()

    def join(self, key: Hashable, work: Callable[[], T]) -> Landed[T]:
        """Wait for the thread that works on `key`, or do the work here.

        When that thread is interrupted (`KeyboardInterrupt`, `SystemExit`), one of those who wait does the work.

        Raises:
            RuntimeError: When the work waits for itself, which would be for ever.
        """
        own = _ThreadFlight[T]()
        while (flight := self._in_threads.setdefault(key, own)) is not own:
            if flight.thread == own.thread:
                raise RuntimeError(_WAITS_FOR_ITSELF)
            flight.done.wait()
            if flight.landed is not None:
                return flight.landed
        try:
            own.landed = _attempted(work)
            return own.landed
        finally:
            del self._in_threads[key]
            own.done.set()
            del own, flight  # an error's traceback holds the frames that lead to it

    def _flights_here(self) -> dict[Hashable, _TaskFlight[T]]:
        loop = asyncio.get_running_loop()
        flights = self._by_loop.get(loop)
        if flights is None:
            with self._new_loop:
                for known in [known for known in self._by_loop if known.is_closed()]:
                    del self._by_loop[known]  # work that was under way holds its loop
                flights = self._by_loop[loop] = {}
        return flights


_WAITS_FOR_ITSELF: Final = "the shared work asks for its own outcome, which it would wait for without end"


class _TaskFlight(Generic[T]):
    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Landed[T]]) -> None:
        self.task = task
        self.waiting = 0


class _ThreadFlight(Generic[T]):
    __slots__ = ("done", "landed", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.done = threading.Event()
        self.landed: Landed[T] | None = None


def _clear(flights: dict[Hashable, _TaskFlight[T]], key: Hashable, task: asyncio.Task[Landed[T]]) -> None:
    flight = flights.get(key)
    if flight is not None and flight.task is task:
        del flights[key]


# Frames of their own: the traceback of what the work raises must not hold a frame that holds the outcome.


async def _awaited(work: Callable[[], Awaitable[T] | T]) -> Landed[T]:
    try:
        value = work()
        return Landed(await value if isawaitable(value) else value, None)
    except Exception as exc:
        return Landed(None, exc, exc.__traceback__)


def _attempted(work: Callable[[], T]) -> Landed[T]:
    try:
        return Landed(work(), None)
    except Exception as exc:
        return Landed(None, exc, exc.__traceback__)
