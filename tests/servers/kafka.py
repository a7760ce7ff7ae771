"""A broker that speaks Kafka's protocol (noida-db, not Apache Kafka), and a fault proxy that clients stay behind."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import cast

from tests.servers.local_process import HOST, LocalProcess, in_wheel
from tests.support.fault_proxy import FaultProxy

from omnibase_infra.cli.demo.postgres_server import free_port

_API_VERSIONS_0 = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def find_noida() -> Path | None:
    """The program of the installed `noida-db`."""
    return in_wheel("noida_db", "noida-db")


class KafkaServer(LocalProcess):
    """A broker on a free port.

    Args:
        binary: The `noida-db` program.
    """

    def __init__(self, binary: Path) -> None:
        super().__init__(free_port())
        self.binary = binary

    def command(self) -> list[str]:
        options = ["--only", "kafka", "--host", HOST, "--kafka-port", str(self.port)]
        return [str(self.binary), "start", *options, "--data-dir", str(self.home / "data")]

    def is_up(self) -> bool:
        return len(self.answers(_API_VERSIONS_0, 4)) == len(b"size")


class KafkaFaultProxy(FaultProxy):
    """A fault proxy that clients stay behind: in the broker's answers its own address takes the place of the broker's.

    A broker names its host and port in its metadata, and a client connects there.

    Args:
        upstream_port: Port of the broker on 127.0.0.1.
    """

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self._told = tuple(HOST.encode() + struct.pack(">i", port) for port in (upstream_port, self.port))

    @property
    def address(self) -> str:
        """Host and port for a client's bootstrap servers."""
        return f"{HOST}:{self.port}"

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        await super()._answers(cast("asyncio.StreamReader", _Rewriting(source, *self._told)), sink)


class _Rewriting:
    def __init__(self, source: asyncio.StreamReader, old: bytes, new: bytes) -> None:
        self._source = source
        self._old = old
        self._new = new

    async def read(self, size: int) -> bytes:
        return (await self._source.read(size)).replace(self._old, self._new)
