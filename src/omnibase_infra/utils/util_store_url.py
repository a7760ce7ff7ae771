"""URLs of the stores that workers share, Redis and Valkey: one server, Sentinel, or Cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

STORE_URLS: Final = "redis://host:6379/0, redis+sentinel://host:26379,host:26379/service or redis+cluster://host:6379"
"""What a user is told to give; ``valkey`` may stand for ``redis`` in each."""

_HOST: Final = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"

_URL: Final = re.compile(
    rf"(?P<package>redis|valkey)(?P<kind>s|\+unix|\+sentinel|\+cluster)?://(?P<login>[^\s/?#]*@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)?(?P<path>/[^\s?#]*)?(?P<options>\?[^\s#]*)?",
)

_HOSTS_OF: Final = {"": (1, 1), "s": (1, 1), "+unix": (0, 0), "+sentinel": (1, 1000), "+cluster": (1, 1000)}
"""Fewest and most."""

_NEEDS_PATH: Final = ("+unix", "+sentinel")

_PORTS: Final = {"+sentinel": 26379}
_USUAL_PORT: Final = 6379
_LAST_PORT: Final = 65535


@dataclass(slots=True, frozen=True)
class StoreUrl:
    """The parts of a URL that names a store."""

    package: str
    """``redis`` or ``valkey``."""
    kind: str
    """``""`` and ``"s"`` for one server, else ``"+unix"``, ``"+sentinel"`` or ``"+cluster"``."""
    login: str
    """With the ``@``, and as quoted as it was given."""
    hosts: tuple[tuple[str, int], ...]
    path: str
    options: str
    """With the ``?``."""


def parse_store_url(url: str) -> StoreUrl | None:
    """The parts of a URL; None when it names no store."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    package, kind, login, listed, path, options = (found[group] or "" for group in _URL.groupindex)
    hosts = tuple(_address(host, _PORTS.get(kind, _USUAL_PORT)) for host in listed.split(",") if host)
    fewest, most = _HOSTS_OF[kind]
    if not fewest <= len(hosts) <= most or not all(0 < port <= _LAST_PORT for _, port in hosts):
        return None
    if kind in _NEEDS_PATH and not path.strip("/"):
        return None
    return StoreUrl(package, kind, login, hosts, path, options)


def is_store_url(url: str) -> bool:
    """Whether a URL names what can be a store."""
    return parse_store_url(url) is not None


def is_cluster_url(url: str) -> bool:
    """Whether a URL names a cluster, where the keys that a script uses must lie together."""
    parsed = parse_store_url(url)
    return parsed is not None and parsed.kind == "+cluster"


def shown_url(url: str) -> str:
    """The URL without user, password and options, for errors and logs."""
    found = _URL.fullmatch(url)
    if found is None:
        return ""
    package, kind, _, hosts, path, _ = (found[group] or "" for group in _URL.groupindex)
    return f"{package}{kind}://{hosts}{path}"


def _address(host: str, port: int) -> tuple[str, int]:
    name, colon, digits = host.rpartition(":")
    if not colon or "]" in digits:
        return host.strip("[]"), port
    return name.strip("[]"), int(digits)
