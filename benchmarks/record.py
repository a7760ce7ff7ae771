"""One run as data: what was measured, on what, and how; written to and read from JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Figure
from benchmarks.peers.peer import Peer
from benchmarks.semantics import Finding


@dataclass(frozen=True)
class Run:
    """What a run found. `python` and `machine` are words for a reader, `versions` those of the packages by label."""

    command: str
    date: str
    python: str
    machine: str
    versions: dict[str, str]
    absent: tuple[str, ...]
    """Libraries that were not measured, each with the reason."""
    figures: tuple[Figure, ...]
    findings: tuple[Finding, ...]
    quick: bool = False

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Run:
        """A saved run.

        Raises:
            ValueError: When the file is not one.
        """
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            found["figures"] = tuple(Figure(**each) for each in found["figures"])
            found["findings"] = tuple(Finding(**each) for each in found["findings"])
            return cls(**found)
        except (TypeError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"{file} is not a saved run") from error


def describe(
    command: str,
    peers: list[Peer],
    absent: tuple[str, ...],
    figures: list[Figure],
    findings: list[Finding],
    *,
    quick: bool,
) -> Run:
    """The run of this process."""
    pinned = "one of them used" if hasattr(os, "sched_setaffinity") else "not pinned"
    return Run(
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=f"{_processor()} with {os.cpu_count()} cores, {pinned}, {platform.system()} {platform.release()}",
        versions={peer.label: peer.version for peer in peers},
        absent=absent,
        figures=tuple(figures),
        findings=tuple(findings),
        quick=quick,
    )


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or sys.platform
