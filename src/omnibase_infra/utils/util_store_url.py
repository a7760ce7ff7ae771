"""URLs of the stores that workers share, Redis and Valkey."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys")


def is_store_url(url: str) -> bool:
    """Whether a URL names a single server that can be a store."""
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def shown_url(url: str) -> str:
    """The URL without user, password and options, for errors and logs."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host if parts.port is None else f'{host}:{parts.port}'}{parts.path}"
