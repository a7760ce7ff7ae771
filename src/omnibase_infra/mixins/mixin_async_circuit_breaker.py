"""The circuit breaker for classes that ask and report by hand: a face of the machine in `rules/circuit.py`."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from uuid import UUID

from omnibase_infra.enums import EnumInfraTransportType, EnumUnset
from omnibase_infra.errors import RuntimeHostError
from omnibase_infra.infrastructure.resilience.arguments import checked_name
from omnibase_infra.infrastructure.resilience.shared_state.circuit_sharing import settled, sharing
from omnibase_infra.mixins.reported_circuit import ReportedCircuit
from omnibase_infra.mixins.task_lock import AnyTask, TaskLock
from omnibase_infra.utils.util_correlation import CorrelationContext


class MixinAsyncCircuitBreaker:
    """Gives the objects of a class a circuit each, which they ask before an operation and tell how it ended.

    Every method is awaited with `_circuit_breaker_lock` held, and the operation itself runs without it::

        async with self._circuit_breaker_lock:
            await self._check_circuit_breaker("connect", correlation_id)
        try:
            await self._do_connect()
        except Exception:
            async with self._circuit_breaker_lock:
                await self._record_circuit_failure("connect", correlation_id)
            raise
        async with self._circuit_breaker_lock:
            await self._reset_circuit_breaker()

    The circuit remembers which task it let through, so a late report about an earlier state changes nothing. A probe
    whose task ends without a report, cancelled say, gives its place back with the next check; one that hangs keeps its
    place for another `reset_timeout`, and its report no longer counts then.
    """

    service_name: str
    """The dependency, as errors and logs name it."""

    _circuit_breaker_lock: TaskLock
    """Used as an `asyncio.Lock`; it serves several event loops and threads, should the object do so."""

    _circuit_breaker_circuit: ReportedCircuit | None = None

    def _init_circuit_breaker(
        self,
        threshold: int | None = None,
        reset_timeout: float | None = None,
        service_name: str | None = None,
        transport_type: EnumInfraTransportType | None = None,
        *,
        shared: str | EnumUnset | None = EnumUnset.UNSET,
        quorum: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Make the circuit and its lock; called once, in ``__init__``.

        Args:
            threshold: Consecutive counted failures that open the circuit, 1 or more. Default: that of the
                ``[defaults.circuit_breaker]`` preset, 5.
            reset_timeout: Seconds until an open circuit admits a probe; 0 means at once, and then nothing
                bounds the probes under way. Default: the preset's, 60.
            service_name: Shown in errors and logs; the name of the class when None. Objects of one name share nothing,
                save with `shared`.
            transport_type: Transport of the guarded calls.
            shared: URL of the Redis or Valkey through which the objects of one `service_name`, which is needed then,
                share one circuit, in all workers; None for one of this object. Where the preset has the URL, those with
                a `service_name` are shared. Only a check that would be a probe waits for the store, with the lock held,
                for the preset's 0.02 s at most.
            quorum: With `shared`, workers that must report a trip before it counts for all, 1 or more.
            clock: Monotonic time in seconds.
            rng: Source of the recovery's jitter, in [0, 1), should the preset have one.

        Raises:
            ProtocolConfigurationError: When an argument is not usable.
        """
        from omnibase_infra.models.resilience import ModelCircuitBreakerConfig
        from omnibase_infra.presets import resolve

        given = {"failure_threshold": threshold, "recovery_timeout": reset_timeout}
        config = resolve(
            "defaults",
            "circuit_breaker",
            ModelCircuitBreakerConfig,
            # One success closes it: that is what the report of a success is called here.
            overrides={
                "success_threshold": 1,
                **{key: value for key, value in given.items() if value is not None},
                **sharing(shared, quorum),
            },
            names={"failure_threshold": "threshold", "recovery_timeout": "reset_timeout"},
        )
        circuit = ReportedCircuit(
            settled(config, shared, quorum, service_name, "service_name"),
            name=checked_name(service_name, "service_name") or type(self).__qualname__,
            transport=transport_type,
            clock=clock,
            rng=rng,
        )
        self._circuit_breaker_circuit = circuit
        self._circuit_breaker_lock = TaskLock()
        self.service_name = circuit.service_name

    @property
    def _circuit_breaker_open(self) -> bool:
        """Whether the next check is refused because the circuit is open."""
        return self._known_circuit().opened

    @property
    def _circuit_breaker_failures(self) -> int:
        """Consecutive counted failures: so far while closed, else those that led here."""
        return self._known_circuit().failure_count

    @property
    def _circuit_breaker_open_until(self) -> float:
        """When an open circuit may be probed, seconds on the mixin's monotonic clock; 0.0 when it is not open."""
        return self._known_circuit().probed_from

    async def _check_circuit_breaker(self, operation: str, correlation_id: UUID | None = None) -> None:
        """Let the operation pass, or refuse it.

        Raises:
            InfraUnavailableError: "Circuit breaker is open"; `retry_after_seconds` is a whole number from 0 to the
                reset timeout.
            RuntimeHostError: When this task does not hold `_circuit_breaker_lock`.
        """
        circuit, task = self._circuit_under_lock("_check_circuit_breaker")
        if circuit.is_asked():
            del task
            await circuit.knock()
            circuit, task = self._circuit_under_lock("_check_circuit_breaker")
        refused = circuit.check(task, operation, correlation_id)
        del task  # it keeps the exception it ends with, whose traceback keeps this frame
        if refused is not None:
            try:
                raise refused
            finally:
                del refused

    async def _record_circuit_failure(self, operation: str, correlation_id: UUID | None = None) -> None:
        """Report that the operation failed.

        Inside an ``except`` block the exception decides what that means, as everywhere: errors of the caller, refused
        credentials and rejections by our own policies do not count. Elsewhere the report counts as it is.

        A report by a task that was not let through counts only while the circuit is closed.

        Raises:
            RuntimeHostError: When this task does not hold `_circuit_breaker_lock`.
        """
        circuit, task = self._circuit_under_lock("_record_circuit_failure")
        exc = sys.exception()
        try:
            with CorrelationContext(correlation_id):
                circuit.report_failure(task, operation, exc)
        finally:
            del exc

    async def _reset_circuit_breaker(self) -> None:
        """Report that the operation succeeded; in a task that was not let through: close the circuit by hand.

        Raises:
            RuntimeHostError: When this task does not hold `_circuit_breaker_lock`.
        """
        circuit, task = self._circuit_under_lock("_reset_circuit_breaker")
        circuit.report_success(task)

    def _known_circuit(self) -> ReportedCircuit:
        circuit = self._circuit_breaker_circuit
        if circuit is None:
            raise RuntimeHostError(f"{type(self).__qualname__} must call _init_circuit_breaker() in its __init__")
        return circuit

    def _circuit_under_lock(self, method: str) -> tuple[ReportedCircuit, AnyTask]:
        circuit = self._known_circuit()
        lock = self._circuit_breaker_lock
        task = lock.holding_task()
        if task is None:
            why = "another task holds it" if lock.locked() else "it is free"
            raise RuntimeHostError(
                f"{type(self).__qualname__}.{method}() needs the lock, and {why}: await it inside "
                "'async with self._circuit_breaker_lock:'"
            )
        return circuit, task
