"""Files that a command is told to write."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path


def check_folders(parser: ArgumentParser, **given: str | None) -> None:
    """Leave with status 2 when there is no folder for a file, before any time is spent on what goes there."""
    for option, path in given.items():
        if path is not None and not Path(path).resolve().parent.is_dir():
            parser.error(f"argument --{option}: there is no folder {Path(path).resolve().parent}")
        if path is not None and Path(path).is_dir():
            parser.error(f"argument --{option}: {path} is a folder")


def write(command: str, path: str | None, into: Callable[[Path], object]) -> bool:
    """Write one file, and say so on standard error; False when that fails."""
    if path is None:
        return True
    try:
        into(Path(path))
    except OSError as error:
        print(f"onex-resilience {command}: {path} cannot be written: {error.strerror}", file=sys.stderr)
        return False
    print(f"written: {path}", file=sys.stderr)
    return True
