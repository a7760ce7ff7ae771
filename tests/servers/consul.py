"""A Consul agent, where a binary can be had: a cluster of its own, with access control, or without a leader."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.servers.local_process import HOST, LocalProcess, free_ports, on_path

ROOT_TOKEN = "7f6a8f2c-0000-4000-8000-0123456789ab"


def find_consul() -> Path | None:
    """The binary that ONEX_TEST_CONSUL names, else the one on PATH."""
    named = os.environ.get("ONEX_TEST_CONSUL")
    return Path(named) if named else on_path("consul")


class Consul(LocalProcess):
    """An agent on a free port.

    Args:
        binary: Consul's.
        access_control: Nothing is allowed but to `ROOT_TOKEN`.
        leader: It is a cluster of its own; else it waits for servers that never come.
    """

    def __init__(self, binary: Path, *, access_control: bool = False, leader: bool = True) -> None:
        super().__init__(free_ports(3))
        self._binary = binary
        self._access_control = access_control
        self._leader = leader

    def command(self) -> list[str]:
        off = dict.fromkeys(("https", "dns", "grpc", "serf_wan"), -1)
        settings: dict[str, object] = {
            "ports": {"http": self.port, "server": self.port + 1, "serf_lan": self.port + 2, **off},
            "performance": {"rpc_hold_timeout": "50ms"},
        }
        if self._access_control:
            settings["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"master": ROOT_TOKEN}}
        if not self._leader:
            settings |= {"server": True, "bootstrap_expect": 3, "data_dir": str(self.home / "data")}
        config = self.home / "config.json"
        config.write_text(json.dumps(settings))
        options = [f"-config-file={config}", f"-bind={HOST}", f"-client={HOST}", *(["-dev"] if self._leader else [])]
        return [str(self._binary), "agent", *options]

    def is_up(self) -> bool:
        if self.status("/v1/status/leader") != 200:
            return False
        if not self._leader:
            return True
        # The leader is elected a moment before it serves.
        return self.status(f"/v1/kv/none?token={ROOT_TOKEN}" if self._access_control else "/v1/kv/none") == 404
