"""Bulkheads: how many calls run at once, and a bounded queue for the next ones.

The free places lie in a list: to pop one is to have it. That and looking at the queue are single atomic operations, so
a call that finds a place needs no lock and no await. Only who queues, or ends while others queue, takes the lock.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar

from omnibase_infra.enums import EnumInfraTransportType, EnumPolicyKind, EnumResilienceEvent
from omnibase_infra.errors import InfraUnavailableError, ModelOnexError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import FOREVER, checked_name, require
from omnibase_infra.infrastructure.resilience.decorate import (
    IS_DEFERRED,
    NamedByUse,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.observers import emit, is_listened_to
from omnibase_infra.utils.util_correlation import correlation_id_var

if TYPE_CHECKING:
    from types import TracebackType

    from omnibase_infra.models.resilience import ModelBulkheadConfig, ModelPolicySnapshot

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_REJECTED: Final = EnumResilienceEvent.REJECTED  # Python 3.11 takes long to find a member in its class


class Bulkhead(NamedByUse):
    """Bounds the calls that run at once, over any number of tasks, event loops and threads.

    Further calls queue, first come, first served; one that finds the queue full, or waits too long, is rejected. A
    place belongs to a call until that has ended, however it ends. Used as a decorator, as ``with`` or ``async with``,
    or by `call`.

    A plain function, and ``with``, wait by blocking their thread. On an event loop's thread that stops everyone there,
    those who have the places too: guard a coroutine function, or set `max_wait` to 0. A call that makes another call
    under the same bulkhead needs two places.

    Args:
        max_concurrent: Calls that run at once, 1 or more.
        max_queue: Calls that wait at most; 0 for no waiting. Unless given, this and `max_wait` are the shipped
            ``[defaults.bulkhead]``.
        max_wait: Longest wait for a place, seconds.
        name: Shown in errors. An unnamed bulkhead takes its transport and the first function it guards.
        transport: Transport of the guarded calls.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    default_name: ClassVar[str] = "bulkhead"
    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.BULKHEAD

    def __init__(
        self,
        max_concurrent: int,
        max_queue: int | None = None,
        max_wait: float | None = None,
        name: str | None = None,
        *,
        transport: EnumInfraTransportType | None = None,
    ) -> None:
        from omnibase_infra.errors.model_infra_error_context import call_context
        from omnibase_infra.models.resilience import ModelBulkheadConfig

        shipped = ModelBulkheadConfig()
        self.config: Final = ModelBulkheadConfig(
            max_concurrent=max_concurrent,
            max_queue=shipped.max_queue if max_queue is None else max_queue,
            max_wait=shipped.max_wait if max_wait is None else max_wait,
        )
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        self.transport = transport
        self._name = checked_name(name)
        self._places = [True] * self.max_concurrent
        self._room: Final = self.max_queue
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._called: dict[_Waiter, None] = {}  # have a place and do not know it yet
        # Re-entrant: the garbage collector may close an abandoned call, which gives its place back, at any time.
        self._lock = threading.RLock()
        self._call_context = call_context
        if name is not None:
            registry.enlist(self, self._name)

    @property
    def max_concurrent(self) -> int:
        """Calls that run at once."""
        return self.config.max_concurrent

    @property
    def max_queue(self) -> int:
        """Calls that wait at most."""
        return self.config.max_queue

    @property
    def max_wait(self) -> float:
        """Longest wait for a place, seconds."""
        return self.config.max_wait

    @property
    def in_flight(self) -> int:
        """Calls that have a place now."""
        return self.max_concurrent - len(self._places)

    @property
    def waiting(self) -> int:
        """Calls in the queue now."""
        return len(self._queue)

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        return ModelPolicySnapshot(
            kind=self.policy_kind,
            name=self.name,
            transport=self.transport,
            numbers={
                "in_flight": self.in_flight,
                "max_concurrent": self.max_concurrent,
                "waiting": self.waiting,
                "max_queue": self.max_queue,
                "max_wait": self.max_wait,
            },
        )

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function. `take_place` and `give_back` are written out here: two calls less."""
        operation = self._introduce(fn)
        origin: ErrorOrigin | None = None  # made when it is first needed
        places, queue = self._places, self._queue

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal origin
            has_place = False
            if not queue:
                try:
                    has_place = places.pop()
                except IndexError:
                    pass
            if not has_place:
                if self._is_crowded():
                    origin = origin or self._origin(operation, in_queue=False)
                    raise self._rejection(origin)
                await self._queue_up_async(operation)
            try:
                return await fn(*args, **kwargs)
            finally:
                places.append(True)
                if queue:
                    self._call_next()

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function."""
        operation = self._introduce(fn)
        origin: ErrorOrigin | None = None  # made when it is first needed

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            nonlocal origin
            if not self.take_place():
                if self._is_crowded():
                    origin = origin or self._origin(operation, in_queue=False)
                    raise self._rejection(origin)
                self._queue_up(operation)
            try:
                result = fn(*args, **kwargs)
                if IS_DEFERRED[type(result)]:
                    refuse_deferred(fn, result)
                return result
            finally:
                self.give_back()

        return call

    def __enter__(self) -> None:
        if not self.take_place():
            self._queue_up("with block")

    def __exit__(
        self, cls: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()

    async def __aenter__(self) -> None:
        if not self.take_place():
            await self._queue_up_async("async with block")

    async def __aexit__(
        self, cls: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()

    def _named(self) -> None:
        registry.enlist(self, None)

    def take_place(self) -> bool:
        """Take a place, unless none is free or somebody waits for one."""
        if self._queue:
            return False
        try:
            return self._places.pop()
        except IndexError:
            return False

    def give_back(self) -> None:
        """Give a place back, to the first of those who wait for one."""
        self._places.append(True)
        # Looked at afterwards: who queues up meanwhile either is seen here or sees the place.
        if self._queue:
            self._call_next()

    def _queue_up(self, operation: str) -> None:
        """Wait for a place, blocking the thread, or raise."""
        turn = threading.Event()
        waiter = _Waiter(turn.set)
        entered = False
        try:
            entered = self._enter(waiter)
            if entered:
                turn.wait(min(self.max_wait, FOREVER))
        except BaseException:
            if self._leave(waiter):
                self.give_back()
            raise
        if not self._leave(waiter):
            raise self._rejection(self._origin(operation, in_queue=entered))

    async def _queue_up_async(self, operation: str) -> None:
        """Wait for a place, or raise."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        waiter = _Waiter(lambda: loop.call_soon_threadsafe(_settle, turn), loop)
        entered = False
        try:
            entered = self._enter(waiter)
            if entered and waiter not in self._called:
                alarm = loop.call_later(self.max_wait, _settle, turn)
                try:
                    await turn
                finally:
                    alarm.cancel()
        except BaseException:
            if self._leave(waiter):
                self.give_back()
            raise
        if not self._leave(waiter):
            raise self._rejection(self._origin(operation, in_queue=entered))

    def _is_crowded(self) -> bool:
        """Whether the queue has no room: then nothing need be made to wait with."""
        if not self._room:
            return True  # nobody ever waits, so that nobody can be lost while he does
        if len(self._queue) < self._room:
            return False
        with self._lock:
            self._pass_over_lost()
            return len(self._queue) >= self._room

    def _enter(self, waiter: _Waiter) -> bool:
        """Join the queue, and be called at once if a place is free; False when the queue is full."""
        with self._lock:
            self._queue[waiter] = None
            self._pass_over_lost()
            if waiter not in self._queue or len(self._queue) <= self.max_queue:
                return True
            del self._queue[waiter]
            return False

    def _leave(self, waiter: _Waiter) -> bool:
        """Leave the queue; whether with a place."""
        with self._lock:
            if waiter in self._queue:  # its time is over, or it was cancelled: the last chance to find a lost place
                self._pass_over_lost()
            waiter.has_left = True
            self._queue.pop(waiter, None)
            return self._called.pop(waiter, waiter) is None

    def _call_next(self) -> None:
        """Hand the free places to those who wait, in order."""
        with self._lock:
            while self._queue:
                try:
                    self._places.pop()
                except IndexError:
                    return
                head = next(iter(self._queue), None)
                if head is not None:
                    self._called[head] = None
                    self._queue.pop(head, None)
                if head is None or head.has_left or not head.call():
                    self._take_back(head)

    def _pass_over_lost(self) -> None:
        """Forget waiters whose event loop was closed, who neither use a place nor leave; call those behind."""
        for called in list(self._called):
            if called.is_lost():
                self._take_back(called)
        while (head := next(iter(self._queue), None)) is not None and head.is_lost():
            self._queue.pop(head, None)
        self._call_next()

    def _take_back(self, waiter: _Waiter | None) -> None:
        if waiter is None or self._called.pop(waiter, waiter) is None:
            self._places.append(True)

    def _origin(self, operation: str, *, in_queue: bool) -> ErrorOrigin:
        describe = partial(_refusal, self.config, in_queue=in_queue)
        return ErrorOrigin(describe, self._call_context(self.transport, operation, self.name), rejected_by=self.name)

    def _rejection(self, origin: ErrorOrigin) -> InfraUnavailableError:
        if is_listened_to(_REJECTED):
            emit(
                _REJECTED,
                policy="bulkhead",
                name=self.name,
                transport=self.transport,
                operation=origin.context.operation if origin.context else None,
                correlation_id=correlation_id_var.get(),
            )
        return policy_error(InfraUnavailableError, origin)


class _Waiter:
    __slots__ = ("_loop", "_wake", "has_left")

    def __init__(self, wake: Callable[[], object], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._wake = wake
        self._loop = loop
        self.has_left = False

    def call(self) -> bool:
        """Whether the waiter could be told."""
        try:
            self._wake()
        except RuntimeError:  # its event loop was closed under it
            return False
        return True

    def is_lost(self) -> bool:
        return self._loop is not None and self._loop.is_closed()


def _settle(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _refusal(config: ModelBulkheadConfig, error: ModelOnexError, *, in_queue: bool) -> str:
    if in_queue:
        why = f"and none ended within {config.max_wait:g} s"
    else:
        why = f"and lets {config.max_queue} wait for {config.max_wait:g} s"
    return f"Bulkhead full: '{error.rejected_by}' runs {config.max_concurrent} at once, {why}"


class BulkheadFactory:
    """Builds bulkheads from one section of the presets; every ``create_*_bulkhead`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self._section = section
        self._transport = transport

    def __call__(
        self,
        max_concurrent: int | None = None,
        max_queue: int | None = None,
        max_wait: float | None = None,
        name: str | None = None,
        *,
        service: str | None = None,
        profile: str | None = None,
    ) -> Bulkhead:
        """Build a bulkhead from the transport's preset; every argument given here wins over it.

        Args:
            max_concurrent: Calls that run at once, 1 or more.
            max_queue: Calls that wait at most; 0 for no waiting.
            max_wait: Longest wait for a place, seconds.
            name: Shown in errors; the service's unless given.
            service: Read ``[services.<service>]`` over the transport's preset.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.

        Raises:
            ProtocolConfigurationError: When a setting is wrong.
        """
        from omnibase_infra.models.resilience import ModelBulkheadConfig
        from omnibase_infra.presets import resolve

        given = {"max_concurrent": max_concurrent, "max_queue": max_queue, "max_wait": max_wait}
        overrides = {key: value for key, value in given.items() if value is not None}
        config = resolve(
            self._section, "bulkhead", ModelBulkheadConfig, service=service, profile=profile, overrides=overrides
        )
        return Bulkhead(
            config.max_concurrent,
            config.max_queue,
            config.max_wait,
            service if name is None else name,
            transport=self._transport,
        )


create_database_bulkhead: Final = BulkheadFactory("database", EnumInfraTransportType.DATABASE)
create_network_bulkhead: Final = BulkheadFactory("network", EnumInfraTransportType.HTTP)
create_kafka_bulkhead: Final = BulkheadFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_bulkhead: Final = BulkheadFactory("vault", EnumInfraTransportType.VAULT)
create_consul_bulkhead: Final = BulkheadFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_bulkhead: Final = BulkheadFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_bulkhead: Final = BulkheadFactory("grpc", EnumInfraTransportType.GRPC)
