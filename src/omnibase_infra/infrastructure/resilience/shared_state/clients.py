"""The clients of Redis and Valkey: which package serves a URL, and the settings that keep a caller from being held.

redis-py and valkey-py have one interface. Neither is needed before a store is used, and either serves both schemes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.shared_state.cluster_client import Cluster, ClusterClient
from omnibase_infra.utils.util_store_url import StoreUrl, parse_store_url


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

    def zrevrange(self, name: str, start: int, end: int, *, withscores: bool) -> Sequence[tuple[str, float]]:
        """Members of a sorted set, the highest first."""
        ...

    def delete(self, *keys: str) -> int:
        """Remove keys; gives how many there were."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def blocking_client(url: str, timeout: float) -> BlockingClient:
    """A client for one thread, which answers or fails within about `timeout` seconds and never tries again by itself.

    It connects when it is first used. After a fail-over it finds the new primary, of Sentinel's service or of each part
    of a cluster, when it is used again.

    Raises:
        ProtocolConfigurationError: When neither redis-py nor valkey-py is installed.
    """
    package = package_for(url, "shared")
    bounds: dict[str, object] = {
        "decode_responses": True,
        "protocol": 2,
        "retry": no_retry(package),
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
    }
    parsed = parse_store_url(url)
    if parsed is not None and parsed.kind == "+cluster":
        connect = partial(_cluster, package, _options(package, parsed) | bounds)
        return cast("BlockingClient", ClusterClient(connect, f"get_{package}_connection", parsed.hosts))
    if parsed is not None and parsed.kind == "+sentinel":
        return _under_sentinel(package, parsed, bounds)
    # What its package calls a path is a scheme of its own there.
    fitting = re.sub(r"^\w+\+unix", "unix", url_for(package, url))
    client: object = getattr(import_module(package), package.capitalize()).from_url(fitting, **bounds)
    return cast("BlockingClient", client)


def close_client(client: BlockingClient) -> None:
    """Close every connection of a client, those to sentinels too, whatever its driver has to say about it."""
    sentinel: object = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    watchers: Iterable[BlockingClient] = getattr(sentinel, "sentinels", ())
    for handle in (client, *watchers):
        with suppress(Exception):
            handle.close()


def _under_sentinel(package: str, url: StoreUrl, bounds: Mapping[str, object]) -> BlockingClient:
    kind = import_module(f"{package}.sentinel").Sentinel
    given = _options(package, url)
    login: dict[str, object] = {key: given[key] for key in ("username", "password") if key in given}
    sentinel: object = kind(url.hosts, sentinel_kwargs=login | dict(bounds), **(given | dict(bounds)))
    if login:
        # The login may be that of the servers alone; a sentinel that needs none refuses it.
        watchers: list[object] = getattr(sentinel, "sentinels")  # noqa: B009 - neither package is imported for its types
        watchers += kind(url.hosts, sentinel_kwargs=bounds).sentinels
    return cast("BlockingClient", getattr(sentinel, "master_for")(url.path.strip("/")))  # noqa: B009


def _cluster(package: str, given: Mapping[str, object], hosts: Iterable[tuple[str, int]]) -> Cluster:
    module = import_module(f"{package}.cluster")
    nodes = [module.ClusterNode(*host) for host in hosts]
    kind = getattr(module, f"{package.capitalize()}Cluster")
    return cast("Cluster", kind(startup_nodes=nodes, require_full_coverage=False, **given))


def _options(package: str, url: StoreUrl) -> dict[str, object]:
    """User, password and options of a URL that no package reads as a whole."""
    plain = f"{package}://{url.login}host{url.options}"
    found: Mapping[str, object] = import_module(f"{package}.connection").parse_url(plain)
    return {key: value for key, value in found.items() if key not in ("host", "port", "db", "connection_class")}


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
        f'{parameter}: a {preferred}:// URL needs a client: pip install "onex-resilience[{preferred}]"',
        parameter=parameter,
    )


def url_for(package: str, url: str) -> str:
    """The URL in the words of the package that serves it."""
    return re.sub("^(redis|valkey)", package, url)


def no_retry(package: str, *, asynchronous: bool = False) -> object:
    """The package's setting for a client that never tries again by itself."""
    kind = f"{package}.asyncio" if asynchronous else package
    nothing: object = import_module(f"{package}.backoff").NoBackoff()
    return cast("object", import_module(f"{kind}.retry").Retry(nothing, 0))
