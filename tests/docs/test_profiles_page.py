"""docs/reference/profiles.md says what the simulator finds: no number of a preset changes without its table."""

from __future__ import annotations

import pytest
from tests.docs.profiles_page import PAGE, Row, costs, price, rows, table, written

NO_WORSE = 2.0
"""Of 100 calls: a shipped profile may not lose more than this to the defaults in any scenario."""


@pytest.fixture(scope="module")
def found() -> list[Row]:
    return rows()


def test_the_page_holds_what_the_simulator_finds_with_the_shipped_numbers(found: list[Row]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page, found), "stale; run `python -m tests.docs.profiles_page`"


def test_the_profile_is_worse_nowhere_and_better_for_every_transport_in_some_scenario(found: list[Row]) -> None:
    gained = dict.fromkeys((row.transport for row in found), 0.0)
    for row in found:
        gain = 100 * (row.after.success_rate - row.before.success_rate)
        assert gain >= -NO_WORSE, row.scenario
        assert row.after.amplification <= max(1.2, row.before.amplification), row.scenario
        gained[row.transport] = max(gained[row.transport], gain)
    assert min(gained.values()) >= 5


def test_the_profile_wastes_few_calls_on_a_dead_dependency(found: list[Row]) -> None:
    assert all(row.after.wasted <= 0.05 * row.after.calls for row in found)


def test_a_scenario_in_which_the_profile_loses_calls_is_told(found: list[Row]) -> None:
    swapped = [row._replace(before=row.after, after=row.before) for row in found if row.scenario == "failover"]
    assert "fail that the defaults answer" in price(swapped)
    assert "fail that need not" not in costs(swapped)
    assert "→" in table(swapped)
