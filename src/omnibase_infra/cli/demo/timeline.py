"""The picture of a run: what callers got, what the database was asked, and the circuit's state, over one time axis."""

# The drawing functions of matplotlib take keywords without a type.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omnibase_infra.cli.demo.recording import Outcome, Recording
from omnibase_infra.cli.demo.report import Summary
from omnibase_infra.enums import EnumCircuitState

_BINS = 100
# Told apart by lightness as well as by hue, so that the picture can be printed in grey.
_SUCCESS = "#1d5b87"
_REJECTED = "#d98a1f"
_FAILED = "#a3182d"
_RETRY = "#9aa3ab"
_TEXT = "#222222"
_FAINT = "#777777"
_BAND = {EnumCircuitState.CLOSED: "#dfe9f0", EnumCircuitState.OPEN: "#333333"}
_LABEL_MIN_SHARE = 0.06


def draw_timeline(recording: Recording, summary: Summary, path: Path) -> None:
    """Write the picture as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(11, 6.4), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    answers, queries, circuit = (
        figure.add_axes((0.075, bottom, 0.805, height)) for bottom, height in ((0.40, 0.43), (0.20, 0.16), (0.10, 0.06))
    )
    figure.text(0.075, 0.945, _headline(summary), fontsize=15, fontweight="bold", color=_TEXT)
    figure.text(
        0.075,
        0.905,
        f"{summary.calls_while_down:,} calls came in while PostgreSQL was down; "
        f"the dead server was asked {summary.queries_to_dead_server:,} times.",
        fontsize=10.5,
        color=_TEXT,
    )
    end = max(recording.ended_at, 0.001)
    edges = [index * end / _BINS for index in range(_BINS + 1)]
    _draw_answers(answers, recording, edges)
    _draw_queries(queries, recording, edges)
    _draw_circuit(circuit, recording, end)
    for axes in (answers, queries, circuit):
        axes.set_xlim(0, end)
        axes.tick_params(colors=_FAINT, labelcolor=_TEXT, labelbottom=axes is circuit, length=3)
        for side in ("top", "right", *(("left", "bottom") if axes is circuit else ())):
            axes.spines[side].set_visible(False)
        for at in (recording.crashed_at, recording.restored_at):
            if at is not None and axes is not circuit:
                axes.axvline(at, color=_TEXT, linewidth=1.0, linestyle=(0, (4, 3)))
    for at, label in ((recording.crashed_at, "database gone"), (recording.restored_at, "database back")):
        if at is not None:
            answers.text(at, 1.02, label, transform=answers.get_xaxis_transform(), ha="center", color=_TEXT)
    figure.savefig(path, format="png")


def _headline(summary: Summary) -> str:
    if summary.seconds_to_open is None:
        return "PostgreSQL crashes, and the circuit does not open"
    opens = f"PostgreSQL crashes: circuit open after {summary.seconds_to_open:.1f} s"
    if summary.seconds_to_recover is None:
        return f"{opens}, and it does not close again"
    return f"{opens}, closed {summary.seconds_to_recover:.1f} s after the return"


def _rates(times: Iterable[float], edges: list[float]) -> list[float]:
    """Events per second in each bin."""
    width = edges[1] - edges[0]
    counts = [0] * (len(edges) - 1)
    for at in times:
        counts[min(int(at / width), len(counts) - 1)] += 1
    return [count / width for count in counts]


def _peak(rates: list[float]) -> int:
    return max(range(len(rates)), key=rates.__getitem__)


def _draw_answers(axes: Axes, recording: Recording, edges: list[float]) -> None:
    def rates_of(outcome: Outcome) -> list[float]:
        return _rates((call.at for call in recording.calls if call.outcome == outcome), edges)

    success, rejected, failed = rates_of("success"), rates_of("rejected"), rates_of("failed")
    for rates, colour, alpha in ((success, _SUCCESS, 0.18), (rejected, _REJECTED, 0.28), (failed, _FAILED, 0.9)):
        axes.stairs(rates, edges, fill=True, color=colour, alpha=alpha)
        axes.stairs(rates, edges, color=colour, linewidth=1.6)
    axes.set_ylim(0, 1.12 * max(*success, *rejected, *failed, 1.0))
    axes.set_ylabel("calls per second", color=_TEXT)
    if any(success):
        level = median(rate for rate in success if rate)
        axes.text(
            1.012,
            level,
            "successes",
            transform=axes.get_yaxis_transform(),
            color=_SUCCESS,
            va="center",
            fontweight="bold",
        )
    if any(rejected):
        level = median(rate for rate in rejected if rate)
        at = median(call.at for call in recording.calls if call.outcome == "rejected")
        axes.text(at, level / 2, "rejected at once", color=_TEXT, ha="center", va="center", fontsize=11)
    if any(failed):
        # To the right of the peak, where the rejections are: a white ground keeps it legible.
        peak = _peak(failed)
        axes.annotate(
            "failed after\nthe last attempt",
            xy=(edges[peak + 1], failed[peak] * 0.9),
            xytext=(14, 16),
            textcoords="offset points",
            color=_FAILED,
            fontsize=9.5,
            va="center",
            arrowprops={"arrowstyle": "-", "color": _FAILED, "linewidth": 0.8},
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )


def _draw_queries(axes: Axes, recording: Recording, edges: list[float]) -> None:
    retries = _rates(recording.retries, edges)
    dead = _rates((query.at for query in recording.queries if not query.server_up), edges)
    axes.stairs(retries, edges, fill=True, color=_RETRY)
    axes.stairs(dead, edges, color=_FAILED, linewidth=1.4)
    axes.set_ylim(0, 1.12 * max(*retries, *dead, 1.0))
    axes.set_ylabel("per second", color=_TEXT)
    beside = edges[min(_peak(dead) + 3, len(edges) - 1)]
    for height, label, colour in ((0.8, "queries to the dead server", _FAILED), (0.5, "retries", "#5d666e")):
        axes.text(beside, height, label, transform=axes.get_xaxis_transform(), color=colour, va="center", fontsize=9.5)


def _draw_circuit(axes: Axes, recording: Recording, end: float) -> None:
    starts = [(change.at, change.state) for change in recording.states]
    for (start, state), (until, _) in pairwise([*starts, (end, recording.state)]):
        axes.axvspan(start, until, facecolor=_BAND.get(state, "white"), edgecolor="none")
        if state in _BAND and until - start >= _LABEL_MIN_SHARE * end:
            colour = "white" if state is EnumCircuitState.OPEN else _TEXT
            axes.text((start + until) / 2, 0.5, state.value, color=colour, ha="center", va="center")
    probes = [at for at, state in starts if state is EnumCircuitState.HALF_OPEN]
    # A half-open circuit lasts a few milliseconds: as a band it would not be seen.
    axes.plot(probes, [1.28] * len(probes), "v", color=_TEXT, markersize=6, clip_on=False)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_xlabel("seconds", color=_TEXT)
    axes.text(1.012, 0.5, "circuit", transform=axes.transAxes, color=_TEXT, va="center", fontweight="bold")
    if probes:
        axes.text(1.012, 1.28, "▼ half-open probe", transform=axes.transAxes, color=_TEXT, va="center", fontsize=8.5)
