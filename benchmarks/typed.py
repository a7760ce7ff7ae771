"""What a type checker makes of the functions that each library decorates, asked of mypy, of all libraries at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers import installed

_PROGRAM = """{imported}

@{decorator}
async def fetch(number: int) -> str:
    return str(number)

reveal_type(fetch)
"""


def types_of(label: str) -> tuple[str, bool] | None:
    """What is left of argument and result of a decorated function, and whether that is all; None without mypy."""
    said = _said_by_mypy().get(label)
    if said is None:
        return None
    if "import-untyped" in said or "import-not-found" in said:
        return "the library has no types", False
    revealed = said.partition("Revealed type is")[2].partition("\n")[0]
    if "number: " in revealed and "int" in revealed and "str" in revealed:
        return "kept", True
    return "lost: any arguments pass for right", False


@cache
def _said_by_mypy() -> dict[str, str]:
    """By library, in one run: it reads the standard library but once."""
    if find_spec("mypy") is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        labels = {}
        for number, peer in enumerate(installed()):
            if peer.typed is not None:
                imported, decorator = peer.typed
                file = f"program_{number}.py"
                Path(folder, file).write_text(_PROGRAM.format(imported=imported, decorator=decorator), encoding="utf-8")
                labels[file] = peer.label
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", *labels]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    found = dict.fromkeys(labels.values(), "")
    for line in done.stdout.splitlines():
        label = labels.get(line.partition(":")[0])
        if label is not None:
            found[label] += f"{line}\n"
    return found
