"""How often a client tries by itself: below a retry policy its attempts and the policy's multiply.

Clients are known by the package of their class; none is imported.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from omnibase_infra.errors import ProtocolConfigurationError

_REMEDIES: Final = {
    "aiohttp": "It has no switch for that; a POST it sends once",
    "aiokafka": "It has no switch for that: lower its request_timeout_ms, and give the policy one attempt",
    "confluent_kafka": "Give it retries=0, or a short delivery.timeout.ms and the policy one attempt",
    "httpx": "HTTPTransport(retries=0), its default, switches it off",
    "redis": "Redis(retry=Retry(NoBackoff(), 0)) switches it off",
    "requests": "HTTPAdapter(max_retries=0), its default, switches it off",
    "urllib3": "PoolManager(retries=Retry(connect=0, read=0, status=0, other=0)) switches it off",
    "valkey": "Valkey(retry=None) without retry_on_timeout and retry_on_error, its default, switches it off",
}


class ClientRetriesWarning(RuntimeWarning):
    """A client retries by itself below a policy that does so too."""


@dataclass(slots=True, frozen=True)
class ClientRetries:
    """What a client does by itself when a call fails."""

    driver: str
    """The package that retries: for a client built on another, the other."""
    attempts: int | None
    """Calls that it makes at most for one; None where only a time-out of its own bounds them."""
    retried: str = ""
    """Which failures it retries, when not all."""

    def advice(self, max_attempts: int | None = None) -> str:
        """What it does, what that makes with a policy's attempts, and how to switch it off; "" when it tries once."""
        if self.attempts == 1:
            return ""
        what = f" {self.retried}" if self.retried else ""
        times = f"up to {self.attempts} times" if self.attempts else "until it succeeds or gives up by its own time-out"
        product = ""
        if max_attempts is not None and self.attempts is not None:
            product = f": with {max_attempts} attempts of a policy, {self.attempts * max_attempts} for one call"
        return f"{self.driver} tries{what} {times} by itself{product}. {_REMEDIES[self.driver]}."


def client_retries(client: object) -> ClientRetries:
    """How often a client tries by itself.

    Known are the clients of redis and valkey with their clusters, sessions of requests and aiohttp, pools of urllib3,
    clients of httpx, hvac and py-consul, producers of aiokafka and confluent-kafka, and connections and pools of
    asyncpg and psycopg, which try once. A channel of gRPC does not tell: its service config may make it retry.

    Raises:
        ProtocolConfigurationError: When it is no client whose retries are known.
    """
    for base in type(client).__mro__:
        package = base.__module__.partition(".")[0]
        if package in _KNOWN:
            return _KNOWN[package](client)
    raise ProtocolConfigurationError(
        f"client is a {type(client).__name__}: must be a client of {', '.join(sorted(_KNOWN))}", parameter="client"
    )


def check_client(client: object, max_attempts: int | None = None) -> ClientRetries:
    """Warn when a client retries by itself, so that it does not multiply the attempts of a policy around its calls.

    To be called once, where the client is made: ``check_client(client, policy.max_attempts)``.

    Args:
        client: A client that `client_retries` knows.
        max_attempts: Attempts of the policy, the first included; with 1 there is nothing to warn of.

    Returns:
        What the client does by itself.

    Warns:
        ClientRetriesWarning: With the arithmetic, and how to switch the client's own retries off.

    Raises:
        ProtocolConfigurationError: When it is no client whose retries are known.
    """
    found = client_retries(client)
    if found.attempts != 1 and max_attempts != 1:
        warnings.warn(found.advice(max_attempts), ClientRetriesWarning, stacklevel=2)
    return found


def proven_retries(exc: BaseException, attempts: int) -> ClientRetries | None:
    """What a failure proves of the client that reported it; None for one of which nothing more is known."""
    packages = (base.__module__.partition(".")[0] for base in type(exc).__mro__)
    driver = next((package for package in packages if package in _REMEDIES), None)
    return None if driver is None else ClientRetries(driver, attempts)


def _once(client: object) -> ClientRetries:
    return ClientRetries(type(client).__module__.partition(".")[0], 1)


