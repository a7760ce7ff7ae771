"""The measures as a reader meets them: their order, names and units, what they mean, and which is the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Final, Literal

from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_simulation import ModelSimulation

_MINUS: Final = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure: a row of every table.

    Attributes:
        field: Of `ModelMeasures`.
        label: Its name in tables.
        show: The number with its unit.
        meaning: One line for who meets it for the first time.
        better: Which number is the best; None where neither more nor less is a merit.
        nothing: What None reads as.
    """

    field: str
    label: str
    show: Callable[[float], str]
    meaning: str
    better: Literal["more", "less"] | None = None
    nothing: str = "never"

    def value(self, measures: ModelMeasures) -> float | None:
        """The number itself."""
        value: float | None = getattr(measures, self.field)
        return value

    def text(self, measures: ModelMeasures) -> str:
        """The number with its unit, or what there is instead."""
        value = self.value(measures)
        return self.nothing if value is None else self.show(value)

    def best(self, variants: Sequence[ModelMeasures]) -> frozenset[int]:
        """Places of the best, of all that read the same; of none when nobody is better than another."""
        numbers = [value for value in map(self.value, variants) if value is not None]
        texts = [self.text(measures) for measures in variants]
        if self.better is None or not numbers or len(set(texts)) == 1:
            return frozenset()
        winner = self.show(max(numbers) if self.better == "more" else min(numbers))
        return frozenset(place for place, text in enumerate(texts) if text == winner)


def seconds(value: float) -> str:
    """Three digits, in milliseconds below a second."""
    number, unit = (value * 1000, "ms") if abs(value) < 1 else (value, "s")
    digits = 2 - floor(log10(abs(number))) if number else 0
    return f"{number:,.{min(max(digits, 0), 2)}f} {unit}".replace("-", _MINUS)


def _change(value: float) -> str:
    return ("+" if value > 0 else "") + seconds(value)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float) -> str:
    text = f"{value:.2%}"
    # A single lost call among a million is no 100 %.
    return f"{'99.99' if text == '100.00%' and value < 1 else text[:-1]} %"


def _times(value: float) -> str:
    return f"{value:.2f} ×"


FIGURES: Final = (
    Figure("success_rate", "answered", _share, "share of the users' calls that got an answer", "more"),
    Figure(
        "goodput_kept",
        "goodput kept",
        _share,
        "answers, as a share of those the unguarded call would have got on a day without events",
        "more",
    ),
    Figure(
        "detect_seconds",
        "time to detect",
        seconds,
        "from the start of the first event until the circuit opened",
        "less",
        "no opening",
    ),
    Figure(
        "recover_seconds",
        "time to recover",
        seconds,
        "from the end of the last event until users got 95 % of the usual answers again, for three seconds",
        "less",
    ),
    Figure("amplification", "amplification", _times, "calls to the dependency for each call of a user", "less"),
    Figure(
        "wasted",
        "wasted calls",
        _count,
        "calls to the dependency while it was dead: in an outage, a fail-over, or sealed",
        "less",
    ),
    Figure(
        "work_lost_seconds",
        "work lost",
        seconds,
        "time the dependency worked for callers who had left",
        "less",
    ),
    Figure("p50_seconds", "p50", seconds, "half of the answers took at most this long", "less", "no answer"),
    Figure(
        "p99_seconds",
        "p99",
        seconds,
        "99 % of the answers took at most this long; a call that was given up counts with its user's patience",
        "less",
        "no answer",
    ),
    Figure(
        "added_p50_seconds",
        "added p50",
        _change,
        "p50 beyond that of the unguarded call on a day without events",
        "less",
        "no answer",
    ),
    Figure(
        "added_p99_seconds",
        "added p99",
        _change,
        "p99 beyond that of the unguarded call on a day without events",
        "less",
        "no answer",
    ),
    Figure("rejected", "rejected at once", _count, "calls a policy refused without asking the dependency"),
    Figure("gave_up", "gave up", _count, "calls whose user left before there was an answer", "less"),
    Figure("calls", "calls", _count, "calls that users made"),
    Figure("successes", "answers", _count, "calls that got an answer"),
    Figure("attempts", "attempts", _count, "calls to the dependency, retries included"),
)


def facts(simulation: ModelSimulation) -> str:
    """One line: what was simulated, for how long, with what."""
    scenario = simulation.scenario
    return (
        f"{scenario.transport}, {_load(scenario.load)}, {scenario.seconds:g} s of virtual time; "
        f"seed {simulation.seed}, onex-resilience {simulation.version}"
    )


def _load(load: ModelLoad) -> str:
    text = f"{load.rate:g} calls/s" if load.rate is not None else f"{load.clients} clients in a loop"
    if load.burst:
        text += f" and {load.burst} more at once every {load.burst_interval:g} s"
    return text


def event_label(event: ModelScenarioEvent) -> str:
    """What happens, in as few words as a chart has room for."""
    text = event.kind.value.replace("_", " ")
    if event.share < 1:
        text += f", {event.share * 100:g} %"
    if event.factor > 1:
        text += f", × {event.factor:g}"
    if event.rate is not None:
        text += f" to {event.rate:g}/s"
    return text
