"""The TOML to paste: what a search chose, each setting with what it is worth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from omnibase_infra.simulator.model_tuning import ModelTuning
from omnibase_infra.simulator.tuning_words import missed, moved


def tuned_file(tuning: ModelTuning) -> str:
    """The chosen settings as a presets file: only what differs from the presets in effect.

    Above each setting stands what it brings: the figures without it, all others kept, and with it.
    """
    lines = list(_about(tuning))
    scope = tuning.transport if tuning.service is None else f"services.{_key(tuning.service)}"
    tables: dict[str, list[str]] = {}
    for key in tuning.chosen.settings:
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(name)
    for table, names in sorted(tables.items()):
        lines += ["", f"[{scope}.{table}]"]
        for name in names:
            key = f"{table}.{name}"
            lines += [*_why(tuning, key), f"{name} = {tuning.chosen.settings[key]!r}"]
    return "\n".join(lines) + "\n"


def _about(tuning: ModelTuning) -> Iterator[str]:
    seeds = ", ".join(map(str, tuning.seeds))
    yield f"# Found by onex-resilience {tuning.version} tune for {', '.join(tuning.aims)}"
    yield f"# in {tuning.transport}: {', '.join(tuning.scenarios)}; seeds {seeds}; the worst of all runs counts."
    if tuning.chosen.missed:
        yield f"# The nearest that was found, not all that was wanted: {missed(tuning.chosen)}."
    if not tuning.chosen.settings:
        yield "# Nothing to change: the settings in effect are the best that was found."


def _why(tuning: ModelTuning, key: str) -> Iterator[str]:
    before = next(step.before[key] for step in tuning.steps if key in step.before)
    was = "off" if before is None else f"{before!r}"
    if key not in tuning.without:
        yield f"# was {was}, which makes no sense with the others here"
        return
    yield f"# was {was}"
    for word, figures in moved(tuning.without[key], tuning.chosen).items():
        if figures:
            yield f"# {word} {', '.join(figures)}"


def _key(name: str) -> str:
    """A TOML key: bare where it can be; what JSON escapes, TOML's basic strings escape the same way."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
