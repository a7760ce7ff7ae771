"""From what a trace calls an error to the name of the catalogue that stands for it."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from omnibase_infra.infrastructure.resilience.transports.http_status import kind_of_status
from omnibase_infra.simulator.driver_errors import CATALOGUE, driver_error

UNMAPPED: Final = "builtin.RuntimeError"
"""What an error counts as that nothing is known of: it is the caller's, which no policy retries."""

_DRIVERS: Final = {
    "database": ("asyncpg", "psycopg", "psycopg_pool"),
    "kafka": ("aiokafka", "confluent_kafka"),
    "network": ("httpx", "aiohttp", "requests"),
    "vault": ("hvac", "requests"),
    "consul": ("consul", "requests", "aiohttp"),
    "valkey": ("valkey", "redis"),
    "grpc": ("grpc",),
}
"""Whose classes a bare name is looked for among, in this order."""

_HTTP: Final = {"network": "httpx", "vault": "hvac", "consul": "consul", "grpc": "grpc"}
_PYTHON_S_OWN: Final = ("", "asyncio", "builtins", "socket")
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
_OF_GRPC: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""gRPC's codes by number. Source: "Status codes and their use in gRPC"."""


def catalogue_name(error: str, transport: str) -> str | None:
    """The name of the catalogue; None when nothing there is alike.

    Args:
        error: A name of the catalogue; a class with its package or without; a status of HTTP or gRPC, as a number or by
            name; an SQLSTATE; ``timeout``, as OpenTelemetry's conventions have it.
        transport: The transport's table of the presets: ``database``.
    """
    if error in CATALOGUE:
        return error
    if error.lower() == "timeout":
        return "builtin.TimeoutError"
    if transport == "grpc" and error.isdecimal() and int(error) < len(_OF_GRPC):
        error = _OF_GRPC[int(error)]
    if _STATUS.fullmatch(error):
        return _of_status(int(error), transport)
    if transport == "database" and _SQLSTATE.fullmatch(error):
        return _by_sqlstate().get(error)
    package, _, name = error.rpartition(".")
    driver = package.partition(".")[0]
    if driver in _PYTHON_S_OWN and f"builtin.{name}" in CATALOGUE:
        return f"builtin.{name}"
    candidates = (f"{driver}.{name}",) if driver else [f"{known}.{name}" for known in _DRIVERS[transport]]
    return next((candidate for candidate in candidates if candidate in CATALOGUE), None)


def _of_status(status: int, transport: str) -> str | None:
    """The driver's error for the HTTP status, else for another of the same kind."""
    driver = _HTTP.get(transport, "httpx")
    if f"{driver}.{status}" in CATALOGUE:
        return f"{driver}.{status}"
    codes = _by_status(driver)
    if str(status) in codes:
        return codes[str(status)]
    kind = kind_of_status(status)
    return next((name for name in codes.values() if CATALOGUE[name].kind is kind), None)


@cache
def _by_sqlstate() -> dict[str, str]:
    made = {name: driver_error(name) for name in CATALOGUE if name.startswith("asyncpg.")}
    # What the server said before it hung up stands on the cause.
    codes = {name: getattr(error.__cause__, "sqlstate", getattr(error, "sqlstate", "")) for name, error in made.items()}
    return {code: name for name, code in codes.items() if code}


@cache
def _by_status(driver: str) -> dict[str, str]:
    """The driver's errors by the code that our classifiers find on them, in the order of the catalogue."""
    from omnibase_infra.infrastructure.resilience.transports import failure_of

    codes: dict[str, str] = {}
    for name in CATALOGUE:
        if name.startswith(f"{driver}."):
            codes.setdefault(failure_of(driver_error(name)).code or "", name)
    return {code: name for code, name in codes.items() if _STATUS.fullmatch(code)}
