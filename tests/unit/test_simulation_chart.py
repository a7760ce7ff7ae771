"""The printed picture: what is drawn are the numbers of the course."""

from itertools import pairwise
from math import isnan
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from PIL import Image
from tests.support.handmade_simulation import each, simulation, with_peak

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.chart import draw_chart, write_png
from omnibase_infra.simulator.model_course import ModelCourse

USERS, DEPENDENCY, LATENCY, BUDGET = (
    "What the users got",
    "What the dependency was asked",
    "How long an answer took",
    "What was left to retry with",
)


def axes_of(figure: Figure, variant: str, shown: str) -> Axes:
    (axes,) = (axes for axes in figure.axes if axes.get_label() == f"{variant}: {shown}")
    return axes


def drawn(axes: Axes, label: str) -> list[float | None]:
    """The values of one line or area, as they were before they were stacked."""
    (patch,) = (patch for patch in axes.patches if isinstance(patch, StepPatch) and patch.get_label() == label)
    values, edges, baseline = patch.get_data()
    assert list(edges) == list(range(len(values) + 1))
    ground = [0.0] * len(values) if baseline is None else baseline
    return [None if isnan(value) else value - under for value, under in zip(values, ground, strict=True)]


def or_none(values: tuple[float | None, ...]) -> list[float | None]:
    """An area of nothing is not drawn."""
    return [value or None for value in values]


def test_each_series_is_drawn_as_the_course_has_it() -> None:
    made = simulation()
    figure = draw_chart(made)
    for variant in made.variants:
        course, users = variant.course, axes_of(figure, variant.name, USERS)
        assert drawn(users, "offered") == list(course.offered)
        assert drawn(users, "answered") == or_none(course.served)
        assert drawn(users, "rejected at once") == or_none(course.rejected)
        assert drawn(users, "failed") == or_none(course.failed)
        dependency = axes_of(figure, variant.name, DEPENDENCY)
        assert drawn(dependency, "all attempts") == or_none(course.attempts)
        assert drawn(dependency, "retries") == or_none(course.retried)
        latency = axes_of(figure, variant.name, LATENCY)
        assert drawn(latency, "p50") == list(course.p50)
        assert drawn(latency, "p99") == list(course.p99)
    assert drawn(axes_of(figure, "preset", BUDGET), "retry budget") == list(made.variants[2].course.budget or ())


def test_what_ends_is_stacked() -> None:
    axes = axes_of(draw_chart(simulation()), "naive", USERS)
    tops = {patch.get_label(): patch.get_data().values[30] for patch in axes.patches if isinstance(patch, StepPatch)}
    assert tops["answered"] == 10
    assert tops["failed"] == 10 + 90


def test_all_pictures_have_one_time_axis_and_those_of_a_question_one_scale() -> None:
    figure = draw_chart(simulation())
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 120.0)}
    for shown in (USERS, DEPENDENCY, LATENCY):
        assert len({axes_of(figure, variant, shown).get_ylim() for variant in ("naked", "naive", "preset")}) == 1


def test_a_variant_without_a_budget_has_no_picture_of_it() -> None:
    labels = [axes.get_label() for axes in draw_chart(simulation()).axes]
    assert [label for label in labels if label.endswith(BUDGET)] == [f"preset: {BUDGET}"]


def test_the_circuits_state_is_a_band_from_change_to_change() -> None:
    axes = axes_of(draw_chart(simulation()), "preset", "circuit")
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    expected = [*pairwise([0.0, 20.6123, 50.6, 52.1, 120.0])]
    assert [bound for span in spans for bound in span] == pytest.approx([bound for span in expected for bound in span])
    colours = [patch.get_facecolor() for patch in axes.patches]
    assert colours[0] == colours[3]
    assert len(set(colours)) == 3


def test_a_stack_whose_circuit_never_opened_says_so() -> None:
    axes = axes_of(draw_chart(simulation()), "naked", "circuit")
    assert [text.get_text() for text in axes.texts] == ["no circuit opened"]


def test_a_short_peak_is_cut_off_and_told() -> None:
    axes = axes_of(draw_chart(with_peak(2)), "naked", USERS)
    assert axes.get_ylim() == (0.0, 200.0)
    assert [text.get_text() for text in axes.texts] == ["▲ 1,000"]


def test_a_high_that_lasts_is_shown_whole() -> None:
    axes = axes_of(draw_chart(with_peak(10)), "naked", USERS)
    assert axes.get_ylim()[1] > 1_000
    assert not axes.texts


def test_nothing_answered_is_no_obstacle() -> None:
    made = simulation()
    nothing = {"p50": each(lambda _: None), "p99": each(lambda _: None), "served": each(lambda _: 0)}
    variants = tuple(
        variant.model_copy(update={"course": ModelCourse.model_validate(variant.course.model_dump() | nothing)})
        for variant in made.variants
    )
    draw_chart(made.model_copy(update={"variants": variants})).canvas.draw()


def test_a_png_is_written_in_the_size_of_the_figure(tmp_path: Path) -> None:
    figure = draw_chart(simulation())
    write_png(simulation(), tmp_path / "course.png")
    with Image.open(tmp_path / "course.png") as image:
        assert image.format == "PNG"
        assert image.size == tuple(int(inches * 150) for inches in figure.get_size_inches())
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20


def test_the_suffix_says_what_is_written_and_the_same_simulation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg", "one.png", "two.png"):
        write_png(simulation(), tmp_path / name)
    assert (tmp_path / "one.svg").read_text().startswith("<?xml")
    for kind in ("svg", "png"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"path: its suffix must be \.png, \.svg or \.pdf"):
        write_png(simulation(), tmp_path / "course.docx")
    assert list(tmp_path.iterdir()) == []


def test_a_long_sentence_is_broken_into_lines() -> None:
    made = simulation()
    scenario = made.scenario.model_copy(update={"incident": "the primary dies " * 20})
    figure = draw_chart(made.model_copy(update={"scenario": scenario}))
    assert figure.get_figheight() > draw_chart(made).get_figheight()
    renderer = figure.canvas.get_renderer()
    assert all(text.get_window_extent(renderer).x1 < figure.bbox.x1 for text in figure.texts)


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    made = simulation()
    scenario = made.scenario.model_copy(update={"name": r"$\frac{$", "incident": "costs $5 or $6"})
    write_png(made.model_copy(update={"scenario": scenario}), tmp_path / "course.svg")
    assert r"$\frac{$" in (tmp_path / "course.svg").read_text()
