"""What the policies of a process under test go by: a clock that can be led, and a switch that lets calls pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar, cast
from weakref import WeakSet

from omnibase_infra.utils.util_ambient import Resettable, beginning_anew, set_ambient

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.decorate import Guard

G = TypeVar("G")
P = ParamSpec("P")
T = TypeVar("T")


class _Leader(Protocol):
    """Whose time the policies follow."""

    def time(self) -> float: ...

    def sleep(self, seconds: float) -> None:
        """Hold up the calling thread."""
        ...


class _StandIn:
    """The time of a leader while there is one; then real time, going on from where that ended."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._leader: _Leader | None = None
        self._adopted: WeakSet[Resettable] = WeakSet()
        self._lock = threading.RLock()
        self._has_led = False
        self.disabled = 0

    def monotonic(self) -> float:
        """Seconds on the leader's clock, else real ones."""
        leader = self._leader
        return time.monotonic() - self._began if leader is None else leader.time()

    def sleep(self, seconds: float, /) -> None:
        """Hold up the calling thread for that long."""
        leader = self._leader
        if leader is None:
            time.sleep(seconds)
        else:
            leader.sleep(seconds)

    def adopt(self, policy: Resettable, /) -> None:
        """Have `reset` reset it, for as long as it lives."""
        with self._lock:
            self._adopted.add(policy)

    def switchable(self, guard: G, /) -> G:
        """Return a guard that lets every call pass while `disabled`."""
        return cast("G", _Switchable(cast("Guard", guard), self))

    def forget_leader(self) -> None:
        """Have every policy begin anew if it may hold times of a leader's."""
        if self._has_led and self._leader is None:
            self.reset()

    def reset(self) -> None:
        """Have every policy begin anew, and tell nobody."""
        self._has_led = False
        with self._lock:
            adopted = list(self._adopted)
        if adopted:
            from omnibase_infra.infrastructure.resilience.observers.dispatch import unheard

            with unheard(), beginning_anew():
                for policy in adopted:
                    policy.reset()

    @contextmanager
    def following(self, leader: _Leader) -> Generator[None]:
        """Go by this time, which begins with policies that are as new. What they have become can be seen after it.

        Raises:
            RuntimeError: When another leader is followed.
        """
        with self._lock:
            if self._leader is not None:
                raise RuntimeError("another run under virtual time is under way: one at a time in a process")
            self._leader = leader
        before = set_ambient(self)
        try:
            self.reset()
            yield
        finally:
            set_ambient(before)
            self._began = time.monotonic() - leader.time()
            self._leader = None
            self._has_led = True


class _Switchable:
    """A guard with a way past it."""

    def __init__(self, guard: Guard, switch: _StandIn) -> None:
        self._guard = guard
        self._switch = switch

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        guarded, switch = self._guard.around_async(fn), self._switch

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await (fn if switch.disabled else guarded)(*args, **kwargs)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        guarded, switch = self._guard.around_sync(fn), self._switch

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return (fn if switch.disabled else guarded)(*args, **kwargs)

        return call


STAND_IN: Final = _StandIn()


def install() -> None:
    """Prepare the process for tests: the policies that are made from now on follow virtual time, and can be disabled.

    Those made before stay as they are in production: on the real clock, always at work. So call it before the service
    is imported. The pytest plug-in has called it already. Each guarded call then takes a little longer: measure
    elsewhere.
    """
    set_ambient(STAND_IN)


def reset_policies() -> None:
    """Have every policy begin anew: circuits closed, buckets and budgets full, caches and credentials forgotten.

    It tells observers and the log nothing. Each run under virtual time begins with it, and under pytest each test that
    had one ends with it.
    """
    STAND_IN.reset()


@contextmanager
def policies_disabled() -> Generator[None]:
    """Within this block every decorated function, and every `call` of a policy, runs as if it were not guarded.

    In every thread, and with no failure translated. What is asked by hand works as ever: the `with` block of a breaker,
    `acquire` of a limiter, the methods of `MixinAsyncCircuitBreaker`. Policies made before `install` work on.
    """
    STAND_IN.disabled += 1
    try:
        yield
    finally:
        STAND_IN.disabled -= 1
