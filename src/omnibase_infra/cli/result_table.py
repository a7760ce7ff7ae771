"""The table of a simulation on standard output."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from omnibase_infra.cli.text_table import text_table

if TYPE_CHECKING:
    from omnibase_infra.simulator.model_simulation import ModelSimulation


def show(simulation: ModelSimulation) -> None:
    """Print how the variants fared: fitted to a terminal where rich is installed, elsewhere as plain text."""
    if not sys.stdout.isatty() or find_spec("rich") is None:
        print(plain(simulation))
        return
    from rich.console import Console

    from omnibase_infra.simulator.table import print_table

    print_table(simulation, Console())


def plain(simulation: ModelSimulation) -> str:
    """The figures as plain text, a row each; the best of each row with a star."""
    from omnibase_infra.simulator.figures import FIGURES, facts

    rows = [["", *(f"{variant.name} " for variant in simulation.variants)]]
    measures = [variant.measures for variant in simulation.variants]
    for figure in FIGURES:
        best = figure.best(measures)
        texts = (f"{figure.text(found)}{'*' if place in best else ' '}" for place, found in enumerate(measures))
        rows.append([figure.label, *texts])
    return "\n".join([simulation.scenario.incident, facts(simulation), "", text_table(rows)])
