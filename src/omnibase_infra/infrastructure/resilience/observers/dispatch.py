"""Who listens, and how they are told without being able to break or delay a call."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache, partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from omnibase_infra.enums import EnumResilienceEvent
from omnibase_infra.infrastructure.resilience.observers.log import LEVELS, LOGGER, has_handler, is_heard, log_event
from omnibase_infra.utils.util_correlation import attempt_var, correlation_id_var

if TYPE_CHECKING:
    from uuid import UUID

    from omnibase_infra.enums import EnumCircuitState, EnumFailureKind, EnumInfraTransportType
    from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

Observer = Callable[["ModelResilienceEvent"], None]

_BACKLOG: Final = 10_000
"""Events kept for slow observers; beyond it the newest are dropped, and that is said once."""


class _Fields(TypedDict, total=False):
    policy: str
    name: str
    transport: EnumInfraTransportType | None
    operation: str | None
    correlation_id: UUID | None
    attempt: int
    wait_seconds: float
    failure_kind: EnumFailureKind
    error_type: str
    previous_state: EnumCircuitState
    state: EnumCircuitState
    retry_after_seconds: float | None
    timeout_seconds: float
    client_attempts: int


class _Mailbox:
    """A queue and the one daemon thread that empties it; the thread starts with the first event."""

    def __init__(self) -> None:
        # A re-entrant queue: a garbage collection inside `post` may close a guarded generator, which posts too.
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._overflowed = False

    def post(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._start()
        if self._queue.qsize() < _BACKLOG:
            self._queue.put(job)
        elif not self._overflowed:
            self._overflowed = True
            _say(logging.WARNING, "observers are slower than events come in; events are dropped")

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread is at it, or this very one, further up
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="onex-observers", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:  # no thread is to be had, as while the interpreter shuts down
            pass
        finally:
            self._starting.release()

    def _work(self) -> None:
        while True:
            self._queue.get()()


class _Listener:
    """An observer whose exceptions stay with it."""

    __slots__ = ("_complained", "_observer", "inline")

    def __init__(self, observer: Observer, *, inline: bool) -> None:
        self._observer = observer
        self._complained = False
        self.inline = inline

    def tell(self, event: ModelResilienceEvent) -> None:
        try:
            self._observer(event)
        except BaseException as broken:
            if self.inline and not isinstance(broken, Exception):
                raise  # an interrupt of the guarded call, which happened to come while it was here
            if not self._complained:
                self._complained = True
                name: str = getattr(self._observer, "__qualname__", type(self._observer).__qualname__)
                # The class only: what an observer raises is foreign text.
                _say(logging.ERROR, "observer %s raised %s; it stays subscribed", name, type(broken).__qualname__)


class _Audience:
    """Everyone who listens."""

    def __init__(self) -> None:
        self.observers: tuple[_Listener, ...] = ()
        self._lock = threading.RLock()
        self._mailbox = _Mailbox()
        self._log = _Listener(log_event, inline=True)

    def add(self, observer: Observer, *, inline: bool) -> Callable[[], None]:
        listener = _Listener(observer, inline=inline)
        with self._lock:
            self.observers = (*self.observers, listener)

        def remove() -> None:
            with self._lock:
                self.observers = tuple(known for known in self.observers if known is not listener)

        return remove

    def log(self, event: ModelResilienceEvent) -> None:
        self._log.tell(event)

    def publish(self, event: ModelResilienceEvent) -> None:
        for listener in self.observers:
            if listener.inline:
                listener.tell(event)
            else:
                whose = event.correlation_id or correlation_id_var.get(), event.attempt or attempt_var.get()
                self._mailbox.post(partial(self._deliver, listener, event, *whose))

    def _deliver(
        self, listener: _Listener, event: ModelResilienceEvent, correlation_id: UUID | None, attempt: int
    ) -> None:
        if listener in self.observers:  # else it was taken off while the event waited
            # What the observer logs belongs to the call, whose context the mailbox's thread does not have.
            correlation_id_var.set(correlation_id)
            attempt_var.set(attempt)
            listener.tell(event)

    def flush(self, timeout: float) -> bool:
        done = threading.Event()
        self._mailbox.post(done.set)
        return done.wait(timeout)

    def restart(self) -> None:
        self._lock = threading.RLock()
        self._mailbox = _Mailbox()


def _say(level: int, sentence: str, *names: str) -> None:
    with suppress(Exception):  # the application's own handlers may raise as well
        LOGGER.log(level, sentence, *names)


_is_enabled: Final = LOGGER.isEnabledFor
_audience: Final = _Audience()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_audience.restart)  # threads do not survive a fork


def add_observer(observer: Observer, *, inline: bool = False) -> Callable[[], None]:
    """Have `observer` called with every event; return a function that takes it off again.

    Observers run on a thread of their own, so that a slow one delays no call. What they raise is logged once and
    swallowed. Once taken off, an observer hears nothing any more, not even of what happened before.

    Args:
        observer: Called with one `ModelResilienceEvent`.
        inline: Call it within the guarded call instead. For tests and counters that must be exact at once; such an
            observer must not block.
    """
    return _audience.add(observer, inline=inline)


def flush_observers(timeout: float) -> bool:
    """Wait until every event so far has been heard; False when `timeout` seconds were not enough."""
    return _audience.flush(timeout)


@contextmanager
def unheard() -> Generator[None]:
    """Have what policies do in this block told to nobody; for tests, in one thread at a time."""
    observers, disabled = _audience.observers, LOGGER.disabled
    _audience.observers, LOGGER.disabled = (), True
    try:
        yield
    finally:
        _audience.observers, LOGGER.disabled = observers, disabled


def is_listened_to(kind: EnumResilienceEvent) -> bool:
    """Whether `emit` would tell anyone: where even the fields of an event cost something."""
    if _audience.observers:
        return True
    return _is_enabled(LEVELS[kind]) and has_handler()  # `is_heard`, without a call of it


@cache
def _blank_event() -> ModelResilienceEvent:
    # Pydantic classes are slow to make, and most processes never need this one.
    from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

    return ModelResilienceEvent(kind=EnumResilienceEvent.RETRY, policy="", name="")


def emit(kind: EnumResilienceEvent, **fields: Unpack[_Fields]) -> None:
    """Tell everyone who listens. Builds nothing when nobody does."""
    heard = is_heard(kind)
    if not heard and not _audience.observers:
        return
    event = _blank_event().model_copy(update={"kind": kind, **fields})  # a third of what `model_construct` takes
    if heard:
        _audience.log(event)
    _audience.publish(event)
