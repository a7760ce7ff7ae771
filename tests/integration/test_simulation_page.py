"""The page of a simulation in a real browser: what it draws, what it says, and that it asks nobody anything."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed")

from tests.servers.chromium import Chromium, Page, find_chromium, opened
from tests.support.handmade_simulation import simulation, with_peak

from omnibase_infra.enums import EnumStackKind
from omnibase_infra.simulator.engine import simulate
from omnibase_infra.simulator.figures import FIGURES, seconds
from omnibase_infra.simulator.model_simulation import ModelSimulation
from omnibase_infra.simulator.model_stack import ModelStack
from omnibase_infra.simulator.page import html_page
from omnibase_infra.simulator.scenario_files import load_scenario

pytestmark = pytest.mark.integration

HOSTILE = "</script><script>alert(1)</script>\"'&{{json}}<!--<img src=x onerror=alert(2)>"
SERIES = {
    "What the users got": ("served", "rejected", "failed", "offered"),
    "What the dependency was asked": ("retried", "attempts"),
    "How long an answer took": ("p50", "p99"),
    "What was left to retry with": ("budget",),
}
NOTHING = "\N{EN DASH}"
FETCH = "fetch('URL').then(() => 'let through', () => 'refused')"
IMAGE = """new Promise(done => {
  const image = new Image();
  Object.assign(image, { onload: () => done("let through"), onerror: () => done("refused"), src: "URL" });
})"""
SCRIPT = """new Promise(done => {
  const script = document.createElement("script");
  Object.assign(script, { onload: () => done("let through"), onerror: () => done("refused"), src: "URL" });
  document.body.append(script);
})"""
AREAS = {"served", "rejected", "failed", "attempts", "retried", "budget"}
# What stands beside each picture, and where the picture is.
PICTURES = """
[...document.querySelectorAll("#charts figure")].map(figure => {
  const picture = figure.querySelector(":scope > svg"), box = picture.getBoundingClientRect();
  return {
    variant: figure.querySelector("b").textContent,
    outputs: [...figure.querySelectorAll("output")].map(output => output.textContent),
    label: picture.getAttribute("aria-label"),
    role: picture.getAttribute("role"),
    paths: Object.fromEntries([...picture.querySelectorAll("path.area, path.line")]
      .map(path => [path.classList[1], path.getAttribute("d")])),
    grid: [...picture.querySelectorAll("line.grid")].map(line => +line.getAttribute("y1")),
    box: [box.left, box.top, box.width, box.height],
  };
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with Chromium(binary) as running:
        yield running


@pytest.fixture(scope="module")
def real() -> ModelSimulation:
    """What the simulator itself found."""
    kinds = {"naked": EnumStackKind.NAKED, "naive": EnumStackKind.NAIVE, "preset": EnumStackKind.PRESET}
    stacks = [ModelStack(name=name, kind=kind) for name, kind in kinds.items()]
    return simulate(load_scenario("failover", "database"), stacks, processes=1)


def look(
    browser: Chromium,
    folder: Path,
    made: ModelSimulation,
    at: Callable[[Page], Awaitable[None]],
    *,
    width: int = 1200,
    touch: bool = False,
    scheme: str = "light",
) -> Page:
    """Open the page of a simulation and look at it, and see that it asked for nothing and complained of nothing."""
    file = folder / "page.html"
    file.write_text(html_page(made), encoding="utf-8")

    async def through() -> Page:
        async with opened(browser, file.as_uri(), width=width, touch=touch, scheme=scheme) as page:
            await at(page)
            return page

    page = asyncio.run(through())
    assert page.requests == [file.as_uri()]
    assert page.complaints == []
    return page


@pytest.fixture
def looking(browser: Chromium, tmp_path: Path) -> Callable[..., Page]:
    return partial(look, browser, tmp_path)


def pictures_expected(made: ModelSimulation) -> list[tuple[str, str]]:
    return [
        (title, variant.name)
        for title, fields in SERIES.items()
        for variant in made.variants
        if all(getattr(variant.course, field) is not None for field in fields)
    ]


@pytest.mark.parametrize("which", ["made by hand", "real"])
def test_every_series_of_every_variant_is_drawn_and_nothing_is_asked_for(
    looking: Callable[..., Page], which: str, request: pytest.FixtureRequest
) -> None:
    made = simulation() if which == "made by hand" else request.getfixturevalue("real")
    variants = {variant.name: variant for variant in made.variants}

    async def at(page: Page) -> None:
        pictures = await page.evaluate(PICTURES)
        assert [(picture["label"].split(",")[0], picture["variant"]) for picture in pictures] == pictures_expected(made)
        for picture in pictures:
            title, course = picture["label"].split(",")[0], variants[picture["variant"]].course
            assert list(picture["paths"]) == [
                *(field for field in reversed(SERIES[title]) if field in AREAS),
                *(field for field in SERIES[title] if field not in AREAS),
            ]
            for field, path in picture["paths"].items():
                seen = [
                    value for value in getattr(course, field) if value is not None and (value or field not in AREAS)
                ]
                assert path.count("H") == len(seen), (picture["variant"], field)

    looking(made, at)


def levels(path: str) -> list[float]:
    """Where a line without gaps stands in each step."""
    return [float(level) for level in re.findall(r"(?:,|V)([\d.]+)H", path)]


def test_a_line_stands_as_high_as_its_number_on_the_scale_of_the_grid(looking: Callable[..., Page]) -> None:
    made = simulation()

    async def at(page: Page) -> None:
        first = (await page.evaluate(PICTURES))[0]
        zero, fifty = first["grid"][:2]
        drawn = [(zero - level) / (zero - fifty) * 50 for level in levels(first["paths"]["offered"])]
        assert drawn == pytest.approx(made.variants[0].course.offered, abs=0.2)

    looking(made, at)


def test_a_short_peak_is_cut_off_and_told(looking: Callable[..., Page]) -> None:
    async def at(page: Page) -> None:
        told = '[...document.querySelectorAll("#charts figure:first-of-type .halo")].map(text => text.textContent)'
        assert "▲ answered 1,000" in await page.evaluate(told)
        first = (await page.evaluate(PICTURES))[0]
        zero, hundred = first["grid"][:2]
        assert (zero - min(levels(first["paths"]["served"]))) / (zero - hundred) * 100 == pytest.approx(200, abs=2)

    looking(with_peak(2), at)


def test_what_ended_is_stacked_up_to_what_was_offered(looking: Callable[..., Page]) -> None:
    made = simulation()

    async def at(page: Page) -> None:
        naive = (await page.evaluate(PICTURES))[1]
        zero, fifty = naive["grid"][:2]
        (failed,) = {*levels(naive["paths"]["failed"])}
        assert (zero - failed) / (zero - fifty) * 50 == pytest.approx(10 + 90, abs=0.5)

    looking(made, at)


@pytest.mark.parametrize("which", ["made by hand", "real"])
def test_the_numbers_of_the_table_are_those_of_the_data(
    looking: Callable[..., Page], which: str, request: pytest.FixtureRequest
) -> None:
    made = simulation() if which == "made by hand" else request.getfixturevalue("real")

    async def at(page: Page) -> None:
        assert await page.evaluate("JSON.parse(document.getElementById('simulation').textContent)") == json.loads(
            made.model_dump_json()
        )
        rows = await page.evaluate(
            """Object.fromEntries([...document.querySelectorAll("tr[data-figure]")].map(row =>
            [row.dataset.figure, [...row.querySelectorAll("data")].map(cell => [cell.value, cell.textContent])]))"""
        )
        assert set(rows) == set(type(made.variants[0].measures).model_fields)
        for figure in FIGURES:
            for variant, (value, text) in zip(made.variants, rows[figure.field], strict=True):
                assert (float(value) if value else None) == getattr(variant.measures, figure.field)
                assert text == figure.text(variant.measures)

    looking(made, at)


def count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}".removesuffix(".0")


def duration(value: float | None) -> str:
    return NOTHING if value is None else seconds(value)


def outputs_at(made: ModelSimulation, second: int, circuits: dict[str, str]) -> list[list[str]]:
    """What stands beside the pictures at a moment."""
    expected: list[list[str]] = []
    for title, name in pictures_expected(made):
        (variant,) = (variant for variant in made.variants if variant.name == name)
        show = duration if "p50" in SERIES[title] else count
        texts = [show(getattr(variant.course, field)[second]) for field in SERIES[title]]
        circuit = [f"circuit {circuits[name]}"] if title == "What the users got" and name in circuits else []
        expected.append(texts + circuit)
    return expected


async def outputs(page: Page) -> list[list[str]]:
    return [picture["outputs"] for picture in await page.evaluate(PICTURES)]


@pytest.mark.parametrize(
    ("second", "circuits"),
    [
        (10, {"naive": "closed", "preset": "closed"}),
        (20, {"naive": "closed", "preset": "closed → open"}),
        (53, {"naive": "open → half-open → open", "preset": "closed"}),
    ],
)
def test_the_mouse_shows_the_values_of_its_moment_in_all_pictures(
    looking: Callable[..., Page], second: int, circuits: dict[str, str]
) -> None:
    made = simulation()

    async def at(page: Page) -> None:
        await page.evaluate("document.querySelector('#charts figure').scrollIntoView({ block: 'center' })")
        left, top, width, height = (await page.evaluate(PICTURES))[0]["box"]
        await page.mouse(left + 44 + (width - 54) * (second + 0.5) / 120, top + height / 2)
        assert await outputs(page) == outputs_at(made, second, circuits)
        assert await page.evaluate("document.getElementById('moment').textContent") == f"at {second} s"
        cursors = await page.evaluate(
            '[...document.querySelectorAll(".cursor[visibility=visible]")].map(line => +line.getAttribute("x1"))'
        )
        assert cursors == pytest.approx([44 + (width - 54) * (second + 0.5) / 120] * len(pictures_expected(made)))
        await page.mouse(2, 2)
        assert {text for texts in await outputs(page) for text in texts} == {""}

    looking(made, at)


def test_the_keyboard_moves_the_moment(looking: Callable[..., Page]) -> None:
    made = simulation()

    async def at(page: Page) -> None:
        await page.evaluate("document.querySelector('input').focus()")
        for _ in range(3):
            await page.press("ArrowRight")
        await page.press("ArrowLeft")
        assert await outputs(page) == outputs_at(made, 2, {"naive": "closed", "preset": "closed"})
        assert await page.evaluate("document.querySelector('input').ariaValueText") == "2 s"
        await page.press("Escape")
        assert {text for texts in await outputs(page) for text in texts} == {""}

    looking(made, at)


def test_a_finger_shows_the_values_of_its_moment(looking: Callable[..., Page]) -> None:
    made = simulation()

    async def at(page: Page) -> None:
        await page.evaluate("document.querySelectorAll('#charts figure')[2].scrollIntoView({ block: 'center' })")
        left, top, width, height = (await page.evaluate(PICTURES))[2]["box"]
        touched = {"x": left + 44 + (width - 54) * 30.5 / 120, "y": top + height / 2}
        await page.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[touched])
        await page.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        assert await outputs(page) == outputs_at(made, 30, {"naive": "open", "preset": "open"})

    looking(made, at, width=400, touch=True)


