"""The circuit of calls that somebody else makes, and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.utils.util_correlation import CorrelationContext

if TYPE_CHECKING:
    from omnibase_infra.mixins.task_lock import AnyTask
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig

_JUDGED: Final = rule.COUNTED | {EnumFailureKind.THROTTLED}

_LOST: Final = rule.Generation(EnumCircuitState.CLOSED)
"""The generation of nothing: what is reported for it changes nothing."""


@dataclass(slots=True, frozen=True)
class _Admitted:
    """What a task was let through with, until it has reported."""

    generation: rule.Generation
    started: float
    calls: int = 1
    """Checks that await their report: guarded methods may call one another."""


class ReportedCircuit(InfrastructureCircuitBreaker):
    """An `InfrastructureCircuitBreaker` that is asked and told by tasks, one at a time: the caller holds a lock."""

    def __init__(
        self,
        config: ModelCircuitBreakerConfig,
        *,
        name: str,
        transport: EnumInfraTransportType | None,
        clock: Callable[[], float],
        rng: Callable[[], float],
    ) -> None:
        super().__init__(config, name=name, transport=transport, clock=clock, rng=rng)
        self.service_name = name
        self._under_way: WeakKeyDictionary[AnyTask, _Admitted] = WeakKeyDictionary()

    @property
    def probed_from(self) -> float:
        """When an open circuit may be probed, on the circuit's clock; 0.0 when it is not open."""
        return self.circuit.open_until if self.circuit.generation.state is rule.OPEN else 0.0

    def check(self, task: AnyTask, operation: str, correlation_id: UUID | None) -> InfraUnavailableError | None:
        """Let a task make its call, or return the error that refuses it."""
        now = self._clock()
        self._free_lost_probes(now)
        mine = self._under_way.get(task)
        if mine is not None and mine.generation is self.circuit.generation:
            # A guarded call inside another one is part of it: a probe must not wait for itself.
            self._under_way[task] = replace(mine, calls=mine.calls + 1)
            return None
        admitted = self.circuit.passing
        if admitted is None:
            context = self._context(operation)
            with CorrelationContext(correlation_id):
                answer = self._admit(context, now)
                if isinstance(answer, InfraUnavailableError):
                    self._under_way.pop(task, None)
                    seconds = self._whole_seconds(answer.retry_after_seconds)
                    error = InfraUnavailableError.of_policy(
                        partial(_refusal, self.service_name, seconds),
                        context,
                        retry_after_seconds=seconds,
                        circuit_state=answer.circuit_state,
                        rejected_by=answer.rejected_by,
                    )
                    error.__cause__ = answer.__cause__
                    return error
                admitted = answer
        self._under_way[task] = _Admitted(admitted, now)
        return None

    def report_failure(self, task: AnyTask, operation: str, exc: BaseException | None) -> None:
        """A task's call failed; without an exception the report itself is all that is known."""
        mine = self._reported(task)
        if mine is None:
            if not self.closed:
                return
            mine = _Admitted(self.circuit.generation, self._clock())
        failed = InfraUnavailableError("reported as failed") if exc is None else exc
        if mine.calls > 1 and mine.generation.state is rule.HALF_OPEN and self._kind_of(failed) not in _JUDGED:
            return  # the outer call still holds the probe's place
        self.record_failure(mine.generation, failed, mine.started, operation)

    def report_success(self, task: AnyTask) -> None:
        """A task's call succeeded; when it was not let through, close the circuit by hand."""
        mine = self._reported(task)
        if mine is None:
            self.reset()
        elif mine.generation.listening:
            self.record_success(mine.generation, mine.started)

    def _reported(self, task: AnyTask) -> _Admitted | None:
        mine = self._under_way.pop(task, None)
        if mine is not None and mine.calls > 1:
            self._under_way[task] = replace(mine, calls=mine.calls - 1)
        return mine

    def _free_lost_probes(self, now: float) -> None:
        """Give back the places of probes that will never report, or not in time."""
        generation = self.circuit.generation
        if generation.state is not rule.HALF_OPEN:
            return
        held = 0
        for task, admitted in list(self._under_way.items()):
            if admitted.generation is not generation:
                continue
            if task.done() or now - admitted.started >= self.recovery_timeout:
                self._under_way[task] = replace(admitted, generation=_LOST)
            else:
                held += 1
        for _ in range(generation.probes - held):
            rule.release(self.circuit, generation)

    def _whole_seconds(self, retry_after: float | None) -> int | None:
        return None if retry_after is None else min(ceil(retry_after), int(self.recovery_timeout))


def _refusal(name: str, retry_after: int | None) -> str:
    when = "until it is reset" if retry_after is None else f"for another {retry_after} s"
    return f"Circuit breaker is open: '{name}' rejects calls {when}"
