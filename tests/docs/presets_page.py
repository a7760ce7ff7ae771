"""The numbers in docs/reference/presets.md: `python -m tests.docs.presets_page` writes them anew."""

from __future__ import annotations

from pathlib import Path

from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.presets import preset_table
from omnibase_infra.presets.layers import POLICIES
from omnibase_infra.utils.util_builtin_numbers import builtin_tables, is_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "presets.md"
BEGIN, END = "<!-- numbers: begin -->\n", "<!-- numbers: end -->\n"


def numbers() -> str:
    """What each transport's stack comes to, and the shipped numbers of each policy."""
    parts = ["## What each stack comes to\n"]
    for section, factory in FACTORIES.items():
        parts.append(f"### `create_{section}_resilience()`\n\n```text\n{factory().explain()}\n```\n")
    parts.append("## The numbers, policy by policy\n")
    transports = [table for section, table in builtin_tables().items() if section != "defaults"]
    parts += [
        f"### `{policy}`\n\n<!-- presets: {policy} -->\n{preset_table(policy)}\n"
        for policy in POLICIES
        if any(policy in table for table in transports)
    ]
    parts.append(f"### `defaults`\n\nWhat a transport's own table leaves out.\n\n{_defaults()}\n")
    return "\n".join(parts)


def _defaults() -> str:
    lines = ["| policy | setting | number |", "| --- | --- | --- |"]
    for policy, settings in builtin_tables()["defaults"].items():
        assert is_table(settings)
        for setting, value in settings.items():
            inner = value if is_table(value) else None
            if inner is None:
                lines.append(f"| `{policy}` | `{setting}` | {value} |")
            else:
                lines += [f"| `{policy}` | `{setting}.{name}` | {number} |" for name, number in inner.items()]
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with its numbers made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{numbers()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
