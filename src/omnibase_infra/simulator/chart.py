"""A simulation as a picture for print: what the page shows, on one time axis. Needs the extra `simulator`."""

# The drawing functions of matplotlib take keywords without a type.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, isnan, log10, nan
from pathlib import Path
from textwrap import wrap
from typing import Final

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.chart_sections import SECTIONS, TEXT, Section
from omnibase_infra.simulator.figures import FIGURES, event_label, facts
from omnibase_infra.simulator.model_course import ModelCourse
from omnibase_infra.simulator.model_scenario_event import ModelScenarioEvent
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_variant import ModelVariant

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the chart needs matplotlib: pip install 'onex-resilience[simulator]'", name=error.name
    ) from error

# Inches.
_WIDTH, _LEFT, _RIGHT = 11.0, 0.7, 1.9
_HEAD, _LINE, _EVENT, _TITLE, _NAME, _BAND, _FOOT = 0.9, 0.2, 0.2, 0.5, 0.27, 0.17, 0.45
_INCIDENT_WIDTH = 120
"""Letters to a line."""
_FAINT: Final = "#5f6972"
_STATES: Final = {
    EnumCircuitState.CLOSED: ("#dfe9f0", _FAINT),
    EnumCircuitState.OPEN: ("#2b3036", "white"),
    EnumCircuitState.ISOLATED: ("#2b3036", "white"),
    EnumCircuitState.HALF_OPEN: ("#b8700c", "white"),
    EnumCircuitState.DISABLED: ("white", _FAINT),
}
_LABEL_MIN_SHARE = 0.08
_USUAL, _CUT_BEYOND, _CUT_AT = 0.98, 2.5, 2.0
"""A peak of a few seconds would flatten all the rest: far beyond what 98 % of the steps keep to, it is cut off."""
_POWERS_AT_MOST = 5


def write_png(simulation: ModelSimulation, path: Path) -> None:
    """Write the picture as a PNG, or as what the suffix says: ``.svg``, ``.pdf``. The same one gives the same bytes.

    Raises:
        ProtocolConfigurationError: matplotlib cannot write such files.
        OSError: The file cannot be written.
    """
    kind = path.suffix[1:].lower() or "png"
    figure = draw_chart(simulation)
    if kind not in figure.canvas.get_supported_filetypes():
        raise ProtocolConfigurationError("path: its suffix must be .png, .svg or .pdf", parameter="path")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with mpl.rc_context({"svg.hashsalt": "onex-resilience", "svg.fonttype": "none"}):
        figure.savefig(path, format=kind, metadata=undated)


