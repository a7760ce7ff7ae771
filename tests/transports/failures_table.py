"""The table of failures in docs/reference/failures.md: `python -m tests.transports.failures_table` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.transports.situation import Situation

from omnibase_infra.cli.classify import counted, retried
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "failures.md"
BEGIN, END = "<!-- failures: begin -->\n", "<!-- failures: end -->\n"
FAMILIES = sorted(path.stem for path in (Path(__file__).parent / "situations").glob("[a-z]*.py"))


def situations() -> Iterator[Situation]:
    """Every row of every family, drivers in the order of their names."""
    for family in FAMILIES:
        yield from getattr(import_module(f"tests.transports.situations.{family}"), "SITUATIONS", ())


def table() -> str:
    """The table as Markdown, from what `classify` and `translate` make of each driver's own exceptions."""
    lines = [
        "| driver | situation | exception | kind | sent | retried | counted | becomes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(situations(), key=lambda row: row.driver):
        exc = row.make()
        failure = failure_of(exc, row.transport)
        becomes = translate(exc, transport=row.transport)
        cells = (
            row.driver,
            row.situation,
            f"`{type(exc).__module__}.{type(exc).__qualname__}`".replace("`builtins.", "`"),
            failure.kind.upper(),
            "perhaps" if failure.sent else "no",
            retried(failure),
            counted(failure.kind),
            "untouched" if becomes is exc else f"`{type(becomes).__name__}`",
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