def test_an_event_can_be_looked_at_closely(looking: Callable[..., Page]) -> None:
    async def at(page: Page) -> None:
        times = '[...document.querySelectorAll("#axis svg .tick")].map(tick => tick.textContent)'
        assert (await page.evaluate(times))[0] == "0 s"
        await page.evaluate("document.querySelector('input').focus()")
        await page.press("ArrowRight")
        await page.evaluate("[...document.querySelectorAll('#views button')].at(-1).click()")
        assert {text for texts in await outputs(page) for text in texts} == {""}
        assert await page.evaluate(times) == ["50 s", "60 s", "70 s", "80 s", "90 s", "100 s", "110 s"]
        path = (await page.evaluate(PICTURES))[0]["paths"]["offered"]
        assert path.count("H") == 116 - 42
        await page.evaluate("document.querySelector('#views button').click()")
        assert (await page.evaluate(times))[0] == "0 s"

    looking(simulation(), at)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_all_pictures_in_black_on_white(looking: Callable[..., Page], scheme: str) -> None:
    made = simulation()

    async def at(page: Page) -> None:
        await page.evaluate(
            "addEventListener('beforeprint', () => { window.printed = "
            "[...document.querySelectorAll('#charts figure > svg')].map(picture => picture.getAttribute('viewBox')); })"
        )
        pdf = base64.b64decode((await page.command("Page.printToPDF"))["data"])
        assert pdf.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2
        printed = await page.evaluate("window.printed")
        assert len(printed) == len(pictures_expected(made))
        assert {box.split()[2] for box in printed} == {"690"}
        after = await page.evaluate("document.querySelector('#charts figure > svg').getAttribute('viewBox')")
        assert after.split()[2] != "690"
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        await page.command("Emulation.setEmulatedMedia", media="print", features=media)
        style = "getComputedStyle(document.body)"
        assert await page.evaluate(f"[{style}.backgroundColor, {style}.color]") == [
            "rgb(255, 255, 255)",
            "rgb(28, 33, 38)",
        ]
        assert await page.evaluate("getComputedStyle(document.querySelector('input')).display") == "none"

    looking(made, at, scheme=scheme)


