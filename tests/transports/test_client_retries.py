"""What clients do by themselves below a policy: read from the client, or proven by its failure."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed")
pytest.importorskip("consul", reason="py-consul is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("hvac", reason="hvac is not installed")
pytest.importorskip("redis", reason="redis is not installed")
pytest.importorskip("requests", reason="requests is not installed")
pytest.importorskip("valkey", reason="valkey is not installed")

import aiohttp
import consul
import consul.aio
import httpx
import hvac
import redis
import redis.asyncio
import redis.exceptions
import requests
import urllib3
import valkey
import valkey.asyncio
import valkey.backoff
import valkey.retry
from redis.backoff import NoBackoff
from redis.retry import Retry
from requests.adapters import HTTPAdapter

from omnibase_infra.errors import InfraConnectionError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    ClientRetriesWarning,
    check_client,
    client_retries,
    create_valkey_retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers import nested_retries
from omnibase_infra.infrastructure.resilience.observers.log import LOGGER
from omnibase_infra.infrastructure.resilience.transports import failure_of


def session(retries: urllib3.Retry | int = 0) -> requests.Session:
    made = requests.Session()
    made.mount("http://", HTTPAdapter(max_retries=retries))
    return made


def hvac_over(retries: int) -> hvac.Client:
    return hvac.Client(session=session(retries))


def consul_over(retries: int) -> consul.Consul:
    client = consul.Consul()
    client.http.session.mount("http://", HTTPAdapter(max_retries=retries))
    return client


@pytest.mark.parametrize(
    ("make", "driver", "attempts"),
    [
        (redis.Redis, "redis", 11),
        (redis.asyncio.Redis, "redis", 11),
        (lambda: redis.Redis(retry=Retry(NoBackoff(), 0)), "redis", 1),
        (lambda: redis.Redis(retry=Retry(NoBackoff(), -1)), "redis", None),
        (valkey.Valkey, "valkey", 1),
        (valkey.asyncio.Valkey, "valkey", 1),
        (lambda: valkey.Valkey(retry_on_timeout=True), "valkey", 2),
        (lambda: valkey.Valkey(retry_on_error=[ValueError]), "valkey", 2),
        (session, "requests", 1),
        (lambda: session(2), "requests", 3),
        (lambda: session(urllib3.Retry(connect=3, read=0, status=0, other=0)), "requests", 4),
        (lambda: session(urllib3.Retry(total=1, connect=3, read=0, status=0, other=0)), "requests", 2),
        (lambda: session(urllib3.Retry(total=None, connect=3, read=0, status=0, other=0)), "requests", 4),
        (lambda: session(urllib3.Retry(total=2, connect=0)), "requests", 3),
        (urllib3.PoolManager, "urllib3", 4),
        (lambda: urllib3.PoolManager(retries=False), "urllib3", 1),
        (lambda: urllib3.PoolManager(retries=urllib3.Retry(connect=0, read=0, status=0, other=0)), "urllib3", 1),
        (lambda: urllib3.HTTPConnectionPool("127.0.0.1"), "urllib3", 4),
        (lambda: urllib3.HTTPConnectionPool("127.0.0.1", retries=0), "urllib3", 1),
        (httpx.Client, "httpx", 1),
        (lambda: httpx.Client(transport=httpx.HTTPTransport(retries=2)), "httpx", 3),
        (lambda: httpx.Client(mounts={"http://": httpx.HTTPTransport(retries=2)}), "httpx", 3),
        (lambda: httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=2)), "httpx", 3),
        (lambda: hvac_over(0), "requests", 1),
        (lambda: hvac_over(2), "requests", 3),
        (lambda: consul_over(0), "requests", 1),
        (lambda: consul_over(2), "requests", 3),
    ],
)
def test_a_client_tells_how_often_it_tries(make: Callable[[], object], driver: str, attempts: int | None) -> None:
    found = client_retries(make())
    assert (found.driver, found.attempts) == (driver, attempts)


@pytest.mark.filterwarnings("ignore:ssl_context is deprecated:DeprecationWarning")  # py-consul's own
def test_asyncio_sessions_of_aiohttp_try_twice_also_under_py_consul() -> None:
    async def ask() -> list[tuple[str, int | None]]:
        async with aiohttp.ClientSession() as own:
            under = consul.aio.Consul()
            try:
                return [(found.driver, found.attempts) for found in map(client_retries, (own, under))]
            finally:
                await under.close()

    assert asyncio.run(ask()) == [("aiohttp", 2)] * 2


def test_a_cluster_client_tells_how_often_it_tries_on_other_nodes() -> None:
    # Neither is made without a cluster; these are their attributes.
    of_redis, of_valkey = (
        redis.RedisCluster.__new__(redis.RedisCluster),
        valkey.ValkeyCluster.__new__(valkey.ValkeyCluster),
    )
    of_redis.retry = Retry(NoBackoff(), 3)
    of_valkey.retry, of_valkey.cluster_error_retry_attempts = valkey.retry.Retry(valkey.backoff.NoBackoff(), 1), 3
    assert [client_retries(client).attempts for client in (of_redis, of_valkey)] == [4, 4]


@pytest.mark.parametrize("package", ["asyncpg", "psycopg", "psycopg2", "psycopg_pool"])
def test_a_connection_to_a_database_tries_once(package: str) -> None:
    connection = type("Connection", (), {"__module__": f"{package}.connection"})()
    assert (client_retries(connection).driver, client_retries(connection).attempts) == (package, 1)
    assert client_retries(connection).advice(3) == ""


@pytest.mark.parametrize("package", ["aiokafka", "confluent_kafka"])
def test_a_producer_tries_until_its_own_time_out(package: str) -> None:
    producer = type("Producer", (), {"__module__": package})()
    with pytest.warns(ClientRetriesWarning, match=f"{package} tries to deliver a message until .* own time-out by its"):
        assert check_client(producer, 5).attempts is None


@pytest.mark.parametrize("client", [None, object(), 3, logging])
def test_what_is_no_client_is_refused_and_not_called_harmless(client: object) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"client is a \w+: must be a client of aiohttp, .*valkey"):
        check_client(client)


def test_the_warning_has_the_arithmetic_and_the_way_to_switch_it_off_and_points_at_the_caller() -> None:
    with pytest.warns(ClientRetriesWarning) as caught:
        check_client(redis.Redis(host="hunter2"), 3)
    assert str(caught[0].message) == (
        "redis tries after lost connections and time-outs up to 11 times by itself: with 3 attempts of a policy, 33 "
        "for one call. Redis(retry=Retry(NoBackoff(), 0)) switches it off."
    )
    assert caught[0].filename == __file__


def test_nothing_is_said_of_a_client_or_a_policy_that_tries_once() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_client(valkey.Valkey(), 3)
        check_client(redis.Redis(), 1)


# --- proven by a failure -----------------------------------------------------------------------------------------


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(nested_retries, "_said", set())
    caplog.set_level(logging.WARNING, LOGGER.name)
    return caplog


def lost(retries: int) -> None:
    """A command whose connection is lost at every try; redis' own loop makes the tries."""

    def send() -> None:
        raise redis.exceptions.ConnectionError("hunter2")

    Retry(NoBackoff(), retries).call_with_retry(send, lambda _: None)


