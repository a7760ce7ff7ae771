"""The pytest plug-in, in a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-your-service.md"
FILE = re.compile(r'^```python title="(?P<name>[^"]+)"\n(?P<code>.*?)^```\n', re.MULTILINE | re.DOTALL)
MODULE = "omnibase_infra.testing.pytest_plugin"

Pytest = Callable[..., "Outcome"]


class Outcome:
    """What a run of pytest said, and each test's seconds by its name."""

    def __init__(self, process: subprocess.CompletedProcess[str], report: Path) -> None:
        self.text = process.stdout + process.stderr
        self.code = process.returncode
        cases = ET.fromstring(report.read_text()).iter("testcase") if report.is_file() else []
        self.seconds = {case.get("name", ""): float(case.get("time", "0")) for case in cases}


@pytest.fixture
def run_pytest(tmp_path: Path) -> Pytest:
    def run(*arguments: str, **files: str) -> Outcome:
        for name, code in files.items():
            (tmp_path / name.replace("__", ".")).write_text(code)
        # Installed from the tree before the entry point was there, the plug-in is known by its module only.
        known = entry_points(group="pytest11", name="onex_resilience")
        plugin = () if known or "no:onex_resilience" in arguments else ("-p", MODULE)
        report = tmp_path / "report.xml"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        process = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider"),
                *(*plugin, f"--junitxml={report}", *arguments),
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(process, report)

    return run


def test_the_documented_tests_pass_and_ten_minutes_of_outage_take_less_than_a_second(run_pytest: Pytest) -> None:
    files = {match["name"].replace(".", "__"): match["code"] for match in FILE.finditer(PAGE.read_text())}
    outcome = run_pytest(**files)
    assert outcome.code == 0, outcome.text
    assert outcome.seconds.keys() == {
        "test_ten_minutes_without_the_price_server",
        "test_what_hangs_is_ended",
        "test_the_error_of_the_server_itself",
    }
    assert sum(outcome.seconds.values()) < 1


def test_a_circuit_that_a_test_opened_is_closed_in_the_next(run_pytest: Pytest) -> None:
    outcome = run_pytest(
        test_it__py="""
import asyncio, time
import pytest
from omnibase_infra.infrastructure.resilience import create_database_circuit_breaker
from omnibase_infra.testing import clock

breaker = create_database_circuit_breaker(1)

@breaker
async def query(works):
    if not works:
        raise ConnectionError

async def fail():
    await asyncio.sleep(1000)
    with pytest.raises(ConnectionError):
        await query(False)

def test_it_opens(virtual_time):
    virtual_time(fail())
    assert breaker.state == "open"

def test_it_is_closed_on_the_real_clock(recorded_events):
    asyncio.run(query(True))
    assert recorded_events == []

@pytest.mark.parametrize("fails_again", [1, 2])
@pytest.mark.virtual_time(seed=5)
async def test_it_is_closed_on_a_virtual_one(fails_again):
    assert clock() == 0
    await query(True)
    await fail()
"""
    )
    assert outcome.code == 0, outcome.text
    assert len(outcome.seconds) == 4


def test_an_async_test_without_the_marker_is_left_to_others(run_pytest: Pytest) -> None:
    outcome = run_pytest(test_it__py="async def test_it(): pass")
    assert outcome.code == 1
    assert "async def functions are not natively supported" in outcome.text


def test_a_failure_under_the_marker_is_the_tests_own(run_pytest: Pytest) -> None:
    code = """
import asyncio, pytest

@pytest.mark.virtual_time
async def test_it(tmp_path):
    await asyncio.sleep(3600)
    assert tmp_path is None, "its own"
"""
    outcome = run_pytest(test_it__py=code)
    assert outcome.code == 1
    assert "its own" in outcome.text


def test_without_the_plug_in_a_policy_made_at_import_keeps_the_real_clock(run_pytest: Pytest) -> None:
    code = """
import time
from omnibase_infra.infrastructure.resilience import create_database_circuit_breaker

def test_it():
    assert create_database_circuit_breaker().settings["clock"] is time.monotonic
    assert create_database_circuit_breaker()._clock is time.monotonic
"""
    outcome = run_pytest("-p", "no:onex_resilience", test_it__py=code)
    assert outcome.code == 0, outcome.text


def test_the_start_of_pytest_imports_nothing_costly() -> None:
    costly = {"asyncio", "pydantic", "tenacity", "circuitbreaker", "omnibase_infra.infrastructure.resilience"}
    code = (
        "import sys, pytest; before = set(sys.modules); "
        f"import {MODULE}; print(sorted({costly} & (set(sys.modules) - before)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
