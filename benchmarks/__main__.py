"""Measure us and every peer side by side: `python -m benchmarks`, in a checkout, with the extra `peers` installed."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from benchmarks import contention, failure, keyed, memory, semantics, success, threads
from benchmarks.charts import bitmaps, charts, file_name
from benchmarks.equal_work import UnequalWorkError, check
from benchmarks.measure import FULL, QUICK, Figure, one_core
from benchmarks.page import page
from benchmarks.peers import LABELS, OURS, load
from benchmarks.peers.peer import Peer
from benchmarks.record import Run, describe
from benchmarks.report import ahead, compare, markdown, shown, table
from benchmarks.semantics import Finding

_FAMILIES = {
    "success": success,
    "failure": failure,
    "contention": contention,
    "threads": threads,
    "keyed": keyed,
    "memory": memory,
    "semantics": semantics,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="onex-resilience bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within a minute, with rough figures")
    parser.add_argument("--peers", help=f"these only, with commas, of: {', '.join(LABELS)}")
    parser.add_argument("--only", help=f"these measures only, with commas, of: {', '.join(_FAMILIES)}")
    parser.add_argument("--json", type=Path, metavar="F", help="save the run there")
    parser.add_argument("--html", type=Path, metavar="F", help="write tables and charts there, in one file")
    parser.add_argument("--markdown", type=Path, metavar="F", help="write the documentation's page there")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="write the charts there, as SVG and PNG")
    parser.add_argument("--against", type=Path, metavar="F", help="compare with a run saved by --json")
    parser.add_argument("--read", type=Path, metavar="F", help="show a saved run in place of a new one")
    return parser


def _chosen(parser: argparse.ArgumentParser, given: str | None, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return known
    names = tuple(name.strip() for name in given.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"argument {option}: no such thing: {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def _measure(options: argparse.Namespace, peers: list[Peer], absent: tuple[str, ...], families: tuple[str, ...]) -> Run:
    effort = QUICK if options.quick else FULL
    # A log that is heard: each library pays for the records that it writes.
    logging.getLogger().addHandler(logging.NullHandler())
    figures: list[Figure] = []
    findings: list[Finding] = []
    for peer in peers:
        asyncio.run(check(peer))
    for number, family in enumerate(families, 1):
        print(f"[{number}/{len(families)}] {family} …", end=" ", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        # What a library does, it must do on all cores.
        with nullcontext() if family == "semantics" else one_core():
            measured = _FAMILIES[family].measure(peers, effort)
            measured = asyncio.run(measured) if inspect.iscoroutine(measured) else measured
        for each in measured:
            (findings if isinstance(each, Finding) else figures).append(each)
        print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    command = " ".join(["onex-resilience bench", *(["--quick"] if options.quick else [])])
    return describe(command, peers, absent, figures, findings, quick=options.quick)


def _show(run: Run, options: argparse.Namespace, earlier: Run | None) -> None:
    print(f"{run.python}, {run.machine}")
    print(table(run))
    behind = list(ahead(run))
    print(f"\nAHEAD OF US: {len(behind)} rows\n")
    for measure, ours, other in behind:
        print(f"  {measure:60}{other.peer:18}{shown(other):>12}   ours {shown(ours)}")
    if earlier is not None:
        print(compare(run, earlier))
    if options.json:
        run.write(options.json)
    drawn = charts(run) if options.html or options.charts else {}
    if options.html:
        options.html.write_text(page(run, drawn), encoding="utf-8")
    where: dict[str, str] = {}
    if options.charts:
        options.charts.mkdir(parents=True, exist_ok=True)
        for measure, text in drawn.items():
            file = options.charts / file_name(measure)
            file.write_text(text, encoding="utf-8")
            where[measure] = file.as_posix()
            if options.markdown and file.is_relative_to(options.markdown.parent):
                where[measure] = file.relative_to(options.markdown.parent).as_posix()
        for measure, data in bitmaps(run).items():
            (options.charts / file_name(measure)).with_suffix(".png").write_bytes(data)
    if options.markdown:
        options.markdown.write_text(markdown(run, where), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything was measured, 1 when a library does not do the work, 2 for wrong arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    labels = _chosen(parser, options.peers, "--peers", LABELS)
    labels = labels if OURS in labels else (OURS, *labels)
    families = _chosen(parser, options.only, "--only", tuple(_FAMILIES))
    if (options.html or options.charts) and find_spec("matplotlib") is None:
        parser.error("charts need matplotlib: pip install 'onex-resilience[demo]'")
    for option in ("json", "html", "markdown"):
        file = getattr(options, option)
        if file is not None and not file.resolve().parent.is_dir():
            parser.error(f"argument --{option}: there is no folder {file.resolve().parent}")
    try:
        earlier = Run.read(options.against) if options.against else None
        saved = Run.read(options.read) if options.read else None
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if saved is None:
        warnings.simplefilter("ignore", DeprecationWarning)  # those of the libraries
        peers, missing = load(labels)
        absent = tuple(f"{label} ({reason})" for label, reason in missing.items())
        if absent:
            print(f"not measured: {', '.join(absent)}", file=sys.stderr)
        try:
            saved = _measure(options, peers, absent, families)
        except UnequalWorkError as error:
            print(f"onex-resilience bench: {error}", file=sys.stderr)
            return 1
    _show(saved, options, earlier)
    return 0


if __name__ == "__main__":
    sys.exit(main())
