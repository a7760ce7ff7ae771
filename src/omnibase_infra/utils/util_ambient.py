"""Whether tests are about to run: then policies are made so that a test can lead their clock, and switch them off.

In production nobody sets this, and a policy binds `time.monotonic` and the function it guards directly: a call pays for
no indirection. So it has to be set before the policies are made, which is why the pytest plug-in does it at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol, TypeVar

G = TypeVar("G")


class Resettable(Protocol):
    """A policy that can begin anew."""

    def reset(self) -> None:
        """Forget everything that was counted or kept."""
        ...


class Ambient(Protocol):
    """What policies that are made for a test go by."""

    def monotonic(self) -> float:
        """Stand in for `time.monotonic`."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Stand in for `time.sleep`."""
        ...

    def adopt(self, policy: Resettable, /) -> None:
        """Have the policy begin anew with each test run under virtual time."""
        ...

    def switchable(self, guard: G, /) -> G:
        """Return a guard that lets every call pass while the policies are switched off."""
        ...


current: Ambient | None = None
"""What a policy that is made now goes by; None in production."""


is_beginning_anew = False
"""Whether the policies are being reset for a test: then nothing is said to the store that they share with others."""


@contextmanager
def beginning_anew() -> Generator[None]:
    """Have the resets in this block concern this process alone; in one thread at a time."""
    global is_beginning_anew  # noqa: PLW0603 - a process has one such moment
    is_beginning_anew = True
    try:
        yield
    finally:
        is_beginning_anew = False


def set_ambient(ambient: Ambient | None) -> Ambient | None:
    """Have the policies that are made from now on go by this; return what they went by before."""
    global current
    before, current = current, ambient
    return before


def adopt(policy: Resettable) -> None:
    """Have the policy begin anew with each test, if tests are about to run."""
    if current is not None:
        current.adopt(policy)


def clock_of(clock: Callable[[], float]) -> Callable[[], float]:
    """The clock that is read by whoever was given this one."""
    return current.monotonic if current is not None and clock is time.monotonic else clock


def clock_for(policy: Resettable, clock: Callable[[], float]) -> Callable[[], float]:
    """As `clock_of`, for a policy whose state holds times: it begins anew when tests lead the clock."""
    if clock is time.monotonic:
        adopt(policy)
    return clock_of(clock)


def origin_of(clock: Callable[[], float]) -> float:
    """From when a policy may count: now, but 0 on the clock of tests, which goes back under a policy that lives on."""
    return 0.0 if current is not None and clock == current.monotonic else clock()


def sleep_of(sleep: Callable[[float], None]) -> Callable[[float], None]:
    """What a plain function sleeps by when it was given this."""
    return current.sleep if current is not None and sleep is time.sleep else sleep