def _until_time_out(client: object) -> ClientRetries:
    return ClientRetries(type(client).__module__.partition(".")[0], None, "to deliver a message")


def _redis(client: object) -> ClientRetries:
    driver = type(client).__module__.partition(".")[0]
    ask: object = getattr(client, "get_retry", None)
    retry: object = ask() if callable(ask) else getattr(client, "retry", None)
    count: object = getattr(client, "cluster_error_retry_attempts", None)  # of valkey-py, beside its `retry`
    if not isinstance(count, int):
        count = getattr(retry, "_retries", None)
    settings: object = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    if not isinstance(count, int):
        # Told which failures to retry but not how often, a connection makes itself a Retry with one.
        told: Mapping[str, object] = cast("Mapping[str, object]", settings) if isinstance(settings, Mapping) else {}
        count = 1 if told.get("retry_on_error") or told.get("retry_on_timeout") else 0
    retried = "after lost connections and time-outs" if driver == "redis" else "after the errors of retry_on_error"
    return ClientRetries(driver, None if count < 0 else count + 1, retried)


def _requests(client: object) -> ClientRetries:
    session: object = getattr(client, "session", client)
    adapters: object = getattr(session, "adapters", None)
    mounted = cast("Mapping[str, object]", adapters).values() if isinstance(adapters, Mapping) else ()
    return _most("requests", [_of_retry(getattr(adapter, "max_retries", None)) for adapter in mounted])


def _urllib3(client: object) -> ClientRetries:
    settings: object = getattr(client, "connection_pool_kw", None)
    given: object = getattr(client, "retries", None)
    if isinstance(settings, Mapping):
        given = cast("Mapping[str, object]", settings).get("retries")
    if given is None:
        given = getattr(getattr(sys.modules.get("urllib3.util.retry"), "Retry", None), "DEFAULT", None)
    return _most("urllib3", [_of_retry(given)])


def _hvac(client: object) -> ClientRetries:
    return _requests(getattr(client, "adapter", client))


def _consul(client: object) -> ClientRetries:
    http: object = getattr(client, "http", client)
    asynchronous: object = getattr(http, "_session", None)
    return _requests(http) if asynchronous is None else _aiohttp(asynchronous)


def _httpx(client: object) -> ClientRetries:
    mounts: object = getattr(client, "_mounts", None)
    mounted = cast("Mapping[object, object]", mounts).values() if isinstance(mounts, Mapping) else ()
    counts = [
        getattr(getattr(transport, "_pool", None), "_retries", 0)
        for transport in (getattr(client, "_transport", client), *mounted)
    ]
    return _most("httpx", [count for count in counts if isinstance(count, int)], "to connect")


def _aiohttp(client: object) -> ClientRetries:
    again = getattr(client, "_retry_connection", False) is True
    return ClientRetries("aiohttp", 2 if again else 1, "a GET, PUT, DELETE and the like after a lost connection")


def _of_retry(retry: object) -> int:
    """The retries that a `Retry` of urllib3 allows: redirects are none; what has no limit has the total's."""
    if isinstance(retry, int):
        return int(retry)
    total, *kinds = (getattr(retry, name, None) for name in ("total", "connect", "read", "status", "other"))
    limits = [int(limit) if isinstance(limit, int) else None for limit in kinds]
    most = None if None in limits else max(limit for limit in limits if limit is not None)
    if not isinstance(total, int):
        return most or 0
    return int(total) if most is None else min(most, int(total))


def _most(driver: str, retries: list[int], retried: str = "") -> ClientRetries:
    return ClientRetries(driver, 1 + max(0, 0, *retries), retried)


_KNOWN: Final[dict[str, Callable[[object], ClientRetries]]] = {
    "aiohttp": _aiohttp,
    "aiokafka": _until_time_out,
    "asyncpg": _once,
    "confluent_kafka": _until_time_out,
    "consul": _consul,
    "httpx": _httpx,
    "hvac": _hvac,
    "psycopg": _once,
    "psycopg2": _once,
    "psycopg_pool": _once,
    "redis": _redis,
    "requests": _requests,
    "urllib3": _urllib3,
    "valkey": _redis,
}
