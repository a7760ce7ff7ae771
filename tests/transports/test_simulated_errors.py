"""The simulator's stand-ins are to the policies what the drivers' own exceptions are."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import pytest
from tests.support.garbage import garbage_of
from tests.transports.situation import Situation

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.transports import Failure, failure_of
from omnibase_infra.simulator.driver_errors import CATALOGUE, driver_error
from omnibase_infra.simulator.stand_ins import DriverError

HINTED = [name for name, entry in CATALOGUE.items() if entry.takes_hint]

SITUATIONS = {
    "aiohttp": {
        "ClientConnectorDNSError": "host name unknown",
        "ClientConnectorError": "connection refused",
        "ClientOSError": "reset before the answer",
        "ClientPayloadError": "answer cut off",
        "ConnectionTimeoutError": "connect time-out",
        "ServerDisconnectedError": "closed before the answer",
        "SocketTimeoutError": "no answer in time",
    },
    "aiokafka": {
        "BrokerNotAvailableError": "code 8: broker not available",
        "CommitFailedError": "commit: code 27, rebalance in progress",
        "KafkaConnectionError": "connection lost with a request in flight",
        "KafkaStorageError": "code 56: storage error",
        "KafkaTimeoutError": "send: buffer full for too long",
        "LeaderNotAvailableError": "code 5: leader not available",
        "MessageSizeTooLargeError": "code 10: message too large",
        "NodeNotReadyError": "send: broker gone",
        "NotEnoughReplicasAfterAppendError": "code 20: not enough replicas after append",
        "NotEnoughReplicasError": "code 19: not enough replicas",
        "NotLeaderForPartitionError": "code 6: not leader for partition",
        "RequestTimedOutError": "send: no answer in time",
        "SaslAuthenticationFailed": "start: login refused, seen with RevealLoginFailure",
        "TopicAuthorizationFailedError": "code 29: topic authorization failed",
        "UnknownTopicOrPartitionError": "code 3: unknown topic or partition",
        "bootstrap": "start: refused, reset, DNS failure, time-out or not a broker",
    },
    "asyncpg": {
        "AdminShutdownError": "terminated in mid-query",
        "CannotConnectNowError": "starting up",
        "ConnectionDoesNotExistError": "lost in mid-query",
        "DeadlockDetectedError": "deadlock",
        "DiskFullError": "disk full",
        "InterfaceError": "lost while idle",
        "InvalidPasswordError": "wrong password",
        "LockNotAvailableError": "lock time-out",
        "QueryCanceledError": "statement time-out",
        "ReadOnlySQLTransactionError": "read-only transaction",
        "SerializationError": "serialization failure",
        "TooManyConnectionsError": "too many clients",
        "UniqueViolationError": "unique violation",
    },
    "confluent_kafka": {
        "BufferError": "produce: local queue full, a BufferError",
        "LEADER_NOT_AVAILABLE": "code 5: leader not available",
        "NOT_ENOUGH_REPLICAS": "code 19: not enough replicas",
        "NOT_LEADER_FOR_PARTITION": "code 6: not leader for partition",
        "REQUEST_TIMED_OUT": "code 7: request timed out",
        "THROTTLING_QUOTA_EXCEEDED": "code 89: throttling quota exceeded",
        "TOPIC_AUTHORIZATION_FAILED": "code 29: topic authorization failed",
        "_ALL_BROKERS_DOWN": "all brokers down",
        "_AUTHENTICATION": "error callback: login refused",
        "_MSG_TIMED_OUT": "delivery: message timed out, whatever the reason",
        "_TIMED_OUT": "metadata: no answer in time",
        "_TRANSPORT": "metadata: refused, reset, or closed",
    },
    "consul": {
        "429": "429",
        "500": "500",
        "502": "502",
        "503": "503",
        "504": "504",
        "ACLPermissionDenied": "403 permission denied",
        "Timeout": "599 of the asyncio client",
        "no-leader": "500 no cluster leader",
    },
    "grpc": {
        "429": "a gateway's 429",
        "503": "a gateway's 503",
        "ABORTED": "ABORTED",
        "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
        "INTERNAL": "INTERNAL",
        "PERMISSION_DENIED": "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED": "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED": "UNAUTHENTICATED",
        "UNAVAILABLE": "UNAVAILABLE",
        "UNKNOWN": "UNKNOWN",
        "lost": "closed in mid-call",
        "refused": "refused",
        "too-many-calls": "too many calls at a time",
    },
    "httpx": {
        "ConnectError": "connection refused",
        "ConnectTimeout": "connect time-out",
        "PoolTimeout": "no connection free in the pool",
        "ReadError": "reset before the answer",
        "ReadTimeout": "no answer in time",
        "RemoteProtocolError": "closed before the answer",
    },
    "hvac": {
        "BadGateway": "502",
        "Forbidden": "403 permission denied",
        "InternalServerError": "500",
        "InvalidPath": "404 no such secret",
        "RateLimitExceeded": "429 quota",
        "VaultDown": "503 sealed",
        "gateway-503": "503 of a gateway",
        "gateway-504": "504",
        "standby": "473 performance standby",
    },
    "psycopg": {
        "AdminShutdown": "terminated in mid-query",
        "CannotConnectNow": "starting up",
        "ConnectionTimeout": "connect time-out",
        "DeadlockDetected": "deadlock",
        "OperationalError": "lost in mid-query",
        "QueryCanceled": "statement time-out",
        "ReadOnlySqlTransaction": "read-only transaction",
        "SerializationFailure": "serialization failure",
        "TooManyConnections": "too many clients",
        "UniqueViolation": "unique violation",
        "refused": "refused",
    },
    "psycopg_pool": {"PoolTimeout": "pool exhausted", "TooManyRequests": "pool's queue is full"},
    "requests": {
        "ChunkedEncodingError": "answer cut off",
        "ConnectTimeout": "connect time-out",
        "ConnectionError": "reset before the answer",
        "ReadTimeout": "no answer in time",
        "refused": "connection refused",
    },
    "valkey": {
        "AuthenticationError": "WRONGPASS, wrong password",
        "BUSY": "BUSY with a script",
        "BusyLoadingError": "LOADING dataset in memory",
        "ClusterDownError": "CLUSTERDOWN",
        "ConnectionError": "closed in mid-operation",
        "MISCONF": "MISCONF, cannot save",
        "MasterDownError": "MASTERDOWN replica",
        "MasterNotFoundError": "no primary known to Sentinel",
        "MaxConnectionsError": "pool exhausted",
        "OutOfMemoryError": "OOM, memory limit",
        "ReadOnlyError": "READONLY replica",
        "TimeoutError": "no answer in time",
        "TryAgainError": "TRYAGAIN, keys on the move",
        "refused": "refused",
    },
}
"""Which row of a driver's table each name of the catalogue stands for; those of HTTP statuses go by their number."""