@pytest.mark.parametrize("width", [400, 700, 1200])
def test_nothing_is_wider_than_the_window(looking: Callable[..., Page], width: int) -> None:
    async def at(page: Page) -> None:
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        roles = await page.command("Accessibility.getFullAXTree")
        of_table = [node["role"]["value"] for node in roles["nodes"] if "role" in node and not node.get("ignored")]
        assert of_table.count("rowheader") == len(FIGURES)
        assert of_table.count("table") == 1

    looking(simulation(), at, width=width, touch=width == 400)


def test_on_a_phone_a_measure_stands_above_its_figures_and_its_meaning_below(looking: Callable[..., Page]) -> None:
    async def at(page: Page) -> None:
        tops = await page.evaluate(
            "[...document.querySelector('tr[data-figure]').cells].map(cell => cell.getBoundingClientRect().top)"
        )
        assert tops[0] < tops[1] == tops[2] == tops[3] < tops[4]

    looking(simulation(), at, width=400, touch=True)


def test_who_sees_no_picture_is_told_its_key_figures(looking: Callable[..., Page]) -> None:
    async def at(page: Page) -> None:
        pictures = await page.evaluate(PICTURES)
        assert {picture["role"] for picture in pictures} == {"img"}
        assert pictures[2]["label"] == (
            "What the users got, preset: answered 77.68 %, rejected at once 2,588, gave up 0, "
            "time to detect 612 ms, time to recover 3.00 s"
        )

    looking(simulation(), at)


