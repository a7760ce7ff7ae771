"""The numbers in docs/reference/profiles.md: `python -m tests.docs.profiles_page` writes them anew.

With seeds, as in `python -m tests.docs.profiles_page 1 2 3 4`, it prints what those come to instead.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from omnibase_infra.enums import EnumStackKind
from omnibase_infra.simulator.engine import run_stack
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.scenario_files import load_scenario, shipped_scenarios

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "profiles.md"
BEGIN, END = "<!-- numbers: begin -->\n", "<!-- numbers: end -->\n"
SEED = 0
NOTICEABLE = 0.1
"""Of 100 calls."""
SLOWER = 0.2
"""Seconds."""

PROFILES = {"defaults": None, "tuned": "tuned"}


class Row(NamedTuple):
    """How the defaults and the profile fared in one scenario."""

    transport: str
    scenario: str
    before: ModelMeasures
    after: ModelMeasures


def rows(seed: int = SEED) -> list[Row]:
    """All shipped scenarios, each with the defaults and with the profile."""
    scenarios = [(scenario.transport, scenario.name) for scenario in shipped_scenarios()]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_row, scenarios, [seed] * len(scenarios)))


def _row(of: tuple[str, str], seed: int) -> Row:
    transport, name = of
    scenario = load_scenario(name, transport)
    stacks = (ModelStack(name=n, kind=EnumStackKind.PRESET, profile=profile) for n, profile in PROFILES.items())
    before, after = (run_stack(scenario, stack, seed=seed).measures for stack in stacks)
    return Row(transport, name, before, after)


def numbers(found: Sequence[Row]) -> str:
    """The profile with its reasons, what it changes in each scenario, and what the defaults cost."""
    return "\n\n".join(
        (
            "## What `tuned` sets\n\n```toml\n" + shipped("tuned") + "```",
            "## What it changes\n\n" + table(found),
            "## What the defaults cost\n\n" + costs(found),
            "## What `tuned` costs\n\n" + price(found),
        )
    )


def shipped(profile: str) -> str:
    """The profile's tables as they stand in builtin.toml."""
    text = (files("omnibase_infra") / "presets" / "builtin.toml").read_text(encoding="utf-8")
    tables = text.split("\n[")
    return "\n".join(f"[{table.rstrip()}\n" for table in tables if table.startswith(f"profiles.{profile}."))


def table(found: Iterable[Row]) -> str:
    """A line a scenario: the defaults, an arrow, and the profile where it differs."""
    columns: Mapping[str, Callable[[ModelMeasures], str]] = {
        "answered": lambda m: f"{m.success_rate:.1%}",
        "goodput kept": lambda m: f"{m.goodput_kept:.1%}",
        "amplification": lambda m: f"{m.amplification:.2f}",
        "wasted": lambda m: f"{m.wasted}",
        "recovered after": lambda m: "not" if m.recover_seconds is None else f"{m.recover_seconds:.1f} s",
        "p99": lambda m: "none" if m.p99_seconds is None else f"{m.p99_seconds:.2f} s",
    }
    lines = [["scenario", *columns], ["---"] * (len(columns) + 1)]
    lines += [
        [
            f"`{row.transport}` {row.scenario}",
            *(_change(told(row.before), told(row.after)) for told in columns.values()),
        ]
        for row in found
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def price(found: Iterable[Row]) -> str:
    """Where the profile is worse than the defaults."""
    rows = list(found)
    lines = ["- An open circuit is probed more often: " + _probing(rows)]
    for row in rows:
        lost = 100 * (row.before.success_rate - row.after.success_rate)
        if lost >= NOTICEABLE:
            lines.append(
                f"- `{row.transport}`: in {row.scenario}, {lost:.1f} of 100 calls fail that the defaults answer."
            )
        before, after = row.before.p99_seconds or 0.0, row.after.p99_seconds or 0.0
        if after > before + SLOWER:
            lines.append(
                f"- `{row.transport}`: in {row.scenario}, the p99 is {after:.1f} s instead of {before:.1f} s, of "
                f"{row.after.success_rate:.0%} answered calls instead of {row.before.success_rate:.0%}."
            )
    return "\n".join(lines)


def _probing(rows: Sequence[Row]) -> str:
    row = max(rows, key=lambda row: row.after.wasted - row.before.wasted)
    minutes = sum(event.lasts for event in load_scenario(row.scenario, row.transport).events) / 60
    return (
        f"{row.after.wasted} requests to a dead dependency in {minutes:g} minutes of {row.transport} {row.scenario}, "
        f"where the defaults make {row.before.wasted} and the users {row.after.calls} calls in all."
    )


def costs(found: Iterable[Row]) -> str:
    """A sentence a transport, of the scenario in which the defaults lose most."""
    sentences: list[str] = []
    for transport, group in groupby(found, key=lambda row: row.transport):
        row = max(group, key=lambda row: row.after.success_rate - row.before.success_rate)
        lost = 100 * (row.after.success_rate - row.before.success_rate)
        if lost < NOTICEABLE:
            sentences.append(f"- `{transport}`: nothing that these scenarios show.")
            continue
        later = (row.before.recover_seconds or 0) - (row.after.recover_seconds or 0)
        more = f", and the service recovers {later:.0f} s later" if later >= 1 else ""
        sentences.append(f"- `{transport}`: in {row.scenario}, {lost:.1f} of 100 calls fail that need not{more}.")
    return "\n".join(sentences)


def written(page: str, found: Sequence[Row]) -> str:
    """The page with its numbers made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{numbers(found)}\n\n{END}{after}"


if __name__ == "__main__":
    if seeds := sys.argv[1:]:
        for seed in seeds:
            sys.stdout.write(f"seed {seed}\n\n{table(rows(int(seed)))}\n\n")
    else:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), rows()), encoding="utf-8")