SITUATIONS["redis"] = SITUATIONS["valkey"]

OF_VALKEY_CLUSTERS = (
    "valkey.ClusterDownError",
    "valkey.MasterDownError",
    "valkey.MaxConnectionsError",
    "valkey.TryAgainError",
)
"""valkey-py has these classes, but raises them in clusters only, and plain ones of the same finding elsewhere."""

FAMILY = {"psycopg_pool": "psycopg", "valkey": "redis"}
DRIVER = {"grpc": "grpc.aio", "psycopg_pool": "psycopg"}
DRIVEN = [name for name in CATALOGUE if not name.startswith("builtin.")]


def real(name: str, *, hinted: bool = False) -> Situation:
    """The row of the driver's table of failures that makes the real exception."""
    driver, _, own = name.partition(".")
    pytest.importorskip(driver, reason=f"{driver} is not installed")
    rows = import_module(f"tests.transports.situations.{FAMILY.get(driver, driver)}").SITUATIONS
    situation = SITUATIONS[driver].get(own, f"HTTP {own}") + (" with Retry-After" if hinted else "")
    return next(row for row in rows if (row.driver, row.situation) == (DRIVER.get(driver, driver), situation))


def decided(failure: Failure) -> tuple[object, ...]:
    return (
        failure.kind,
        failure.code,
        failure.retry_after_seconds,
        failure.sent,
        failure.idempotent,
        failure.retry_forbidden,
        failure.client_attempts,
    )


