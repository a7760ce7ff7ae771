"""An event loop on which time passes only when nothing else can happen.

Its clock jumps to the next timer: `asyncio.sleep`, `asyncio.timeout`, and what the policies wait for take no real time.
What runs in the loop's threads takes no virtual time, unless it sleeps by a policy: the clock stands still for it.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, TypeVar, TypeVarTuple
from uuid import UUID

from omnibase_infra.testing.stand_in import STAND_IN

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE: Final = 5.0
"""Real seconds that the loop waits for a thread."""

MOST_TURNS: Final = 1_000_000
"""Some ten seconds of work: a test that takes more turns has got out of hand."""

MOST_TURNS_AT_ONCE: Final = 100_000
"""Far more than any number of tasks needs to settle at one point in time."""

_NAMED: Final = 10


class DeadlockError(RuntimeError):
    """Every task waits, and nothing is left that could wake one. The message names the tasks."""


class RunawayError(RuntimeError):
    """The loop turns without end. The message names the tasks."""


class _Job:
    """What one of the loop's threads does."""

    __slots__ = ("has_begun", "is_abandoned")

    def __init__(self) -> None:
        self.has_begun = False
        self.is_abandoned = False
        """Whether nobody awaits it any more: its end is then told by itself."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout == 0:
            self.loop.count_turn()
        elif self.loop.awaits_threads(sets_timer=timeout is not None):
            ready = super().select(self.loop.patience)
            if not ready:
                self.loop.leave_threads()
                self.loop.give_up(f"no thread has come back for {self.loop.patience:g} s of real time")
        elif timeout is None:
            self.loop.give_up("every task waits and no timer is set")
        else:
            self.loop.jump()
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose clock, which starts at 0, jumps to the next timer.

    Args:
        waits_for_threads: Wait, for a bounded real time, when no task can go on and no timer is set: for a thread that
            is not the loop's own. The threads of `asyncio.to_thread` and `run_in_executor` are always waited for.
        patience: The longest such wait, real seconds.
        max_turns: Turns after which the loop has got out of hand; None for no bound.
        max_turns_at_once: Turns without any time passing after which it has.
    """

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own heap, the next timer first

    def __init__(
        self,
        *,
        waits_for_threads: bool = False,
        patience: float = PATIENCE,
        max_turns: int | None = MOST_TURNS,
        max_turns_at_once: int = MOST_TURNS_AT_ONCE,
    ) -> None:
        self._now = 0.0
        self._waits_for_threads = waits_for_threads
        self.patience = patience
        self._max_turns = max_turns
        self._max_turns_at_once = max_turns_at_once
        self._turns = 0
        self._turns_at_once = 0
        self._thread = threading.get_ident()
        self._jobs: set[_Job] = set()
        self._job_of: dict[int, _Job] = {}
        self._asleep: dict[threading.Event, _Job | None] = {}
        """Threads that sleep by this clock, and what each does for the loop."""
        self._is_stuck = False
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Have time pass at once, as a function does that blocks the loop's thread."""
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Hold up the calling thread: on the loop's own thread everything stands still meanwhile."""
        if threading.get_ident() == self._thread:
            self.advance(seconds)
            return
        woken = threading.Event()
        job = self._job_of.get(threading.get_ident())
        self.call_soon_threadsafe(self._put_to_sleep, woken, seconds, job)
        woken.wait()

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a thread, for which the clock stands still."""
        job = _Job()

        def work() -> T:
            job.has_begun = True
            self._job_of[threading.get_ident()] = job
            try:
                return func(*args)
            finally:
                del self._job_of[threading.get_ident()]
                if job.is_abandoned and not self.is_closed():
                    self.call_soon_threadsafe(self._jobs.discard, job)

        def settled(outcome: asyncio.Future[T]) -> None:
            job.is_abandoned = outcome.cancelled() and job.has_begun
            if not job.is_abandoned:
                self._jobs.discard(job)

        self._jobs.add(job)
        outcome = super().run_in_executor(executor, work)
        outcome.add_done_callback(settled)
        return outcome

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002
        """Wait for the loop's threads, in real time: asyncio's own bound of 300 s would be over at once."""
        executor: Executor | None = getattr(self, "_default_executor", None)
        if self._is_stuck and executor is not None:
            executor.shutdown(wait=False)
        else:
            self._waits_for_threads = True
            await super().shutdown_default_executor()

    def close(self) -> None:
        """Close the loop, and wake the threads that sleep by its clock."""
        for woken in list(self._asleep):
            self._wake(woken)
        super().close()

    def awaits_threads(self, *, sets_timer: bool) -> bool:
        """Whether a thread may wake a task, before the next timer does if there is one."""
        return bool(self._jobs.difference(self._asleep.values())) or (self._waits_for_threads and not sets_timer)

    def jump(self) -> None:
        """Go on to the next timer."""
        self._now = max(self._now, self._scheduled[0].when())
        self._turns_at_once = 0
        self.count_turn()

    def leave_threads(self) -> None:
        """Wait for no thread any more."""
        self._is_stuck = True
        self._jobs.clear()

    def count_turn(self) -> None:
        """Count one turn.

        Raises:
            RunawayError: When there were too many.
        """
        self._turns += 1
        self._turns_at_once += 1
        if self._turns_at_once > self._max_turns_at_once:
            turns = self._turns_at_once
            self._turns_at_once = 0  # so that the tasks can be cancelled
            raise RunawayError(self._described(f"{turns} turns without any time passing"))
        if self._max_turns is not None and self._turns > self._max_turns:
            turns, self._turns = self._turns, 0
            raise RunawayError(self._described(f"{turns} turns, and still not at an end"))

    def give_up(self, why: str) -> None:
        """Raise, and name the tasks.

        Raises:
            DeadlockError: Always.
        """
        raise DeadlockError(self._described(f"deadlock: {why}"))

    def _described(self, what: str) -> str:
        tasks = sorted((task for task in asyncio.all_tasks(self)), key=lambda task: task.get_name())
        lines = [f"{what} (at {self._now:g} s)", *map(_described, tasks[:_NAMED])]
        if len(tasks) > _NAMED:
            lines.append(f"  and {len(tasks) - _NAMED} more tasks")
        return "\n".join(lines)

    def _put_to_sleep(self, woken: threading.Event, seconds: float, job: _Job | None) -> None:
        self._asleep[woken] = job
        self.call_later(seconds, self._wake, woken)

    def _wake(self, woken: threading.Event) -> None:
        self._asleep.pop(woken, None)
        woken.set()


def run(
    main: Coroutine[object, object, T],
    *,
    seed: int | None = 0,
    waits_for_threads: bool = False,
    patience: float = PATIENCE,
    max_turns: int | None = MOST_TURNS,
) -> T:
    """Run a coroutine under virtual time that starts at 0, with policies that are as new.

    The policies follow the loop's clock unless they were given one of their own; see `install`. After the run they go
    on in real time, so that it can be seen what has become of them.

    Args:
        main: The coroutine.
        seed: Of `random`, by which waits are jittered, and of the correlation ids, so that every run is the same;
            None leaves them to chance. `random` goes on after the run as if there had been none.
        waits_for_threads: Wait, for a bounded real time, when no task can go on and no timer is set: for a thread that
            is not the loop's own. The threads of `asyncio.to_thread` and `run_in_executor` are always waited for.
        patience: The longest such wait, real seconds.
        max_turns: Turns of the loop after which it has got out of hand; None for no bound.

    Raises:
        DeadlockError: When every task waits and no timer is set.
        RunawayError: When the loop turns on and on.
        RuntimeError: When an event loop runs in this thread, or another run is under way.
    """
    loop = VirtualTimeLoop(waits_for_threads=waits_for_threads, patience=patience, max_turns=max_turns)
    try:
        with STAND_IN.following(loop), _seeded(seed), asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main)
    finally:
        if inspect.iscoroutine(main):
            main.close()  # or it would warn, where it was not begun, that nobody awaited it
        loop.close()


def clock() -> float:
    """Virtual seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()


