"""A run as a table, as a page, and beside an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from benchmarks.measure import PASSTHROUGH, Figure
from benchmarks.peers import OURS
from benchmarks.reasons import reason
from benchmarks.record import Run
from benchmarks.semantics import Finding

FAMILIES = {
    "success": "Calls that go well",
    "failure": "Calls that fail or are rejected",
    "contention": "Many that wait for one limiter",
    "threads": "Eight threads",
    "keyed": "By key",
    "memory": "Memory, garbage, import",
}


def by_measure(figures: Iterable[Figure]) -> Iterator[tuple[str, str, list[Figure]]]:
    """Family, measure and rows, the best row first."""
    for (family, measure), rows in groupby(figures, key=lambda figure: (figure.family, figure.measure)):
        yield family, measure, sorted(rows, key=lambda figure: figure.value)


def is_ours(label: str) -> bool:
    return label.partition(",")[0] == OURS


def shown(figure: Figure) -> str:
    """The number with its unit, in as many digits as it can mean."""
    value, unit = figure.value, figure.unit
    if unit == "ns" and value >= 10_000:
        value, unit = value / 1000, "µs"
    if unit == "bytes" and value >= 10_000:
        value, unit = value / 1024, "KiB"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def spread(figure: Figure) -> str:
    return "" if figure.low is None or figure.high is None else f"{figure.low:.2f}-{figure.high:.2f}"


def ahead(run: Run) -> Iterator[tuple[str, Figure, Figure]]:
    """Measure, our best row, and each row of another that is better by more than its spread could be."""
    for _, measure, rows in by_measure(run.figures):
        ours = next((row for row in rows if is_ours(row.peer)), None)
        if ours is None:
            continue
        for row in rows:
            if row.value >= ours.value * 0.98:
                break
            if row.peer != PASSTHROUGH:
                yield measure, ours, row


def table(run: Run) -> str:
    lines = ["", f"  not measured: {', '.join(run.absent)}"] if run.absent else []
    for family, measures in groupby(by_measure(run.figures), key=lambda each: each[0]):
        lines += ["", FAMILIES[family].upper()]
        for _, measure, rows in measures:
            lines += ["", f"  {measure}"]
            for row in rows:
                mark = ">" if is_ours(row.peer) else " "
                ratio = "" if row.ratio is None else f"{row.ratio:9.2f} ×"
                lines.append(f"  {mark} {row.peer:26}{ratio:>12}{spread(row):>16}{shown(row):>14}  {row.note}".rstrip())
    lines += ["", "WHAT THEY DO"]
    for question, found in groupby(run.findings, key=lambda finding: finding.question):
        lines += ["", f"  {question}"]
        for finding in found:
            mark = ">" if is_ours(finding.peer) else " "
            lines.append(f"  {mark} {finding.peer:26}{'yes' if finding.good else 'no':5}{finding.answer}")
    return "\n".join(lines)


def markdown(run: Run, charts: dict[str, str]) -> str:
    """The page of the documentation; `charts` are pictures by measure."""
    lines = [
        "# Benchmarks",
        "",
        f"`{run.command}` on {run.machine}, {run.python}, {run.date}.",
        "",
        "Figures are medians of interleaved rounds with the garbage collector on; × is the ratio to a bare function",
        "that passes its arguments on, with its quartiles. Ratios hold from machine to machine, nanoseconds do not.",
        "Each library is set to do the same work, which is checked before anything is timed",
        "(`benchmarks/equal_work.py`); what its work lacks stands beside its figure.",
        "",
        "Versions: " + ", ".join(f"{label} {number}" for label, number in run.versions.items()) + ".",
    ]
    if run.quick:
        lines += ["", "A quick run: five short rounds, so the figures are rough."]
    if run.absent:
        lines += ["", f"Not measured here: {', '.join(run.absent)}."]
    lines += ["", "## What they do", ""]
    lines += list(_semantics(run.findings))
    for family, measures in groupby(by_measure(run.figures), key=lambda each: each[0]):
        lines += ["", f"## {FAMILIES[family]}"]
        for _, measure, rows in measures:
            lines += ["", f"### {measure[0].upper()}{measure[1:]}", ""]
            if measure in charts:
                lines += [f"![{measure}]({charts[measure]})", ""]
            lines += list(_rows(rows))
    lines += ["", "## Where another is ahead", "", "| | ours | ahead | why |", "| --- | --- | --- | --- |"]
    for measure, others_ahead in groupby(ahead(run), key=lambda each: each[0]):
        found = list(others_ahead)
        others = "<br>".join(_ahead_of_us(other) for _, _, other in found)
        lines.append(f"| {measure} | {shown(found[0][1])} | {others} | {reason(measure)} |")
    return "\n".join(lines) + "\n"


def _ahead_of_us(other: Figure) -> str:
    return f"{other.peer}, {shown(other)}" + (f" ({other.note})" if other.note else "")


def _rows(rows: list[Figure]) -> Iterator[str]:
    timed = rows[0].ratio is not None
    if timed:
        yield from ("| | × | quartiles | a call | differs in |", "| --- | ---: | ---: | ---: | --- |")
    else:
        yield from ("| | | differs in |", "| --- | ---: | --- |")
    for row in rows:
        label = f"**{row.peer}**" if is_ours(row.peer) else row.peer
        if timed:
            yield f"| {label} | {row.ratio:.2f} | {spread(row)} | {shown(row)} | {row.note} |"
        else:
            yield f"| {label} | {shown(row)} | {row.note} |"


def _semantics(findings: tuple[Finding, ...]) -> Iterator[str]:
    yield from ("| | as one would want | otherwise |", "| --- | --- | --- |")
    for question, found in groupby(findings, key=lambda finding: finding.question):
        cells: dict[bool, list[str]] = {True: [], False: []}
        for answer, group in groupby(sorted(found, key=lambda each: each.answer), key=lambda each: each.answer):
            same = list(group)
            names = ", ".join(f"**{each.peer}**" if is_ours(each.peer) else each.peer for each in same)
            cells[same[0].good].append(f"{answer}: {names}")
        yield f"| {question} | {'<br>'.join(cells[True])} | {'<br>'.join(cells[False])} |"


def compare(run: Run, earlier: Run) -> str:
    """Our figures then and now: ratios where there are any, else the numbers themselves."""
    before = {(each.measure, each.peer): each for each in earlier.figures}
    lines = ["", f"SINCE THE RUN OF {earlier.date} ({earlier.versions.get(OURS, 'unknown')})", ""]
    if (earlier.python, earlier.machine) != (run.python, run.machine):
        lines += [f"  another machine or Python: {earlier.machine}, {earlier.python}", ""]
    for figure in run.figures:
        past = before.get((figure.measure, figure.peer))
        if past is None or not is_ours(figure.peer):
            continue
        now, then = (figure.ratio, past.ratio) if figure.ratio and past.ratio else (figure.value, past.value)
        change = f"{(now / then - 1) * 100:+.0f} %" if then else ""
        lines.append(f"  {figure.peer + ': ' + figure.measure:72}{then:12,.2f}{now:12,.2f}{change:>9}")
    return "\n".join(lines)
