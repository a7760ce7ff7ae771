"""How a variant fared, second by second."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from omnibase_infra.enums import EnumCircuitState


class ModelCourse(BaseModel):
    """One entry for each `step` of time. All sequences but `circuit` are of one length.

    What ends after the scenario's end counts in the last step, so that the sums are those of `ModelMeasures`.

    Attributes:
        step: Seconds.
        offered: Calls that users began.
        served: Calls that were answered.
        failed: Calls that ended in an error, those that were given up included, those rejected at once not.
        retried: Attempts beyond the first of a call.
        rejected: Calls that a policy refused without asking the dependency.
        attempts: Calls to the dependency.
        p50: Median seconds of the calls answered; None where none was.
        p99: The same.
        budget: Balance of the retry budget at the end of the step; None without one.
        circuit: Moments of change, in seconds, with the state from then on; empty without a circuit breaker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: float
    offered: tuple[int, ...]
    served: tuple[int, ...]
    failed: tuple[int, ...]
    retried: tuple[int, ...]
    rejected: tuple[int, ...]
    attempts: tuple[int, ...]
    p50: tuple[float | None, ...]
    p99: tuple[float | None, ...]
    budget: tuple[float, ...] | None
    circuit: tuple[tuple[float, EnumCircuitState], ...]
