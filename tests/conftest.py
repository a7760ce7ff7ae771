"""Property tests find the same examples in every run, and are not judged by the clock."""

import gc
import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

# Reasons for which a test may be skipped in CI, each with why it cannot be had there.
ALLOWED_SKIPS = {
    "redis-server": "a cross-check where the machine has one; Valkey, which every run has, is what is claimed",
    "consul": "no registry serves a current Consul; the stand-ins next to these tests always run",
}
# What draws is tested where it can draw.
_DRAWING = [
    "unit/test_cli.py",
    "unit/test_benchmarks.py",
    "unit/test_simulation_chart.py",
    "unit/test_simulation_table.py",
]
collect_ignore = [] if find_spec("matplotlib") and find_spec("rich") else _DRAWING
DRIVERS_OPTION = "--without-drivers"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        DRIVERS_OPTION, action="store_true", help="tests of drivers that are not installed may be skipped, in CI too"
    )


def pytest_collection_finish() -> None:
    """Tests that count garbage collect it themselves, and need not walk through all that pytest holds each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test fails the run unless its reason is known: a missing server must not look like success."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None or session.config.getoption(DRIVERS_OPTION):
        return
    reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", []) if report.longrepr}
    unexpected = sorted(reason for reason in reasons if not any(known in reason for known in ALLOWED_SKIPS))
    if unexpected:
        reporter.write_sep("=", "skipped for reasons that CI does not accept", red=True)
        for reason in unexpected:
            reporter.write_line(reason)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
