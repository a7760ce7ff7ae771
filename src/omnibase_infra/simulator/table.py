"""The measures of a simulation as a table on the terminal. Needs the extra `simulator`."""

from __future__ import annotations

from collections.abc import Sequence

from omnibase_infra.simulator.figures import FIGURES, facts
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_variant import ModelVariant

try:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the table needs rich: pip install 'onex-resilience[simulator]'", name=error.name
    ) from error

_BEST = "*"
_ENDLESS = 10_000


def print_table(simulation: ModelSimulation, console: Console, *, explain: bool = False) -> None:
    """Print the measures as rows and the variants as columns, the best of each row with a star.

    Where not all columns fit, several tables stand below each other.

    Args:
        simulation: What was found.
        console: Where it is shown.
        explain: Say in a line each what the measures mean.
    """
    console.print(Text(simulation.scenario.incident, style="bold"))
    console.print(Text(facts(simulation), style="dim"))
    console.print()
    _print_fitting(range(len(simulation.variants)), simulation.variants, console)
    console.print(Text(f"{_BEST} best of its row", style="dim"))
    if explain:
        console.print()
        meanings = Table(show_header=False, box=None, pad_edge=False)
        meanings.add_column(style="bold", no_wrap=True)
        meanings.add_column()
        for figure in FIGURES:
            meanings.add_row(figure.label, figure.meaning)
        console.print(meanings)


def _print_fitting(places: Sequence[int], variants: Sequence[ModelVariant], console: Console) -> None:
    table = _table(places, variants)
    needed = Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum
    if len(places) > 1 and needed > console.width:
        half = (len(places) + 1) // 2
        _print_fitting(places[:half], variants, console)
        console.print()
        _print_fitting(places[half:], variants, console)
    else:
        console.print(table)


def _table(places: Sequence[int], variants: Sequence[ModelVariant]) -> Table:
    """Some of the columns; what is best is so among all."""
    measures = [variant.measures for variant in variants]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    for place in places:
        table.add_column(Text(variants[place].name, style="bold"), justify="right", no_wrap=True)
    for figure in FIGURES:
        best = figure.best(measures)
        cells = (
            Text.assemble((figure.text(measures[place]), "bold green"), (_BEST, "bold"))
            if place in best
            else Text(f"{figure.text(measures[place])} ")
            for place in places
        )
        table.add_row(figure.label, *cells)
    return table
