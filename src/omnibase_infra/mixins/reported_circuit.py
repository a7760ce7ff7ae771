"""The circuit of calls that somebody else makes, and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from omnibase_infra.enums import EnumCircuitState, EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import InfraUnavailableError, ModelOnexError
from omnibase_infra.errors.error_onex import policy_error
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

    def is_asked(self) -> bool:
        """Whether `knock` is to be awaited before the next check: others share the circuit, and it may be a probe."""
        follower = self._follower
        if follower is None or self.circuit.passing is not None:
            return False
        self._free_lost_probes(self._clock())
        return follower.is_asked()

    async def knock(self) -> None:
        """Ask the others whether the next check may be a probe."""
        if self._follower is not None:
            await self._follower.knock_async()

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
            origin = self._origin(operation)
            with CorrelationContext(correlation_id):
                admitted = self._admit(now)
                if admitted is None:
                    self._tell_of_rejection(operation, now)
                    self._under_way.pop(task, None)
                    state, seconds = rule.refusal(self.circuit, now)
                    error = policy_error(
                        InfraUnavailableError,
                        replace(origin, describe=_refusal, circuit_state=state),
                        self._whole_seconds(seconds),
                    )
                    error.__cause__ = origin.cause
                    return error
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
            # By hand, and so for all workers; but none of them is told of what is closed anyway.
            by_hand = None if rule.is_blank(self.circuit) else "reset"
            self._change(lambda: rule.close(self.circuit), by_hand=by_hand)
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
            if self._follower is not None:
                self._follower.ended(generation, generation, generation, EnumFailureKind.ABANDONED)

    def _whole_seconds(self, retry_after: float | None) -> int | None:
        return None if retry_after is None else min(ceil(retry_after), int(self.recovery_timeout))


def _refusal(error: ModelOnexError) -> str:
    wait = error.retry_after_seconds
    when = "until it is reset" if wait is None else f"for another {wait} s"
    return f"Circuit breaker is open: '{error.rejected_by}' rejects calls {when}"