@contextmanager
def _seeded(seed: int | None) -> Generator[None]:
    if seed is None:
        yield
        return
    chance = random.Random(seed)

    def next_id() -> UUID:
        return UUID(int=chance.getrandbits(128), version=4)

    ours = [module for name, module in list(sys.modules.items()) if name.startswith("omnibase_infra.")]
    makers = [(vars(module), vars(module)["uuid4"]) for module in ours if "uuid4" in vars(module)]
    state = random.getstate()
    random.seed(seed)
    try:
        for names, _ in makers:
            names["uuid4"] = next_id
        yield
    finally:
        for names, maker in makers:
            names["uuid4"] = maker
        random.setstate(state)


def _described(task: asyncio.Task[object]) -> str:
    """A task's name, and the innermost line that it waits at, of those that are not asyncio's own if there are any."""
    waiting: object = task.get_coro()
    name = getattr(waiting, "__qualname__", type(waiting).__qualname__)
    frames: list[FrameType | None] = []
    while waiting is not None:
        frame: FrameType | None = None
        following: object = None
        if inspect.iscoroutine(waiting):
            frame, following = waiting.cr_frame, waiting.cr_await
        elif inspect.isgenerator(waiting):
            frame, following = waiting.gi_frame, waiting.gi_yieldfrom
        frames.append(frame)
        waiting = following
    known = [frame for frame in frames if frame is not None]
    theirs = [frame for frame in known if not str(frame.f_globals.get("__name__")).startswith("asyncio.")]
    where = "".join(f" at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}" for frame in (theirs or known)[-1:])
    return f"  {task.get_name()}: {name}, waiting{where}"
