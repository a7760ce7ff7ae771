"""docs/how-to/choose-the-numbers.md: its commands, its files, and what the commands print.

`python -m tests.docs.commands_page` writes outputs and found settings anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from omnibase_infra.cli.main import main

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "choose-the-numbers.md"
_BLOCK: Final = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)
_FOUND: Final = "orders.toml"


class Command(NamedTuple):
    """One that the page shows, and what the page says that it prints."""

    arguments: list[str]
    printed: str | None


def files(page: str) -> dict[str, str]:
    """What the page has under a title, by that."""
    return {block["title"]: block["text"] for block in _BLOCK.finditer(page) if block["title"]}


def commands(page: str) -> Iterator[Command]:
    """All commands; of several in a block none shows what it prints."""
    blocks = list(_BLOCK.finditer(page))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block["language"] == "console":
            lines = block["text"].splitlines()
            shows = after is not None and after["language"] == "text" and len(lines) == 1
            for line in lines:
                yield Command(shlex.split(line.removeprefix("$ onex-resilience ")), after["text"] if shows else None)


def output(arguments: list[str]) -> tuple[int, str]:
    """The exit status and what is printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        status = main(arguments)
    return status, printed.getvalue()


def written(page: str) -> str:
    """The page as the commands would have it, all files in the current folder."""
    for title, text in files(page).items():
        Path(title).write_text(text, encoding="utf-8")
    for command in commands(page):
        if command.printed is not None:
            page = page.replace(f"```text\n{command.printed}```", f"```text\n{output(command.arguments)[1]}```")
        elif command.arguments[0] == "tune":
            output(command.arguments)
            found = Path(_FOUND).read_text(encoding="utf-8")
            start = page.index(f'```toml title="{_FOUND}"\n') + len(f'```toml title="{_FOUND}"\n')
            page = page[:start] + found + page[page.index("```\n", start) :]
    return page


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        after = written(before)
    PAGE.write_text(after, encoding="utf-8")
