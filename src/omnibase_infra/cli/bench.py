"""`onex-resilience bench`: what the policies cost and do, beside every peer.

The measuring is no part of the package: it belongs to the source tree, with one file for each peer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from omnibase_infra.cli.command_parser import CommandParser


class _Benchmarks(Protocol):
    def main(self, arguments: Sequence[str]) -> int: ...


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks of the checkout around the current folder; 1 when there is none."""
    checkout = _checkout(Path.cwd())
    if checkout is None:
        _parser().parse_known_args(arguments)
        print(
            "onex-resilience bench: runs in a checkout of the source, which has the programs that measure: "
            "go there, or type `make bench` there",
            file=sys.stderr,
        )
        return 1
    sys.path.insert(0, str(checkout))
    return cast("_Benchmarks", import_module("benchmarks.__main__")).main(arguments)


def _parser() -> CommandParser:
    return CommandParser(
        prog="onex-resilience bench",
        description="Measures what each policy costs and does, side by side with other libraries. Runs in a checkout "
        "of the source, where --help tells more; `make bench` there installs all that it needs.",
    )


def _checkout(folder: Path) -> Path | None:
    for each in (folder, *folder.parents):
        about = each / "pyproject.toml"
        if (each / "benchmarks" / "__main__.py").is_file() and about.is_file():
            return each if 'name = "onex-resilience"' in about.read_text(encoding="utf-8").splitlines() else None
    return None
