"""Timeouts: a bound on the time that one call takes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import ClassVar, Final, ParamSpec, TypeVar

from omnibase_infra.enums import EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraTimeoutError, ModelOnexError, ProtocolConfigurationError
from omnibase_infra.errors.error_onex import policy_error
from omnibase_infra.errors.error_origin import ErrorOrigin
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused, require, require_flag
from omnibase_infra.infrastructure.resilience.deadline import Deadline, finished_within, thread_finished_within
from omnibase_infra.infrastructure.resilience.decorate import (
    NamedByUse,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.observers import emit
from omnibase_infra.utils.util_correlation import correlation_id_var

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Timeout(NamedByUse):
    """Ends a call that takes longer than it may; a generator, until its first item.

    On its deadline a coroutine is cancelled, as `asyncio.timeout` does it, and the caller gets an `InfraTimeoutError`
    once it has ended. A function's own `TimeoutError` or `CancelledError` passes unchanged, and so does a result that
    comes late.

    With `abandon` the call runs in a task of its own, and the caller gets its error on time even when the function
    holds its cancellation up, as psycopg 3 does for ten seconds. What then goes on by itself still holds its
    connection, which must be thrown away and not given back to a pool. Context variables that the function sets do not
    reach the caller.

    A plain function cannot be interrupted: it needs `abandon`, and then runs in a daemon thread of its own that is left
    behind on the deadline, with whatever it holds, until it ends by itself. Each call costs a thread.

    Args:
        seconds: Longest duration of a call, above 0.
        name: Shown in errors. An unnamed timeout takes its transport and the first function it guards.
        transport: Transport of the guarded calls.
        abandon: Leave behind what does not end in time.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    default_name: ClassVar[str] = "timeout"

    def __init__(
        self,
        seconds: float,
        *,
        name: str | None = None,
        transport: EnumInfraTransportType | None = None,
        abandon: bool = False,
    ) -> None:
        self.seconds = _checked_bound(seconds)
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_flag(abandon=abandon)
        self.transport = transport
        self.abandon = abandon
        self._name = checked_name(name)
        self.deadline: Final = Deadline(seconds)
        # Here, so that the first overdue call need not wait for the import.
        from omnibase_infra.errors.model_infra_error_context import call_context

        self._call_context = call_context

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Bound a coroutine function."""
        operation = self._introduce(fn)
        deadline = self.deadline

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            timer = deadline.timer()
            timed = timer.begin()
            try:
                result = await fn(*args, **kwargs)
            except BaseException as exc:
                late = timer.is_late(timed, exc)
                del timed  # its task may come to hold the exception, whose traceback holds this frame
                if late:
                    raise self.late(operation, exc)  # noqa: B904
                raise
            timer.end(timed)
            return result

        async def call_apart(*args: P.args, **kwargs: P.kwargs) -> T:
            async def work() -> T:
                return await fn(*args, **kwargs)

            task = await finished_within(work(), self.seconds)
            if task is None:
                raise self.late(operation)
            try:
                return task.result()
            finally:
                del task

        return call_apart if self.abandon else call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Bound a plain function.

        Raises:
            TypeError: When it may not be left behind.
        """
        if not self.abandon:
            raise TypeError(
                f"{qualified_name(fn)} is a plain function, which no timeout can interrupt: abandon=True runs it in a "
                "thread of its own and leaves that behind; better is a time-out of the driver's own"
            )
        operation = self._introduce(fn)

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            outcome = thread_finished_within(partial(fn, *args, **kwargs), self.seconds)
            if outcome is None:
                raise self.late(operation)
            try:
                result = outcome.result()
            finally:
                del outcome
            refuse_deferred(fn, result)
            return result

        return call

    def late(self, operation: str, cancelled: BaseException | None = None) -> InfraTimeoutError:
        """The error of a call that took too long; its causes show where the call stood when it was cancelled."""
        emit(
            EnumResilienceEvent.TIMED_OUT,
            policy="timeout",
            name=self.name,
            transport=self.transport,
            operation=operation,
            correlation_id=correlation_id_var.get(),
            timeout_seconds=self.seconds,
        )
        error = policy_error(
            InfraTimeoutError,
            ErrorOrigin(
                partial(_sentence, self.name, operation, self.seconds),
                self._call_context(self.transport, operation, self.name),
                details={"timeout_seconds": self.seconds},
            ),
        )
        error.__cause__ = TimeoutError()  # what `asyncio.timeout` would have raised
        error.__cause__.__cause__ = cancelled
        return error


def _checked_bound(seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < inf:
        raise refused("seconds", seconds, "a finite number of seconds, above 0")
    return seconds


def _sentence(name: str, operation: str, seconds: float, _error: ModelOnexError) -> str:
    return f"Timed out: {operation} took longer than the {seconds:g} s that '{name}' allows"


class TimeoutFactory:
    """Builds timeouts from one section of the presets; every ``create_*_timeout`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self._section = section
        self._transport = transport

    def __call__(
        self,
        seconds: float | None = None,
        name: str | None = None,
        *,
        abandon: bool | None = None,
        service: str | None = None,
        profile: str | None = None,
    ) -> Timeout:
        """Build a timeout of one attempt from the preset; every argument given here wins over it.

        Args:
            seconds: Longest duration of a call, above 0.
            name: Shown in errors; the service's unless given.
            abandon: Leave behind what does not end in time; a plain function needs it.
            service: Read ``[services.<service>]`` over the transport's preset.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.

        Raises:
            ProtocolConfigurationError: When a setting is wrong, or the preset sets no bound and `seconds` is not given.
        """
        # Presets bring pydantic models, which are slow to import and not needed before the first factory call.
        from omnibase_infra.models.resilience import ModelTimeoutConfig
        from omnibase_infra.presets import resolve

        overrides: dict[str, object] = {}
        if seconds is not None:
            overrides = {"attempt": seconds, "total": None}  # this one bound is all there is: no other limits it
        if abandon is not None:
            overrides["abandon"] = abandon
        config = resolve(
            self._section,
            "timeout",
            ModelTimeoutConfig,
            service=service,
            profile=profile,
            overrides=overrides,
            names={"attempt": "seconds"},
        )
        if config.attempt is None:
            raise ProtocolConfigurationError(
                f"seconds: must be given, since {service or self._section}.timeout.attempt is switched off",
                parameter="seconds",
            )
        return Timeout(
            config.attempt, name=service if name is None else name, transport=self._transport, abandon=config.abandon
        )


create_database_timeout: Final = TimeoutFactory("database", EnumInfraTransportType.DATABASE)
create_network_timeout: Final = TimeoutFactory("network", EnumInfraTransportType.HTTP)
create_kafka_timeout: Final = TimeoutFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_timeout: Final = TimeoutFactory("vault", EnumInfraTransportType.VAULT)
create_consul_timeout: Final = TimeoutFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_timeout: Final = TimeoutFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_timeout: Final = TimeoutFactory("grpc", EnumInfraTransportType.GRPC)
