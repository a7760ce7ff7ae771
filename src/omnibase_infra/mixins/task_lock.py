"""A lock that knows which task holds it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType
from typing import TypeAlias

from omnibase_infra.errors import RuntimeHostError

AnyTask: TypeAlias = "asyncio.Task[object]"


class TaskLock:
    """Used as `asyncio.Lock`, first come first served, but across event loops and threads too, as its owner may be.

    Unlike `asyncio.Lock` it tells a task that asks twice, or that releases what it does not hold, instead of hanging or
    obeying.
    """

    def __init__(self) -> None:
        self._holder: AnyTask | None = None
        self._waiting: deque[tuple[AnyTask, asyncio.Future[None]]] = deque()
        # Re-entrant: a garbage collection inside may close a coroutine that gives its place back.
        self._mutex = threading.RLock()

    def locked(self) -> bool:
        """Whether a task holds the lock."""
        return self._holder is not None

    def holding_task(self) -> AnyTask | None:
        """The running task when it holds the lock, else None."""
        holder = self._holder
        return holder if holder is not None and holder is _running_task() else None

    async def acquire(self) -> bool:
        """Wait for the lock; always True, as `asyncio.Lock` has it.

        Raises:
            RuntimeHostError: When this task holds the lock already: it would wait for itself.
        """
        task = _running_task()
        if task is None:
            raise RuntimeHostError("the circuit breaker's lock can only be taken by a running task")
        with self._mutex:
            if self._holder is task:
                raise RuntimeHostError("this task holds the circuit breaker's lock already, and would wait for itself")
            if self._holder is None or _is_lost(self._holder):
                self._holder = task
                return True
            turn = task.get_loop().create_future()
            self._waiting.append((task, turn))
        try:
            await turn
        except BaseException:
            with self._mutex:
                if self._holder is task:  # its turn came together with the cancellation
                    self._pass_on()
                elif (task, turn) in self._waiting:
                    self._waiting.remove((task, turn))
            raise
        return True

    def release(self) -> None:
        """Give the lock to whoever has waited longest.

        Raises:
            RuntimeHostError: When this task does not hold it.
        """
        with self._mutex:
            if self.holding_task() is None:
                raise RuntimeHostError("the circuit breaker's lock can only be released by the task that holds it")
            self._pass_on()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not GeneratorExit or self.holding_task() is not None:  # else its task is closed as garbage
            self.release()

    def _pass_on(self) -> None:
        while self._waiting:
            self._holder, turn = self._waiting.popleft()
            try:
                turn.get_loop().call_soon_threadsafe(_wake, turn)
            except RuntimeError:  # that loop has been closed with the task in it
                continue
            return
        self._holder = None


def _running_task() -> AnyTask | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_lost(task: AnyTask) -> bool:
    """Whether a holder can no longer give the lock back: its loop was closed before it had ended."""
    return task.done() or task.get_loop().is_closed()


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
