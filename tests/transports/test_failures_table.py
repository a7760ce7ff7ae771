"""docs/reference/failures.md says what the code does."""

from __future__ import annotations

import pytest
from tests.transports.situation import Situation

DRIVERS = (
    *("aiohttp", "aiokafka", "asyncpg", "confluent_kafka", "consul", "grpc", "httpx", "hvac"),
    *("psycopg", "psycopg2", "redis", "requests", "sqlalchemy", "valkey"),
)
for driver in DRIVERS:
    pytest.importorskip(driver, reason=f"{driver} is not installed")

from tests.transports.failures_table import PAGE, situations, written  # noqa: E402 - needs every driver

from omnibase_infra.infrastructure.resilience.transports import failure_of  # noqa: E402

ROWS = list(situations())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.driver}-{row.situation}")
def test_a_row_of_the_table_is_what_classify_says(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)


def test_the_page_holds_the_table_that_the_code_makes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), f"{PAGE.name} is stale: run `python -m tests.transports.failures_table`"


def test_every_row_of_a_driver_has_a_name_of_its_own() -> None:
    names = [(row.driver, row.situation) for row in ROWS]
    assert len(names) == len(set(names))
