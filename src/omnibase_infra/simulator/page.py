"""A simulation as one page: no other file, no network, for a screen, a phone and paper."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Final

from omnibase_infra.simulator.figures import FIGURES, event_label, facts
from omnibase_infra.simulator.model_simulation import ModelSimulation

_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def html_page(simulation: ModelSimulation) -> str:
    """The page. Its script runs by its hash alone, and nothing in it may load anything."""
    template = files("omnibase_infra.simulator").joinpath("page.html").read_text(encoding="utf-8")
    (script,) = _SCRIPT.findall(template)
    scenario = simulation.scenario
    parts = {
        "script_hash": "sha256-" + b64encode(sha256(script.encode()).digest()).decode(),
        "title": escape(scenario.name),
        "incident": escape(scenario.incident),
        "facts": escape(facts(simulation)),
        "events": "\n".join(
            f'<li data-label="{escape(event_label(event))}">{escape(event_label(event))}, '
            f"{event.at:g} s to {event.at + event.lasts:g} s</li>"
            for event in scenario.events
        ),
        "columns": str(len(simulation.variants)),
        "names": "".join(f'<th scope="col">{escape(variant.name)}</th>' for variant in simulation.variants),
        "figures": _figures(simulation),
        "settings": "\n".join(
            f"<div><h3>{escape(variant.name)}</h3><ul>"
            + "".join(f"<li>{escape(line)}</li>" for line in variant.settings)
            + "</ul></div>"
            for variant in simulation.variants
        ),
        # Nothing in the data can end the element that holds it.
        "json": simulation.model_dump_json().replace("<", "\\u003c"),
    }
    # In one pass: what is filled in is not searched for places again.
    return _PLACE.sub(lambda place: parts[place[1]], template)


def _figures(simulation: ModelSimulation) -> str:
    variants = [variant.measures for variant in simulation.variants]
    rows: list[str] = []
    for figure in FIGURES:
        best = figure.best(variants)
        cells = (
            ("<td class=best><abbr title=best>★</abbr>" if place in best else "<td>")
            + f'<data value="{_number(figure.value(measures))}">{figure.text(measures)}</data></td>'
            for place, measures in enumerate(variants)
        )
        rows.append(
            f'<tr data-figure="{figure.field}"><th scope="row">{figure.label}</th>'
            f'{"".join(cells)}<td class="meaning">{escape(figure.meaning)}</td></tr>'
        )
    return "\n".join(rows)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
