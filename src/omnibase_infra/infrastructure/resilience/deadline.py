"""Bounds on the time that work takes: cheap for work that obeys its cancellation, kept with work that does not.

`Deadline` times the calls of one task each, by `asyncio.timeout`'s own protocol, but the calls of one event loop under
one bound share a single timer: a call that ends in time costs two entries in a dict instead of a timer of its own.

`finished_within` and `thread_finished_within` run the work apart, in a task or thread that can be left behind: some
drivers answer a cancellation late (psycopg 3 asks the server to cancel too, and gives a frozen one ten seconds).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Final, TypeVar, cast
from weakref import ReferenceType, WeakValueDictionary, ref

T = TypeVar("T")

GRACE: Final = 0.1
"""Seconds that overdue work gets to answer its cancellation: time to close a socket, too short to matter to a caller.

Not a setting: whoever wants the work's own end, however late, wants no abandoning.
"""


Timed = tuple[asyncio.Task[object], float, int]
"""One call under a deadline: its task, its end on the loop's clock, and how often its task had been cancelled before.

A plain tuple, known by its identity: making any other object takes longer than all else that is done for a call.
"""


class LoopTimer:
    """The calls that one event loop makes under one bound, and the one timer for all of them.

    Equal bounds end in the order in which they began, so only the first deadline needs a timer. That is set for the
    first call and, when it fires, for the first of those that are then under way; it is not set when none is.

    Only the loop's schedule and the calls themselves hold this object, so that it may hold the loop.
    """

    __slots__ = ("__weakref__", "_clock", "_is_set", "_seconds", "_timed", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._clock = loop.time
        self._seconds = seconds
        self._timed: dict[int, Timed] = {}
        self._is_set = False

    def __len__(self) -> int:
        """Calls under way."""
        return len(self._timed)

    def begin(self) -> Timed:
        """Time the current task from now on, until `end` or `is_late` is told.

        Raises:
            RuntimeError: When no task runs.
        """
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("a timeout works within a task: await the call in one")
        when = self._clock() + self._seconds
        timed = (task, when, task.cancelling())
        self._timed[id(timed)] = timed
        if not self._is_set:
            self._is_set = True
            self.loop.call_at(when, self._cancel_overdue)
        return timed

    def end(self, timed: Timed) -> None:
        """The call ended with a result, which stands even when it came late."""
        if self._timed.pop(id(timed), None) is None:
            timed[0].uncancel()

    def is_late(self, timed: Timed, exc: BaseException) -> bool:
        """The call ended with this exception: whether it is the deadline's cancellation, and nobody else's."""
        if self._timed.pop(id(timed), None) is not None:
            return False
        task, _, cancelling = timed
        return task.uncancel() <= cancelling and isinstance(exc, asyncio.CancelledError)

    def _cancel_overdue(self) -> None:
        now = self._clock()
        overdue: list[Timed] = []
        following: float | None = None
        for timed in self._timed.values():
            if timed[1] > now:
                following = timed[1]
                break
            overdue.append(timed)
        for timed in overdue:
            del self._timed[id(timed)]
            timed[0].cancel()
        self._is_set = following is not None
        if following is not None:
            self.loop.call_at(following, self._cancel_overdue)


_timers: Final[WeakValueDictionary[tuple[int, float], LoopTimer]] = WeakValueDictionary()
"""By the loop's id, which is not given to another loop while its timer lives."""


class Deadline:
    """A bound in seconds for any number of calls, in any number of event loops.

    ::

        timer = deadline.timer()
        timed = timer.begin()
        try:
            result = await fn()
        except BaseException as exc:
            late = timer.is_late(timed, exc)
            del timed  # its task may come to hold the exception, whose traceback holds this frame
            if late:
                raise TimeoutError from exc
            raise
        timer.end(timed)
    """

    __slots__ = ("_last_used", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last_used: ReferenceType[LoopTimer] | None = None

    def timer(self) -> LoopTimer:
        """The timer of the running event loop."""
        loop = asyncio.get_running_loop()
        last_used = self._last_used
        timer = last_used() if last_used is not None else None
        if timer is None or timer.loop is not loop:
            timer = _timers.get((id(loop), self.seconds))
            if timer is None:
                timer = _timers[id(loop), self.seconds] = LoopTimer(loop, self.seconds)
            self._last_used = ref(timer)
        return timer


_left_behind: Final[set[asyncio.Task[object]]] = set()
"""An event loop holds its tasks weakly: these would vanish in the middle of what they do."""


async def finished_within(work: Coroutine[object, None, T], seconds: float) -> asyncio.Task[T] | None:
    """Run `work` in a task of its own and return that when it is done; None when its time is over.

    On the deadline the work is cancelled, gets a moment to obey, and is then left behind: it goes on by itself, and
    what it returns or raises is dropped. What it used, a connection say, must not be used again. A cancelled caller
    cancels the work and waits for its end, until the deadline at the longest.

    The work has a copy of the caller's context: context variables that it sets do not reach the caller.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    ends_at = loop.time() + seconds + GRACE
    try:
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            return task
        task.cancel()
        await asyncio.wait((task,), timeout=GRACE)
        return task if task.done() and not task.cancelled() else None
    except asyncio.CancelledError:
        task.cancel()
        while not task.done() and (left := ends_at - loop.time()) > 0:
            try:
                await asyncio.wait((task,), timeout=left)
            except asyncio.CancelledError:
                task.cancel()  # the caller insists
        raise
    finally:
        leave_behind(task)
        del task  # it may hold an exception whose traceback holds this frame


def thread_finished_within(work: Callable[[], T], seconds: float | None) -> Future[T] | None:
    """Run `work` in a thread of its own and return its outcome; None when its time is over, if there is a bound.

    A thread cannot be stopped: work that is not done by then goes on by itself, holding what it holds, and its outcome
    is dropped. The thread is a daemon, which the end of the process does not wait for. The work has a copy of the
    caller's context.

    Raises:
        RuntimeError: When the system gives no thread.
    """
    outcome: Future[T] = Future()
    threading.Thread(target=copy_context().run, args=(_settle, outcome, work), name="onex-timeout", daemon=True).start()
    return outcome if wait((outcome,), timeout=seconds).done else None


def leave_behind(task: asyncio.Task[T]) -> None:
    """Cancel a task that nobody waits for any more, and keep it until it ends; its outcome is dropped."""
    if task.done():
        _drop(task)
    elif not task.get_loop().is_closed():
        if not task.cancelling():  # a second cancellation would break off what it does to obey the first
            task.cancel()
        task.add_done_callback(_drop)
        _keep(task)


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as exc:
        outcome.set_exception(exc)
    finally:
        del outcome, work  # the exception's traceback holds this frame


def _keep(task: asyncio.Task[T]) -> None:
    for kept in list(_left_behind):
        if kept.get_loop().is_closed():
            _left_behind.discard(kept)
    _left_behind.add(cast("asyncio.Task[object]", task))


def _drop(task: asyncio.Task[T]) -> None:
    """Have asyncio not report an exception that nobody is there to see."""
    _left_behind.discard(cast("asyncio.Task[object]", task))
    if not task.cancelled():
        task.exception()
