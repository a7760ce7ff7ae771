"""A table as plain text."""

from __future__ import annotations

from collections.abc import Container, Sequence


def text_table(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> str:
    """Rows of as many cells each; the columns at the places `left` flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(place: int, text: str) -> str:
        return text.ljust(widths[place]) if place in left else text.rjust(widths[place])

    return "\n".join("  ".join(cell(place, text) for place, text in enumerate(row)).rstrip() for row in rows)
