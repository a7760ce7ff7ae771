"""Valkey as more than one server: a Sentinel that watches a primary, and a Cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer

from omnibase_infra.cli.demo.postgres_server import free_port

SERVICE = "orders"
_SLOTS = 16384
_PATIENCE = 30.0


class Sentinel(ValkeyServer):
    """Watches one primary, and promotes its replica within about a second."""

    watched = 0
    password = None

    def command(self) -> list[str]:
        self.directory.mkdir(exist_ok=True)
        settings = self.directory / "sentinel.conf"
        lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.directory}",
            f"sentinel monitor {SERVICE} {HOST} {self.watched} 1",
            f"sentinel down-after-milliseconds {SERVICE} 300",
            f"sentinel failover-timeout {SERVICE} 2000",
        ]
        if "requirepass" in self.settings:
            lines.append(f"sentinel auth-pass {SERVICE} {self.settings['requirepass']}")
        settings.write_text("\n".join(lines))
        return [str(self._binary), str(settings), "--sentinel"]


@dataclass
class Watched:
    """A primary with a replica, under a sentinel that knows both."""

    primary: ValkeyServer
    replica: ValkeyServer
    sentinel: Sentinel

    def fail_over(self) -> None:
        """Have the replica made the primary while that lives; the sentinel first has to know the replica well."""
        until(lambda: _is_done(lambda: self.sentinel.command_line("SENTINEL", "FAILOVER", SERVICE)))
        until(self.promoted)
        until(self._demoted)

    def _demoted(self) -> bool:
        import valkey

        try:
            return "role:slave" in self.primary.command_line("INFO", "replication")
        except valkey.ConnectionError:  # it hangs up on everybody as it changes its role
            return False

    def promoted(self) -> bool:
        """Whether the sentinel has made the replica the primary."""
        return self.sentinel.command_line("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1] == str(self.replica.port)


@contextmanager
def watched(binary: Path, **settings: str) -> Iterator[Watched]:
    """A primary and its replica under a sentinel, all of them with these settings where they apply."""
    secret = {"masterauth": settings["requirepass"]} if "requirepass" in settings else {}
    with ValkeyServer(binary, **settings, **secret) as primary, ValkeyServer(binary, **settings, **secret) as replica:
        replica.command_line("REPLICAOF", HOST, str(primary.port))
        until(lambda: "master_link_status:up" in replica.command_line("INFO", "replication"))
        sentinel = Sentinel(binary, **settings)
        sentinel.watched = primary.port
        with sentinel:
            until(lambda: sentinel.command_line("SENTINEL", "REPLICAS", SERVICE))
            yield Watched(primary, replica, sentinel)


@contextmanager
def cluster(binary: Path, primaries: int = 3, **settings: str) -> Iterator[list[ValkeyServer]]:
    """Primaries that have the slots in equal parts, then a replica of the first."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                ValkeyServer(
                    binary,
                    cluster_enabled="yes",
                    cluster_port=str(free_port()),
                    cluster_node_timeout="1000",
                    cluster_replica_validity_factor="0",
                    **settings,
                )
            )
            for _ in range(primaries + 1)
        ]
        first, *others = nodes
        edges = [_SLOTS * part // primaries for part in range(primaries + 1)]
        for node, (begin, end) in zip(nodes, pairwise(edges), strict=False):
            node.command_line("CLUSTER", "ADDSLOTSRANGE", str(begin), str(end - 1))
        for node in others:
            node.command_line("CLUSTER", "MEET", HOST, str(first.port), first.settings["cluster-port"])
        until(lambda: all(_knows(node, len(nodes)) for node in nodes))
        nodes[-1].command_line("CLUSTER", "REPLICATE", str(first.command_line("CLUSTER", "MYID")))
        until(lambda: all("cluster_state:ok" in node.command_line("CLUSTER", "INFO") for node in nodes))
        until(lambda: "master_link_status:up" in nodes[-1].command_line("INFO", "replication"))
        until(lambda: all(str(node.command_line("CLUSTER", "NODES")).count("slave") == 1 for node in nodes))
        yield nodes


def _is_done(command: Callable[[], object]) -> bool:
    try:
        command()
    except Exception as exc:
        if "NOGOODSLAVE" not in str(exc):
            raise
        return False
    return True


def _knows(node: ValkeyServer, others: int) -> bool:
    return f"cluster_known_nodes:{others}" in node.command_line("CLUSTER", "INFO") and "handshake" not in str(
        node.command_line("CLUSTER", "NODES")
    )


def until(condition: Callable[[], object]) -> None:
    """Wait for what servers bring about."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
