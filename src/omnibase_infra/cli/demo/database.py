"""The database under test, and how it is taken away: the bundled server is killed, a user's own is cut off."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from omnibase_infra.cli.demo.postgres_server import PostgresServer
from omnibase_infra.cli.demo.tcp_proxy import TcpProxy

_DEFAULT_PORT = 5432
_SHORTEST_SECRET = 6


class DsnError(ValueError):
    """The DSN cannot be used. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A user's connection URL and the parts of it that the demo needs."""

    url: str
    host: str
    port: int
    secrets: tuple[str, ...]
    """Texts that must never be seen."""


class Database(Protocol):
    """A PostgreSQL that can be taken away and given back."""

    @property
    def dsn(self) -> str:
        """The connection URL, password included."""
        ...

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to; wins over the URL's host and port."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be seen."""
        ...

    @property
    def outage(self) -> str:
        """How the database is taken away, in words."""
        ...

    async def crash(self) -> None:
        """Take it away."""
        ...

    async def restore(self) -> None:
        """Give it back; returns when it accepts connections."""
        ...


def parse_dsn(url: str) -> Dsn:
    """Read a `postgresql://user:password@host:port/database` URL.

    Raises:
        DsnError: it is not such a URL with one TCP host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise DsnError("not a valid URL; '/', '#', '?', ':' and '@' in a password must be percent-encoded") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise DsnError("must start with postgresql://")
    if "," in parts.netloc or not parts.hostname or "host" in parse_qs(parts.query):
        raise DsnError("must name one TCP host, as in postgresql://user:password@host:port/database")
    password = parts.password or os.environ.get("PGPASSWORD") or ""
    words = {unquote(parts.username or ""), parts.hostname, unquote(parts.path.lstrip("/")), parts.scheme}
    # A password that is an everyday word is found everywhere. It is then looked for as it stands in a URL only.
    everyday = len(unquote(password)) < _SHORTEST_SECRET or unquote(password) in words
    in_url = f":{password}@"
    secrets = dict.fromkeys([in_url] if everyday else [password, unquote(password)]) if password else {}
    return Dsn(url=url, host=parts.hostname, port=port, secrets=tuple(secrets))


class _Bundled:
    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.dsn = server.dsn
        self.address = (server.host, server.port)
        self.secrets = (server.password,)
        self.outage = "SIGKILL to PostgreSQL and all of its processes"

    async def crash(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def restore(self) -> None:
        await asyncio.to_thread(self._server.start)


class _BehindProxy:
    def __init__(self, dsn: Dsn, proxy: TcpProxy) -> None:
        self._proxy = proxy
        self.dsn = dsn.url
        self.address = (proxy.host, proxy.port)
        self.secrets = dsn.secrets
        self.outage = "all connections reset and new ones refused by a proxy; your server itself is left alone"

    async def crash(self) -> None:
        await self._proxy.cut()

    async def restore(self) -> None:
        await self._proxy.restore()


@asynccontextmanager
async def open_database(dsn: Dsn | None) -> AsyncGenerator[Database, None]:
    """The user's database behind a proxy, or the bundled server when there is no DSN."""
    if dsn is not None:
        async with TcpProxy(dsn.host, dsn.port) as proxy:
            yield _BehindProxy(dsn, proxy)
        return
    server = PostgresServer()
    try:
        await asyncio.to_thread(server.start)
        yield _Bundled(server)
    finally:
        server.close()
