"""Every command of docs/how-to/choose-the-numbers.md runs, and prints what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.commands_page import PAGE, Command, commands, files, output

from omnibase_infra import __version__
from omnibase_infra.presets import load_presets

TEXT = PAGE.read_text(encoding="utf-8")
SHORT = {
    "simulate": ["--seconds", "12", "--processes", "1"],
    "tune": ["--seconds", "12", "--processes", "1", "--seeds", "1", "--budget", "3", "--toml", "found.toml"],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONEX_RESILIENCE_FILE", raising=False)
    for title, text in files(TEXT).items():
        (tmp_path / title).write_text(text, encoding="utf-8")
    yield
    load_presets()


@pytest.mark.parametrize("command", list(commands(TEXT)), ids=lambda command: " ".join(command.arguments))
def test_a_command_of_the_page_runs_and_prints_what_it_says(command: Command) -> None:
    shown = command.printed is not None
    status, printed = output([*command.arguments, *(["--processes", "1"] if shown else SHORT[command.arguments[0]])])
    assert status in {0, 1}  # a check or an aim may be missed in so short a time
    assert printed
    if command.printed is not None:
        said = re.sub(r"onex-resilience \d[\w.]*", f"onex-resilience {__version__}", command.printed)
        assert printed == said, "stale; run `python -m tests.docs.commands_page`"


def test_there_are_commands_to_check() -> None:
    assert {command.arguments[0] for command in commands(TEXT)} == {"simulate", "tune"}
    assert sum(command.printed is not None for command in commands(TEXT)) == 1
    assert {"replica-lost.toml", "orders.toml", "orders.csv"} == files(TEXT).keys()
