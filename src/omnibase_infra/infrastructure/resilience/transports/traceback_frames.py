"""The frames that an exception came through, for clients that put less on it than they knew."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType


def frames_of(exc: BaseException, package: str) -> Iterator[FrameType]:
    """The frames of one package in an exception's traceback, the innermost last.

    The traceback travels with the exception from thread to task. What a thread-local or a hook of the client's session
    had kept would not: the exception of `asyncio.to_thread` is classified in another thread.
    """
    step = exc.__traceback__
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__")).partition(".")[0] == package:
            yield step.tb_frame
        step = step.tb_next
