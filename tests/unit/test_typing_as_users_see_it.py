"""The types hold for a user's project, which has the installed package and none of the stubs that lie in this tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TYPED = Path(__file__).parents[1] / "typing"


def mypy(project: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    options = ("--strict", "--config-file=", f"--cache-dir={cache}", f"--python-executable={sys.executable}")
    return subprocess.run(
        [sys.executable, "-m", "mypy", *options, "."],
        cwd=project,
        env={"PATH": "", "MYPYPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_user_s_project_type_checks_strictly_without_our_stubs(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    for module in TYPED.glob("*.py"):
        shutil.copy(module, tmp_path)
    assert len(list(tmp_path.iterdir())) >= 3
    kept = getattr(pytestconfig, "cache", None)  # there is none when pytest runs without its cache
    cache = kept.mkdir("mypy") if kept else tmp_path / "cache"
    checked = mypy(tmp_path, cache)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # Proof that the checker saw types at all, not a package of `Any`.
    (tmp_path / "errors_read.py").write_text(
        "from omnibase_infra.infrastructure.resilience import create_database_retry_policy\n"
        "@create_database_retry_policy()\n"
        "async def fetch() -> int:\n"
        "    return 1\n"
        "reveal_type(fetch)\n"
    )
    revealed = mypy(tmp_path, cache)
    assert 'Revealed type is "def () -> typing.Coroutine[Any, Any, int]"' in revealed.stdout
