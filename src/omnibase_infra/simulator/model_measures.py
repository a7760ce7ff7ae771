"""What came of a variant."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ModelMeasures(BaseModel):
    """What the users of one stack got, and what the dependency had to bear.

    Attributes:
        calls: Calls that users made.
        successes: Calls that were answered.
        success_rate: Share of the calls that were answered.
        goodput_kept: Share of the calls that were answered among those that the naked call would have had answered
            if nothing had happened: the same load and seed without the events.
        attempts: Calls to the dependency: how often the guarded function ran.
        amplification: Calls to the dependency for each call of a user.
        wasted: Calls to the dependency while it was dead: during an outage, a fail-over or sealed.
        detect_seconds: From the start of the first event to the first opening of the circuit after it; None when none
            opened.
        recover_seconds: From the end of the last event until the users' calls succeed again: until the answer to the
            first call from which on, for three seconds, at least 95 % as many of the users' calls were answered as on
            a day without events. None when that never came.
        p50_seconds: Of the answered calls, from the user's call to the answer.
        p99_seconds: The same; here a call that its user gave up counts too, with the user's patience.
        added_p50_seconds: Beyond the naked call on a day without events.
        added_p99_seconds: Beyond the naked call on a day without events.
        rejected: Calls that a policy refused without asking the dependency.
        gave_up: Calls whose user left before there was an answer.
        work_lost_seconds: Time that the dependency worked for attempts whose caller was gone by the end of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int
    successes: int
    success_rate: float
    goodput_kept: float
    attempts: int
    amplification: float
    wasted: int
    detect_seconds: float | None
    recover_seconds: float | None
    p50_seconds: float | None
    p99_seconds: float | None
    added_p50_seconds: float | None
    added_p99_seconds: float | None
    rejected: int
    gave_up: int
    work_lost_seconds: float