@pytest.mark.parametrize("name", DRIVEN)
def test_a_stand_in_is_classified_as_the_exception_that_the_driver_makes(name: str) -> None:
    row = real(name)
    assert decided(failure_of(driver_error(name), row.transport)) == decided(failure_of(row.make(), row.transport))


@pytest.mark.parametrize("name", DRIVEN)
def test_a_stand_in_s_class_has_the_name_the_module_and_the_descent_of_the_driver_s(name: str) -> None:
    def lineage(cls: type[BaseException]) -> list[tuple[str, str]]:
        return [(base.__module__, base.__qualname__) for base in cls.__mro__]

    original = type(real(name).make())
    if name in OF_VALKEY_CLUSTERS:
        original = getattr(import_module("valkey.exceptions"), name.partition(".")[2])
    assert lineage(type(driver_error(name))) == lineage(original)


@pytest.mark.parametrize("name", [name for name in HINTED if name.split(".")[0] in ("aiohttp", "httpx", "requests")])
def test_a_hint_stands_where_the_http_client_has_it(name: str) -> None:
    row = real(name, hinted=True)
    made = failure_of(driver_error(name, retry_after=7.0), row.transport)
    assert decided(made) == decided(failure_of(row.make(), row.transport))


@pytest.mark.parametrize("name", HINTED)
@pytest.mark.parametrize("seconds", [0.0, 0.25, 7.0, 120.0])
def test_a_hint_comes_out_as_it_went_in(name: str, seconds: float) -> None:
    assert failure_of(driver_error(name, retry_after=seconds)).retry_after_seconds == seconds
    assert failure_of(driver_error(name)).retry_after_seconds is None


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - set(HINTED)))
def test_a_hint_is_lost_where_the_driver_has_no_place_for_it(name: str) -> None:
    assert failure_of(driver_error(name, retry_after=7.0)).retry_after_seconds is None


@pytest.mark.parametrize(("name", "entry"), CATALOGUE.items())
def test_each_name_is_of_the_kind_that_the_catalogue_states(name: str, entry: DriverError) -> None:
    assert failure_of(driver_error(name)).kind is entry.kind


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_exception_is_a_new_one_of_one_class_and_carries_nothing_of_another(name: str) -> None:
    first = driver_error(name)
    first.add_note("mine")
    second = driver_error(name)
    assert second is not first
    assert type(second) is type(first)
    assert not hasattr(second, "__notes__")
    assert "_onex_finding" not in second.__dict__


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_message_is_the_same_each_time_and_holds_neither_an_address_nor_a_credential(name: str) -> None:
    text = f"{driver_error(name)!s} {driver_error(name).args}"
    assert not re.search(r"://|@|token=|secret|hunter2|S3CR3T", text)
    again = driver_error(name, retry_after=7.0)
    assert f"{again!s} {again.args}" == text


def test_no_exception_leaves_garbage() -> None:
    def raise_and_classify(name: str) -> None:
        try:
            raise driver_error(name)
        except Exception as error:
            failure_of(error)

    def each() -> None:
        for name in CATALOGUE:
            raise_and_classify(name)

    assert garbage_of(each) == 0


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("asyncpg.TooManyConnectionError", "asyncpg.TooManyConnectionsError"),
        ("httpx.430", "httpx.403"),
        ("grpc.Unavailable", "grpc."),
        ("vault.Nothing-at-all", "allowed: errors of aiohttp, aiokafka, asyncpg, builtin"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ProtocolConfigurationError, match=f"name = {name}: unknown") as caught:
        driver_error(name)
    assert nearest in caught.value.message


def test_the_catalogue_has_something_for_every_driver_of_every_transport() -> None:
    drivers = {name.partition(".")[0] for name in CATALOGUE}
    assert drivers == {*SITUATIONS, "builtin"}


def test_no_driver_is_imported_to_make_its_errors() -> None:
    drivers = sorted({*SITUATIONS, "cimpl", "urllib3"})
    code = (
        "import sys\n"
        "from omnibase_infra.simulator.driver_errors import CATALOGUE, driver_error\n"
        "from omnibase_infra.infrastructure.resilience.transports import failure_of\n"
        "for name in CATALOGUE: failure_of(driver_error(name, retry_after=1.0))\n"
        f"print([driver for driver in {drivers} if driver in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