def test_hostile_names_are_shown_and_do_nothing(looking: Callable[..., Page]) -> None:
    made = simulation()
    variant = made.variants[0].model_copy(update={"name": HOSTILE, "settings": (HOSTILE,)})
    scenario = made.scenario.model_copy(update={"name": HOSTILE, "incident": HOSTILE})
    made = made.model_copy(update={"variants": (variant, *made.variants[1:]), "scenario": scenario})

    async def at(page: Page) -> None:
        assert await page.evaluate("document.querySelector('h1').textContent") == HOSTILE
        assert (await page.evaluate(PICTURES))[0]["variant"] == HOSTILE
        assert await page.evaluate("document.querySelectorAll('script').length") == 2
        assert await page.evaluate("document.images.length") == 0

    looking(made, at)


def test_the_page_could_ask_nobody_even_if_it_tried(browser: Chromium, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(html_page(simulation()), encoding="utf-8")
    visits: list[bytes] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await reader.read(100))
        writer.close()

    async def through() -> Page:
        server = await asyncio.start_server(visited, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, opened(browser, file.as_uri()) as page:
            for attempt in (FETCH, IMAGE, SCRIPT):
                assert await page.evaluate(attempt.replace("URL", url)) == "refused"
            return page

    page = asyncio.run(through())
    assert visits == []
    assert sum("Content Security Policy" in complaint for complaint in page.complaints) >= 3