def draw_chart(simulation: ModelSimulation) -> Figure:
    """The picture, not yet written. The label of each of its axes is ``<variant>: <what it shows>``."""
    shown = [
        (section, variants)
        for section in SECTIONS
        if (variants := [each for each in simulation.variants if section.series[0].values(each.course) is not None])
    ]
    events = simulation.scenario.events
    incident = wrap(simulation.scenario.incident, _INCIDENT_WIDTH)
    head = _HEAD + _LINE * len(incident) + _EVENT * len(events)
    height = head + sum(_height(section, len(variants)) for section, variants in shown)
    figure = Figure(figsize=(_WIDTH, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    _write(figure, height - 0.42, simulation.scenario.name, fontsize=16, fontweight="bold")
    _write(figure, height - 0.52, "\n".join(incident), fontsize=10.5, va="top", linespacing=1.3)
    _write(figure, height - 0.72 - _LINE * len(incident), facts(simulation), fontsize=9, color=_FAINT)
    end = _end(simulation)
    top = height - head
    if events:
        _draw_events(_axes(figure, top, _EVENT * len(events), end), events, end)
    for section, variants in shown:
        _draw_section(figure, section, variants, events, top=top, end=end)
        top -= _height(section, len(variants))
    return figure


def _height(section: Section, variants: int) -> float:
    return _TITLE + variants * (_NAME + section.height + (_BAND if section.band else 0)) + _FOOT


def _end(simulation: ModelSimulation) -> float:
    courses = (variant.course for variant in simulation.variants)
    return max([simulation.scenario.seconds, *(len(course.offered) * course.step for course in courses)])


def _write(figure: Figure, y: float, text: str, *, x: float = _LEFT, **style: object) -> None:
    # A name with dollars in it is no formula.
    figure.text(x / _WIDTH, y / figure.get_figheight(), text, {"color": TEXT, **style}, parse_math=False)


def _axes(figure: Figure, bottom: float, height: float, end: float) -> Axes:
    whole = figure.get_figheight()
    axes = figure.add_axes((_LEFT / _WIDTH, bottom / whole, 1 - (_LEFT + _RIGHT) / _WIDTH, height / whole))
    axes.set_xlim(0, end)
    axes.tick_params(colors=_FAINT, labelcolor=TEXT, length=2, labelsize=8, labelbottom=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw_events(axes: Axes, events: Sequence[ModelScenarioEvent], end: float) -> None:
    axes.set_label("events")
    axes.set_axis_off()
    axes.set_ylim(len(events), 0)
    for row, event in enumerate(events):
        until = event.at + event.lasts
        axes.barh(row + 0.5, event.lasts, 0.7, event.at, facecolor="#eeeff0", edgecolor=_FAINT, linewidth=0.7)
        # Where there is room: after the bar, or before one that ends late.
        late = until > end / 2
        place = (event.at, -4, "right") if late else (until, 4, "left")
        axes.annotate(
            event_label(event),
            (place[0], row + 0.5),
            (place[1], 0),
            textcoords="offset points",
            ha=place[2],
            va="center",
            fontsize=8.5,
            color=TEXT,
        )


def _draw_section(
    figure: Figure,
    section: Section,
    variants: Sequence[ModelVariant],
    events: Sequence[ModelScenarioEvent],
    *,
    top: float,
    end: float,
) -> None:
    """Draw from `top` downwards, in inches."""
    step = variants[0].course.step
    _write(figure, top - 0.25, section.title, fontsize=12, fontweight="bold")
    unit = section.unit.format(step="second" if step == 1 else f"{step:g} s")
    _write(figure, top - 0.42, unit, fontsize=8.5, color=_FAINT)
    top -= _TITLE
    drawn: list[tuple[Axes, list[float]]] = []
    for variant in variants:
        top -= _NAME + section.height
        axes = lowest = _axes(figure, top, section.height, end)
        axes.set_label(f"{variant.name}: {section.title}")
        drawn.append((axes, _draw_series(axes, section, variant.course)))
        for event in events:
            axes.axvspan(event.at, event.at + event.lasts, color=TEXT, alpha=0.07, linewidth=0)
            for edge in (event.at, event.at + event.lasts):
                axes.axvline(edge, color=_FAINT, linewidth=0.7, linestyle=(0, (2, 3)))
        _write(figure, top + section.height + 0.06, variant.name, fontsize=9.5, fontweight="bold")
        measured = [each for each in FIGURES if each.field in section.figures]
        told = "\n".join(f"{each.label} {each.text(variant.measures)}" for each in measured)
        _write(figure, top + section.height, told, x=_WIDTH - _RIGHT + 0.12, va="top", fontsize=8, linespacing=1.35)
        if section.band:
            top -= _BAND
            lowest = _axes(figure, top, _BAND - 0.04, end)
            lowest.set_label(f"{variant.name}: circuit")
            _draw_circuit(lowest, variant.course, end)
        if variant is variants[-1]:
            lowest.tick_params(labelbottom=True)
            lowest.set_xlabel("seconds", fontsize=8, color=_FAINT, labelpad=1, loc="right")
    first = drawn[0][0]
    first.legend(ncols=len(section.series), loc="lower right", bbox_to_anchor=(1.01, 0.97), frameon=False, fontsize=8.5)
    (_scale_logarithmically if section.logarithmic else _scale)(drawn)


def _draw_series(axes: Axes, section: Section, course: ModelCourse) -> list[float]:
    """Draw all, and return the highest level of each step."""
    highest = ground = [0.0] * len(course.offered)
    for series in section.series:
        values = series.values(course) or []
        edges = [place * course.step for place in range(len(values) + 1)]
        if series.face is None:
            axes.stairs(
                values,
                edges,
                baseline=None,
                label=series.label,
                color=series.colour,
                linestyle=series.dashes,
                linewidth=series.width,
            )
        else:
            below = ground[: len(values)]
            values = [under + value for under, value in zip(below, values, strict=True)]
            # An area of nothing is none, not a line.
            seen = [nan if value == under else value for under, value in zip(below, values, strict=True)]
            axes.stairs(
                seen,
                edges,
                baseline=below,
                fill=True,
                label=series.label,
                facecolor=series.face,
                edgecolor=series.colour,
                hatch=series.hatch,
                linewidth=0.6,
            )
            if section.stacked:
                ground = values
        highest = [most if isnan(value) else max(most, value) for most, value in zip(highest, values, strict=False)]
    return highest


def _scale(drawn: Sequence[tuple[Axes, list[float]]]) -> None:
    """One scale for all variants; a peak that it cuts off is told in words."""
    levels = sorted(level for _, highest in drawn for level in highest)
    usual, most = levels[floor(len(levels) * _USUAL)], levels[-1]
    cut = 0 < usual * _CUT_BEYOND < most
    top = usual * _CUT_AT if cut else max(most, 1.0) * 1.08
    for axes, highest in drawn:
        axes.set_ylim(0, top)
        axes.locator_params(axis="y", nbins=3)
        peak = max(highest)
        if peak > top:
            at = (highest.index(peak) + 0.5) / len(highest)
            axes.text(
                at,
                0.99,
                f"\N{BLACK UP-POINTING TRIANGLE} {peak:,.0f}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=8,
                color=TEXT,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )


def _scale_logarithmically(drawn: Sequence[tuple[Axes, list[float]]]) -> None:
    """One scale for all variants, from a power of ten to another."""
    seconds = [
        value
        for axes, _ in drawn
        for patch in axes.patches
        if (data := getattr(patch, "get_data", None)) is not None
        for value in data().values
        if value > 0
    ]
    low = floor(log10(min(seconds, default=0.001)))
    high = max(ceil(log10(max(seconds, default=1.0))), low + 1)
    powers = range(low, high + 1, 1 if high - low < _POWERS_AT_MOST else 2)
    for axes, _ in drawn:
        axes.set_yscale("log")
        axes.set_ylim(10.0**low, 10.0**high)
        axes.set_yticks([10.0**power for power in powers], [_power(power) for power in powers])
        axes.set_yticks([], minor=True)


def _power(power: int) -> str:
    return f"{10**power} s" if power >= 0 else f"{10.0 ** (power + 3):g} ms"


def _draw_circuit(axes: Axes, course: ModelCourse, end: float) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    if not course.circuit:
        axes.text(0, 0.5, "no circuit opened", transform=axes.transAxes, va="center", fontsize=8, color=_FAINT)
        return
    changes = [(0.0, EnumCircuitState.CLOSED), *course.circuit]
    for (since, state), (until, _) in pairwise([*changes, (end, EnumCircuitState.CLOSED)]):
        face, ink = _STATES[state]
        axes.axvspan(since, until, facecolor=face, edgecolor="none")
        if until - since > _LABEL_MIN_SHARE * end:
            text = state.value.replace("_", "-")
            axes.text((since + until) / 2, 0.46, text, ha="center", va="center", fontsize=8, color=ink)
    # A half-open circuit mostly lasts too short to be seen as a band.
    probes = [at for at, state in course.circuit if state is EnumCircuitState.HALF_OPEN]
    axes.plot(probes, [1.0] * len(probes), "v", color="#b8700c", markersize=4, clip_on=False, zorder=3)
