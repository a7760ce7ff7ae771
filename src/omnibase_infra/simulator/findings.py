"""From what was counted to what is shown: measures, and the course second by second."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil
from typing import Final, overload

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.simulator.model_course import ModelCourse
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.model_variant import ModelVariant
from omnibase_infra.simulator.recorder import Outcome, Recording

STEP: Final = 1.0
"""Seconds."""

RECOVERED: Final = 0.95
"""Share of the usual answers that users get when all is well again."""
STEADY: Final = 3.0
"""Seconds for which they have to."""


def variant(scenario: ModelScenario, name: str, recording: Recording, usual: Recording) -> ModelVariant:
    """What one stack is, and what it did, compared with the naked call on a day without events."""
    return ModelVariant(
        name=name,
        settings=recording.words,
        measures=measures(scenario, recording, usual),
        course=course(scenario, recording),
    )


def measures(scenario: ModelScenario, recording: Recording, usual: Recording) -> ModelMeasures:
    """The sums of a run, as `ModelMeasures` defines them."""
    calls, attempts = len(recording.began), len(recording.attempts)
    ended = Counted(recording.outcomes)
    usually = Counted(usual.outcomes)
    p50, p99 = _p50_p99(recording, scenario.load.patience)
    usual_p50, usual_p99 = _p50_p99(usual, scenario.load.patience)
    return ModelMeasures(
        calls=calls,
        successes=ended.answered,
        success_rate=shown(ended.answered / calls) if calls else 0.0,
        goodput_kept=shown(ended.answered / usually.answered) if usually.answered else 0.0,
        attempts=attempts,
        amplification=shown(attempts / calls) if calls else 0.0,
        wasted=recording.wasted,
        detect_seconds=_detect_seconds(scenario, recording),
        recover_seconds=_recover_seconds(scenario, recording, usual),
        p50_seconds=shown(p50),
        p99_seconds=shown(p99),
        added_p50_seconds=None if p50 is None or usual_p50 is None else shown(p50 - usual_p50),
        added_p99_seconds=None if p99 is None or usual_p99 is None else shown(p99 - usual_p99),
        rejected=ended.rejected,
        gave_up=ended.gave_up,
        work_lost_seconds=shown(recording.work_lost),
    )


class Counted:
    """How many calls ended how."""

    def __init__(self, outcomes: bytearray) -> None:
        self.answered = outcomes.count(Outcome.ANSWERED)
        self.rejected = outcomes.count(Outcome.REJECTED)
        self.gave_up = outcomes.count(Outcome.GAVE_UP)


def course(scenario: ModelScenario, recording: Recording) -> ModelCourse:
    """Second by second; what happened after the end counts in the last."""
    steps = ceil(scenario.seconds / STEP)
    began, ended, outcomes = recording.began, recording.ended, recording.outcomes
    by_outcome = [array("d") for _ in Outcome]
    taken: list[list[float]] = [[] for _ in range(steps)]
    for begin, end, outcome in zip(began, ended, outcomes, strict=True):
        by_outcome[outcome].append(end)
        if outcome == Outcome.ANSWERED:
            taken[min(int(end / STEP), steps - 1)].append(end - begin)
    for times in taken:
        times.sort()
    return ModelCourse(
        step=STEP,
        offered=_by_step(began, steps),
        served=_by_step(by_outcome[Outcome.ANSWERED], steps),
        failed=_by_step([*by_outcome[Outcome.FAILED], *by_outcome[Outcome.GAVE_UP]], steps),
        retried=_by_step(recording.retries, steps),
        rejected=_by_step(by_outcome[Outcome.REJECTED], steps),
        attempts=_by_step(recording.attempts, steps),
        p50=tuple(shown(_quantile(times, 0.5)) for times in taken),
        p99=tuple(shown(_quantile(times, 0.99)) for times in taken),
        budget=None if recording.budget is None else tuple(map(shown, recording.budget)),
        circuit=tuple((shown(when), state) for when, state in recording.circuit),
    )


@overload
def shown(number: float) -> float: ...


@overload
def shown(number: float | None) -> float | None: ...


def shown(number: float | None) -> float | None:
    """Six significant digits: beyond them, versions of Python and of the C library may differ."""
    return None if number is None else float(f"{number:.6g}")


def _by_step(times: Iterable[float], steps: int) -> tuple[int, ...]:
    counts = [0] * steps
    for when in times:
        counts[min(int(when / STEP), steps - 1)] += 1
    return tuple(counts)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest time that this share of them does not exceed."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def _p50_p99(recording: Recording, patience: float) -> tuple[float | None, float | None]:
    taken: list[float] = []
    gave_up = 0
    for begin, end, outcome in zip(recording.began, recording.ended, recording.outcomes, strict=True):
        if outcome == Outcome.ANSWERED:
            taken.append(end - begin)
        elif outcome == Outcome.GAVE_UP:
            gave_up += 1
    taken.sort()
    # Nobody waits longer than the patience, so those come last.
    return _quantile(taken, 0.5), _quantile([*taken, *[patience] * gave_up], 0.99)


def _detect_seconds(scenario: ModelScenario, recording: Recording) -> float | None:
    if not scenario.events:
        return None
    first = min(event.at for event in scenario.events)
    opened = (when for when, state in recording.circuit if state is EnumCircuitState.OPEN and when >= first)
    when = next(opened, None)
    return None if when is None else shown(when - first)


def _recover_seconds(scenario: ModelScenario, recording: Recording, usual: Recording) -> float | None:
    """Until the answer to the first call from which on nearly all are answered."""
    if not scenario.events:
        return None
    over = max(event.at + event.lasts for event in scenario.events)
    answered, usually = _Answered(recording), _Answered(usual)
    first = bisect_left(recording.began, over)
    for call in range(first, len(recording.began)):
        begin = recording.began[call]
        if begin + STEADY > scenario.seconds:
            break
        if recording.outcomes[call] == Outcome.ANSWERED:
            till = begin + STEADY
            if answered.between(begin, till) >= RECOVERED * usually.between(begin, till):
                return shown(recording.ended[call] - over)
    return None


class _Answered:
    """How many of the calls that began within a time were answered."""

    def __init__(self, recording: Recording) -> None:
        self._began = recording.began
        answered = (outcome == Outcome.ANSWERED for outcome in recording.outcomes)
        self._before = [0, *accumulate(answered)]

    def between(self, since: float, till: float) -> int:
        return self._before[bisect_left(self._began, till)] - self._before[bisect_left(self._began, since)]
