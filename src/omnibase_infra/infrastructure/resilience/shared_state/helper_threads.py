"""For what may take long, but must not hold the thread that asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class HelperThreads:
    """Work on threads of its own. Who asks waits for `timeout` seconds; the work goes on to its end without them.

    While any work goes on to which nobody listens any longer, none is begun.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._left_alone: set[object] = set()

    def run(self, work: Callable[[], T]) -> T | None:
        """What the work gives; None when that takes too long, or when no thread is to be had.

        Args:
            work: A function that raises nothing.
        """
        if self._left_alone:
            return None
        outcome: Future[T] = Future()

        def help_out() -> None:
            found = work()
            if outcome.set_running_or_notify_cancel():
                outcome.set_result(found)
            else:
                self._left_alone.discard(outcome)

        try:
            threading.Thread(target=help_out, name="onex-rate-limit", daemon=True).start()
        except RuntimeError:  # none is to be had, as while the interpreter shuts down
            return None
        try:
            return outcome.result(self._timeout)
        except TimeoutError:
            self._left_alone.add(outcome)
            if outcome.cancel():
                return None
            self._left_alone.discard(outcome)
            return outcome.result()
