"""The clients of Redis and Valkey: which package serves a URL, and the settings that keep a caller from being held.

redis-py and valkey-py have one interface. Neither is needed before a store is used, and either serves both schemes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

from omnibase_infra.errors import ProtocolConfigurationError

SCHEMES: Final = {"redis": "redis", "rediss": "redis", "valkey": "valkey", "valkeys": "valkey"}
"""The schemes of a URL, and the package that is preferred for each."""


class Pipeline(Protocol):
    """Commands that go out together."""

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        """Add a script's run."""
        ...

    def execute(self, *, raise_on_error: bool = True) -> Sequence[object]:
        """Send all, and give the answers, or the errors in their place."""
        ...


class Subscription(Protocol):
    """What is heard on channels."""

    def subscribe(self, *channels: str) -> object:
        """Listen to these too."""
        ...

    def get_message(self, *, timeout: float) -> Mapping[str, object] | None:
        """The next message; None when none came within `timeout` seconds."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class BlockingClient(Protocol):
    """What is used of `redis.Redis` and `valkey.Valkey`."""

    def pipeline(self, *, transaction: bool = True) -> Pipeline:
        """Commands to be sent together."""
        ...

    def pubsub(self, *, ignore_subscribe_messages: bool = False) -> Subscription:
        """A subscription with a connection of its own."""
        ...

    def script_load(self, script: str) -> str:
        """Have the server know a script; gives its hash."""
        ...

    def scan_iter(self, match: str, count: int) -> Iterable[str]:
        """The keys of a pattern."""
        ...

    def pttl(self, key: str) -> int:
        """Milliseconds until a key expires; negative when it does not."""
        ...

    def delete(self, *keys: str) -> int:
        """Remove keys; gives how many there were."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def is_store_url(url: str) -> bool:
    """Whether a URL names a server that can be a store."""
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def shown_url(url: str) -> str:
    """The URL without user, password and options, for errors and logs."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host if parts.port is None else f'{host}:{parts.port}'}{parts.path}"


def blocking_client(url: str, timeout: float) -> BlockingClient:
    """A client for one thread, which answers or fails within about `timeout` seconds and never tries again by itself.

    Raises:
        ProtocolConfigurationError: When neither redis-py nor valkey-py is installed.
    """
    package = package_for(url)
    scheme, rest = url.split("://", 1)
    fitting = f"{package}{'s' if scheme in ('rediss', 'valkeys') else ''}://{rest}"
    retry = import_module(f"{package}.retry").Retry(import_module(f"{package}.backoff").NoBackoff(), 0)
    client: object = getattr(import_module(package), package.capitalize()).from_url(
        fitting,
        decode_responses=True,
        protocol=2,
        retry=retry,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
    )
    return cast("BlockingClient", client)


def package_for(url: str) -> str:
    """The installed package that serves a URL: the one of its scheme, else the other.

    Raises:
        ProtocolConfigurationError: When there is neither.
    """
    preferred = SCHEMES[urlsplit(url).scheme]
    for package in dict.fromkeys((preferred, "redis", "valkey")):
        if find_spec(package) is not None:
            return package
    raise ProtocolConfigurationError(
        f"a {preferred}:// URL needs a client: install the package {preferred}", parameter="shared"
    )
