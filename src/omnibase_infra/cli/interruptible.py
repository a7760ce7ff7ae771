"""Long work that Ctrl-C ends at once, and quietly."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import TypeVar

T = TypeVar("T")


def interruptible(work: Callable[[], T]) -> T:
    """Do the work in a thread, which keeps its processes from hearing of Ctrl-C: they would each show a traceback.

    Raises:
        KeyboardInterrupt: When the user interrupts; the processes are gone then.
    """
    outcome: Future[T] = Future()

    def do() -> None:
        if hasattr(signal, "pthread_sigmask"):
            resource_tracker.ensure_running()  # which would undo the mask
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # processes inherit it
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.kill()
        raise
