"""The clients of Redis and Valkey: which package serves a URL, and the settings that keep a caller from being held.

redis-py and valkey-py have one interface. Neither is needed before a store is used, and either serves both schemes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from omnibase_infra.errors import ProtocolConfigurationError


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


def blocking_client(url: str, timeout: float) -> BlockingClient:
    """A client for one thread, which answers or fails within about `timeout` seconds and never tries again by itself.

    Raises:
        ProtocolConfigurationError: When neither redis-py nor valkey-py is installed.
    """
    package = package_for(url, "shared")
    client: object = getattr(import_module(package), package.capitalize()).from_url(
        url_for(package, url),
        decode_responses=True,
        protocol=2,
        retry=no_retry(package),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
    )
    return cast("BlockingClient", client)


def package_for(url: str, parameter: str) -> str:
    """The installed package that serves a URL: the one of its scheme, else the other.

    Args:
        url: A URL whose scheme begins with ``redis`` or ``valkey``.
        parameter: What the user gave it as.

    Raises:
        ProtocolConfigurationError: When there is neither.
    """
    preferred, other = ("valkey", "redis") if url.startswith("valkey") else ("redis", "valkey")
    for package in (preferred, other):
        if find_spec(package) is not None:
            return package
    raise ProtocolConfigurationError(
        f"{parameter}: a {preferred}:// URL needs a client: install the package {preferred}", parameter=parameter
    )


def url_for(package: str, url: str) -> str:
    """The URL in the words of the package that serves it."""
    return re.sub("^(redis|valkey)", package, url)


def no_retry(package: str, *, asynchronous: bool = False) -> object:
    """The package's setting for a client that never tries again by itself."""
    kind = f"{package}.asyncio" if asynchronous else package
    nothing: object = import_module(f"{package}.backoff").NoBackoff()
    return cast("object", import_module(f"{kind}.retry").Retry(nothing, 0))
