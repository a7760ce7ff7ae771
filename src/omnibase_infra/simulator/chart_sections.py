"""What the printed picture consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

from omnibase_infra.simulator.model_course import ModelCourse


@dataclass(frozen=True, slots=True)
class Series:
    """One line or area. Told apart by lightness and hatching as well as by hue, so that it can be printed in grey."""

    field: str
    label: str
    colour: str
    face: str | None = None
    hatch: str | None = None
    dashes: str = "-"
    width: float = 1.2

    def values(self, course: ModelCourse) -> list[float] | None:
        """One value a step, NaN for None; None for a variant without."""
        values: Sequence[float | None] | None = getattr(course, self.field)
        return None if values is None else [nan if value is None else value for value in values]


@dataclass(frozen=True, slots=True)
class Section:
    """The pictures that answer one question, one for each variant, on one scale.

    Attributes:
        title: The question.
        unit: Of the vertical axis; ``{step}`` stands for the length of a step.
        height: Inches.
        figures: Fields of `ModelMeasures`, told beside each picture.
        series: What is drawn, the lowest of a stack first.
        stacked: Areas stand on those before them.
        logarithmic: The scale is, and what is drawn are seconds.
        band: The circuit's state is drawn below.
    """

    title: str
    unit: str
    height: float
    figures: tuple[str, ...]
    series: tuple[Series, ...]
    stacked: bool = False
    logarithmic: bool = False
    band: bool = False


TEXT: Final = "#1c2126"

SECTIONS: Final = (
    Section(
        "What the users got",
        "calls in each {step}",
        0.85,
        ("success_rate", "rejected", "gave_up", "detect_seconds", "recover_seconds"),
        (
            Series("served", "answered", "#1d5b87", face="#d2dee7"),
            Series("rejected", "rejected at once", "#b8700c", face="#f1e2ce", hatch="/////"),
            Series("failed", "failed", "#a3182d", face="#b13b4d"),
            Series("offered", "offered", TEXT, dashes=":"),
        ),
        stacked=True,
        band=True,
    ),
    Section(
        "What the dependency was asked",
        "calls to it in each {step}",
        0.55,
        ("amplification", "wasted", "work_lost_seconds"),
        (
            Series("attempts", "all attempts", "#5a6570", face="#dee0e2"),
            Series("retried", "retries", "#5b3a8c", face="#7558a0"),
        ),
    ),
    Section(
        "How long an answer took",
        "seconds from call to answer",
        0.6,
        ("p50_seconds", "p99_seconds"),
        (Series("p50", "p50", "#1d5b87", width=2.0), Series("p99", "p99", TEXT, width=0.8)),
        logarithmic=True,
    ),
    Section(
        "What was left to retry with",
        "tokens in the retry budget, at the end of each {step}",
        0.45,
        (),
        (Series("budget", "retry budget", "#1f6b4f", face="#d2e1dc"),),
    ),
)
