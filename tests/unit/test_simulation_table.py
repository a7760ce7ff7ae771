"""The measures on the terminal."""

import io
import re

import pytest
from rich.console import Console
from tests.support.handmade_simulation import simulation

from omnibase_infra.simulator.figures import FIGURES
from omnibase_infra.simulator.table import print_table


def printed(width: int, *, explain: bool = False) -> str:
    out = io.StringIO()
    print_table(simulation(), Console(file=out, width=width), explain=explain)
    return out.getvalue()


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each measure, of all tables."""
    cells: dict[str, list[str]] = {}
    for figure in FIGURES:
        for line in re.findall(rf"^{figure.label}  +(.*)$", text, re.MULTILINE):
            cells.setdefault(figure.label, []).extend(re.split(r"  +", line.strip()))
    return cells


@pytest.mark.parametrize("width", [100, 40, 32])
def test_each_figure_of_each_variant_is_there_whatever_the_width(width: int) -> None:
    shown = rows(printed(width))
    for figure in FIGURES:
        expected = [figure.text(variant.measures) for variant in simulation().variants]
        assert [cell.rstrip("*") for cell in shown[figure.label]] == expected


def test_columns_that_do_not_fit_stand_in_a_table_below() -> None:
    def headings(width: int) -> list[list[str]]:
        lines = printed(width).splitlines()
        return [line.split() for line in lines if line.split() and {*line.split()} <= {"naked", "naive", "preset"}]

    assert headings(100) == [["naked", "naive", "preset"]]
    assert headings(40) == [["naked", "naive"], ["preset"]]
    assert headings(32) == [["naked"], ["naive"], ["preset"]]


@pytest.mark.parametrize("width", [100, 40, 32, 20])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, printed(width).splitlines())) <= width


@pytest.mark.parametrize("width", [100, 32])
def test_the_best_of_all_is_starred_without_colour_too(width: int) -> None:
    shown = rows(printed(width))
    assert shown["wasted calls"] == ["3,000", "1,818", "57*"]
    assert shown["gave up"] == ["0*", "41", "0*"]
    assert shown["p50"] == ["4.10 ms"] * 3
    assert shown["calls"] == ["12,000"] * 3
    assert "* best of its row" in printed(width)


def test_the_terms_are_explained_when_asked() -> None:
    for figure in FIGURES:
        assert figure.meaning not in printed(200)
        assert figure.meaning in printed(200, explain=True)


def test_a_name_in_brackets_is_shown_as_it_is() -> None:
    made = simulation()
    variant = made.variants[0].model_copy(update={"name": "[red]"})
    scenario = made.scenario.model_copy(update={"incident": "[bold]lost[/bold]"})
    out = io.StringIO()
    print_table(made.model_copy(update={"variants": (variant,), "scenario": scenario}), Console(file=out, width=100))
    assert "[red]" in out.getvalue()
    assert "[bold]lost[/bold]" in out.getvalue()