@pytest.mark.parametrize("package", [redis, valkey])
def test_tries_to_connect_are_found_behind_the_socket_s_error(package, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(package.Connection, "_connect", connect)
    connection = package.Connection(retry=package.retry.Retry(package.backoff.NoBackoff(), 2))
    with pytest.raises(package.exceptions.TimeoutError) as caught:
        connection.connect()
    assert failure_of(caught.value).client_attempts == 3


def warned_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if hasattr(record, "driver")]


def test_the_policy_warns_once_a_client_in_its_log_and_raises_no_warning(said: pytest.LogCaptureFixture) -> None:
    guarded = create_valkey_retry_policy(3, 0, 0)(lost)
    for _ in range(2):
        with pytest.raises(InfraConnectionError):
            guarded(2)
    only = (
        "redis tries up to 3 times by itself: with 3 attempts of a policy, 9 for one call. "
        "Redis(retry=Retry(NoBackoff(), 0)) switches it off."
    )
    assert warned_of(said) == [only]
    told = next(record for record in said.records if hasattr(record, "driver"))
    assert (told.levelname, told.driver, told.client_attempts, told.max_attempts) == ("WARNING", "redis", 3, 3)


def test_a_client_that_tries_once_is_not_spoken_of(said: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InfraConnectionError):
        create_valkey_retry_policy(3, 0, 0)(lost)(0)
    assert warned_of(said) == []


def test_a_policy_that_tries_once_multiplies_nothing(said: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InfraConnectionError):
        create_valkey_retry_policy(1)(lost)(2)
    assert warned_of(said) == []


def test_a_policy_whose_stop_is_the_user_s_has_no_product(said: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InfraConnectionError):
        create_valkey_retry_policy(min_wait=0, max_wait=0, stop=lambda state: state.attempt_number > 1)(lost)(2)
    assert warned_of(said) == [
        "redis tries up to 3 times by itself. Redis(retry=Retry(NoBackoff(), 0)) switches it off."
    ]


def test_what_nobody_heard_is_said_to_the_next_who_listens(said: pytest.LogCaptureFixture) -> None:
    guarded = create_valkey_retry_policy(2, 0, 0)(lost)
    said.set_level(logging.ERROR, LOGGER.name)
    with pytest.raises(InfraConnectionError):
        guarded(2)
    said.set_level(logging.WARNING, LOGGER.name)
    with pytest.raises(InfraConnectionError):
        guarded(2)
    assert len(warned_of(said)) == 1


def test_a_handler_that_raises_does_not_break_the_call(
    said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    broken = Broken()
    LOGGER.addHandler(broken)
    try:
        with pytest.raises(InfraConnectionError):
            create_valkey_retry_policy(2, 0, 0)(lost)(2)
    finally:
        LOGGER.removeHandler(broken)


@pytest.mark.parametrize(
    "error", [redis.exceptions.TimeoutError("no"), requests.ConnectionError(), httpx.ConnectError("no")]
)
def test_an_error_without_a_traceback_proves_one_try(error: Exception) -> None:
    assert failure_of(error).client_attempts == 1
