"""The page of a simulation, as text; tests/integration/test_simulation_page.py opens it."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from tests.support.handmade_simulation import measures, simulation

from omnibase_infra.simulator.figures import FIGURES, event_label, facts, seconds
from omnibase_infra.simulator.model_load import ModelLoad
from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.page import html_page

HOSTILE = "</script><script>alert(1)</script>\"'&{{json}}<!--<b onmouseover=alert(2)>"


class Parsed(HTMLParser):
    """Tags with their attributes, the texts of cells, and what the elements of data hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if "id" not in dict(attrs) else f"{tag}#{dict(attrs)['id']}"
        self.texts.setdefault(self._open, []).append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open][-1] += data


def hostile() -> ModelSimulation:
    made = simulation()
    variant = made.variants[1].model_copy(update={"name": HOSTILE, "settings": (HOSTILE, HOSTILE)})
    scenario = made.scenario.model_copy(update={"name": HOSTILE, "incident": HOSTILE, "transport": HOSTILE})
    return made.model_copy(
        update={"scenario": scenario, "version": HOSTILE, "variants": (made.variants[0], variant, made.variants[2])}
    )


@pytest.mark.parametrize("made", [simulation(), hostile()], ids=["plain", "hostile"])
def test_the_page_holds_all_that_was_found(made: ModelSimulation) -> None:
    (data,) = Parsed(html_page(made)).texts["script#simulation"]
    assert json.loads(data) == made.model_dump(mode="json")


def test_a_name_ends_no_element_and_begins_none() -> None:
    plain, page = Parsed(html_page(simulation())), Parsed(html_page(hostile()))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.texts["h1"] == [HOSTILE + "\n"]
    assert page.texts["h3"][1] == HOSTILE
    assert [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)] == []


def test_nothing_is_filled_in_twice_and_no_place_stays_empty() -> None:
    assert re.findall(r"{{\w+}}", html_page(simulation())) == []
    assert Parsed(html_page(hostile())).texts["h1"] == [HOSTILE + "\n"]


def test_the_page_names_no_other_place() -> None:
    page = Parsed(html_page(simulation()))
    assert not [attributes for _, attributes in page.tags if attributes.keys() & {"src", "href", "action", "srcset"}]
    (policy,) = (attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "'sha256-" in policy
    assert "url(" not in html_page(simulation()).replace("url(#hatch)", "")


def test_each_figure_stands_in_the_table_with_its_number() -> None:
    made = simulation()
    cells = [attributes["value"] for tag, attributes in Parsed(html_page(made)).tags if tag == "data"]
    expected = [
        "" if (value := figure.value(variant.measures)) is None else repr(value)
        for figure in FIGURES
        for variant in made.variants
    ]
    assert cells == expected


def test_the_best_is_marked_by_more_than_colour() -> None:
    page = html_page(simulation())
    row = page[page.index('data-figure="wasted"') :].split("</tr>")[0]
    assert re.findall(r"★</abbr><data value=\"(\d+)\"", row) == ["57"]


def test_every_measure_is_a_figure() -> None:
    assert sorted(figure.field for figure in FIGURES) == sorted(ModelMeasures.model_fields)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 ms"), (0.0041, "4.10 ms"), (0.0317, "31.7 ms"), (0.9994, "999 ms"), (1.0, "1.00 s"), (14.0, "14.0 s"),
     (1287.3, "1,287 s"), (-0.0085, "\N{MINUS SIGN}8.50 ms")],
)  # fmt: skip
def test_seconds_have_three_digits(value: float, text: str) -> None:
    assert seconds(value) == text


def shown(field: str, **given: float | None) -> str:
    (figure,) = (figure for figure in FIGURES if figure.field == field)
    return figure.text(measures(**given))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("success_rate", 1.0, "100.00 %"),
        ("success_rate", 0.999999, "99.99 %"),
        ("success_rate", 0.5, "50.00 %"),
        ("amplification", 1.1515, "1.15 ×"),
        ("wasted", 1_234_567, "1,234,567"),
        ("detect_seconds", None, "no opening"),
        ("recover_seconds", None, "never"),
        ("p99_seconds", None, "no answer"),
        ("added_p50_seconds", 0.0002, "+0.20 ms"),
    ],
)
def test_a_number_comes_with_its_unit(field: str, value: float | None, text: str) -> None:
    assert shown(field, **{field: value}) == text


@pytest.mark.parametrize(
    ("field", "values", "best"),
    [
        ("success_rate", (0.75, 0.5, 0.9), {2}),
        ("amplification", (1.0, 3.0, 1.0), {0, 2}),
        ("success_rate", (0.77671, 0.77669, 0.1), {0, 1}),
        ("wasted", (7, 7, 7), set()),
        ("recover_seconds", (None, 14.0, 3.0), {2}),
        ("recover_seconds", (None, None, None), set()),
        ("calls", (1, 2, 3), set()),
    ],
)
def test_the_best_are_all_that_read_the_same(field: str, values: tuple[float | None, ...], best: set[int]) -> None:
    (figure,) = (figure for figure in FIGURES if figure.field == field)
    assert figure.best([measures(**{field: value}) for value in values]) == best


def test_events_and_load_are_told_in_words() -> None:
    made = simulation()
    assert [event_label(event) for event in made.scenario.events] == ["fail over", "slow start, × 6", "bad host, 10 %"]
    assert facts(made) == "database, 100 calls/s, 120 s of virtual time; seed 7, onex-resilience 1.2.3"
    load = ModelLoad(clients=50, think_time=0.1)
    looped = made.model_copy(update={"scenario": made.scenario.model_copy(update={"load": load})})
    assert "50 clients in a loop" in facts(looped)


@pytest.mark.parametrize(("module", "library"), [("chart", "matplotlib"), ("table", "rich")])
def test_where_a_library_is_missing_the_error_names_the_extra(module: str, library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import omnibase_infra.simulator.{module}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: the {module} needs {library}: pip install 'onex-resilience[simulator]'"
    )


def test_the_page_needs_neither() -> None:
    code = "import sys, omnibase_infra.simulator.page; print({'rich', 'matplotlib'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
