"""Bar charts as SVG and PNG: readable in grey, each bar with its library's name, ours black."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from benchmarks.measure import Figure
from benchmarks.record import Run
from benchmarks.report import by_measure, is_ours, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

_CHARTED = {"success", "failure", "keyed"}
_LOG_FROM = 30.0
"""Where the longest bar is so many times the shortest, the axis is logarithmic."""


def charts(run: Run) -> dict[str, str]:
    """SVG texts by measure. Needs matplotlib."""
    return {measure: _saved(picture, "svg").decode() for measure, picture in _pictures(run)}


def bitmaps(run: Run) -> dict[str, bytes]:
    """The same as PNG."""
    return {measure: _saved(picture, "png") for measure, picture in _pictures(run)}


def file_name(measure: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", measure.lower()).strip("-") + ".svg"


def _pictures(run: Run) -> Iterator[tuple[str, Picture]]:
    for family, measure, rows in by_measure(run.figures):
        if family in _CHARTED and len(rows) > 2:
            yield measure, _draw(measure, rows)


def _saved(picture: Picture, kind: Literal["svg", "png"]) -> bytes:
    out = io.BytesIO()
    picture.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


def _draw(measure: str, rows: list[Figure]) -> Picture:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Picture

    mpl.rcParams["svg.hashsalt"] = "onex-resilience"  # the same run gives the same file
    mpl.rcParams["svg.fonttype"] = "none"
    timed = rows[0].ratio is not None
    values = [row.ratio if timed and row.ratio is not None else row.value for row in rows]
    picture = Picture(figsize=(8, 0.8 + 0.3 * len(rows)), layout="constrained")
    axes = picture.subplots()
    places = range(len(rows))
    bars = axes.barh(
        places,
        values,
        color=["black" if is_ours(row.peer) else "0.72" for row in rows],
        hatch=["///" if row.note else "" for row in rows],
        edgecolor="white",
    )
    texts = [f"{row.ratio:.2f} ×" if row.ratio is not None else shown(row) for row in rows]
    axes.bar_label(bars, texts, padding=4, fontsize=9)
    axes.set_yticks(places, [row.peer for row in rows], fontsize=9)
    axes.invert_yaxis()
    positive = [value for value in values if value > 0]
    if positive and max(positive) > _LOG_FROM * min(positive):
        axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    unit = "× a bare wrapper" if timed else rows[0].unit
    axes.set_title(measure[0].upper() + measure[1:], fontsize=11, loc="left")
    hatched = "; hatched: the work is not the same" if any(row.note for row in rows) else ""
    axes.set_xlabel(f"{unit}, less is better{hatched}", fontsize=9, loc="left")
    return picture
