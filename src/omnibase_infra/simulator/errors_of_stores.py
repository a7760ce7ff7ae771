"""How databases, brokers and caches fail, by the names of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from errno import ECONNRESET
from functools import partial
from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.simulator.driver_classes import stand_in
from omnibase_infra.simulator.stand_ins import DriverError, Entry, made, out_of

_NOT_CONNECTED: Final = 'connection failed: connection to server at "192.0.2.1", port 5432 failed: '
_LOST: Final = "consuming input failed: server closed the connection unexpectedly"
RESET: Final = partial(ConnectionResetError, ECONNRESET, "Connection reset by peer")


def _postgres(name: str, kind: Kind, code: str, text: str) -> Entry:
    make = made(f"asyncpg.exceptions.{name}", text, bears={"sqlstate": code})
    return f"asyncpg.{name}", DriverError(kind, make)


def database_errors() -> Iterator[Entry]:
    """Those of asyncpg, psycopg and its pool."""
    lost = "connection was closed in the middle of operation"
    does_not_exist = partial(made, "asyncpg.exceptions.ConnectionDoesNotExistError", lost, bears={"sqlstate": "08003"})
    farewell = made(
        "asyncpg.exceptions.AdminShutdownError",
        "terminating connection due to administrator command",
        bears={"sqlstate": "57P01"},
    )
    yield (
        "asyncpg.ConnectionDoesNotExistError",
        DriverError(Kind.CONNECTION, does_not_exist(cause=lambda _: RESET())),
    )
    # As asyncpg has it: the server's last word is only on the cause.
    yield "asyncpg.AdminShutdownError", DriverError(Kind.UNAVAILABLE, does_not_exist(cause=farewell))
    yield (
        "asyncpg.InterfaceError",
        DriverError(Kind.CONNECTION, made("asyncpg.exceptions._base.InterfaceError", "connection is closed")),
    )
    yield _postgres("CannotConnectNowError", Kind.UNAVAILABLE, "57P03", "the database system is starting up")
    yield _postgres("DeadlockDetectedError", Kind.UNAVAILABLE, "40P01", "deadlock detected")
    yield _postgres("DiskFullError", Kind.UNAVAILABLE, "53100", "could not extend file: No space left on device")
    yield _postgres("InvalidPasswordError", Kind.AUTHENTICATION, "28P01", "password authentication failed")
    yield _postgres("LockNotAvailableError", Kind.TIMEOUT, "55P03", "canceling statement due to lock timeout")
    yield _postgres("QueryCanceledError", Kind.TIMEOUT, "57014", "canceling statement due to statement timeout")
    yield _postgres(
        "ReadOnlySQLTransactionError", Kind.UNAVAILABLE, "25006", "cannot execute INSERT in a read-only transaction"
    )
    yield _postgres("SerializationError", Kind.UNAVAILABLE, "40001", "could not serialize access")
    yield _postgres("TooManyConnectionsError", Kind.THROTTLED, "53300", "sorry, too many clients already")
    yield _postgres("UniqueViolationError", Kind.CALLER, "23505", "duplicate key value violates unique constraint")
    for name, path, kind, code, text in (
        ("AdminShutdown", "errors.AdminShutdown", Kind.UNAVAILABLE, "57P01", "terminating connection"),
        ("CannotConnectNow", "OperationalError", Kind.UNAVAILABLE, None, "the database system is starting up"),
        ("ConnectionTimeout", "errors.ConnectionTimeout", Kind.TIMEOUT, None, "connection timeout expired"),
        ("DeadlockDetected", "errors.DeadlockDetected", Kind.UNAVAILABLE, "40P01", "deadlock detected"),
        ("OperationalError", "OperationalError", Kind.CONNECTION, None, _LOST),
        ("QueryCanceled", "errors.QueryCanceled", Kind.TIMEOUT, "57014", "canceling statement: statement timeout"),
        ("ReadOnlySqlTransaction", "errors.ReadOnlySqlTransaction", Kind.UNAVAILABLE, "25006", "read-only transaction"),
        ("SerializationFailure", "errors.SerializationFailure", Kind.UNAVAILABLE, "40001", "could not serialize"),
        ("TooManyConnections", "OperationalError", Kind.THROTTLED, None, "sorry, too many clients already"),
        ("UniqueViolation", "errors.UniqueViolation", Kind.CALLER, "23505", "duplicate key"),
        ("refused", "OperationalError", Kind.CONNECTION, None, "Connection refused"),
    ):
        # What libpq could not connect to has no code in its exception, only a text of two halves.
        connecting = path == "OperationalError" and text is not _LOST
        words = f"{_NOT_CONNECTED}{text}" if connecting else text
        yield f"psycopg.{name}", DriverError(kind, made(f"psycopg.{path}", words, bears={"sqlstate": code}))
    for name, kind in (("PoolTimeout", Kind.TIMEOUT), ("TooManyRequests", Kind.THROTTLED)):
        yield f"psycopg_pool.{name}", DriverError(kind, made(f"psycopg_pool.{name}", "no connection came free"))


_BROKER: Final = {
    "BrokerNotAvailableError": (8, Kind.UNAVAILABLE, False),
    "KafkaStorageError": (56, Kind.UNAVAILABLE, True),
    "LeaderNotAvailableError": (5, Kind.UNAVAILABLE, True),
    "MessageSizeTooLargeError": (10, Kind.CALLER, False),
    "NotEnoughReplicasAfterAppendError": (20, Kind.UNAVAILABLE, True),
    "NotEnoughReplicasError": (19, Kind.UNAVAILABLE, True),
    "NotLeaderForPartitionError": (6, Kind.UNAVAILABLE, True),
    "RequestTimedOutError": (7, Kind.TIMEOUT, True),
    "SaslAuthenticationFailed": (58, Kind.AUTHENTICATION, False),
    "TopicAuthorizationFailedError": (29, Kind.AUTHENTICATION, False),
    "UnknownTopicOrPartitionError": (3, Kind.UNAVAILABLE, True),
}
"""aiokafka's classes: Kafka's code, and whether the client itself calls it retriable."""

_LIBRDKAFKA: Final = {
    "_ALL_BROKERS_DOWN": (-187, Kind.CONNECTION),
    "_AUTHENTICATION": (-169, Kind.AUTHENTICATION),
    "_MSG_TIMED_OUT": (-192, Kind.TIMEOUT),
    "_TIMED_OUT": (-185, Kind.TIMEOUT),
    "_TRANSPORT": (-195, Kind.CONNECTION),
    "LEADER_NOT_AVAILABLE": (5, Kind.UNAVAILABLE),
    "NOT_ENOUGH_REPLICAS": (19, Kind.UNAVAILABLE),
    "NOT_LEADER_FOR_PARTITION": (6, Kind.UNAVAILABLE),
    "REQUEST_TIMED_OUT": (7, Kind.TIMEOUT),
    "THROTTLING_QUOTA_EXCEEDED": (89, Kind.THROTTLED),
    "TOPIC_AUTHORIZATION_FAILED": (29, Kind.AUTHENTICATION),
}


@dataclass(frozen=True, slots=True)
class _KafkaError:
    """What stands in the first argument of a `KafkaException`."""

    number: int
    called: str

    def code(self) -> int:
        return self.number

    def name(self) -> str:
        return self.called

    def fatal(self) -> bool:
        return False

    def retriable(self) -> bool:
        return False


def kafka_errors() -> Iterator[Entry]:
    """Those of aiokafka and confluent-kafka."""
    for name, (code, kind, retriable) in _BROKER.items():
        codes = {"errno": code, "retriable": retriable}
        yield f"aiokafka.{name}", DriverError(kind, made(f"aiokafka.errors.{name}", bears=codes))
    rebalanced = made("aiokafka.errors.RebalanceInProgressError", bears={"errno": 27})
    for name, class_name, kind, text, cause in (
        ("CommitFailedError", "CommitFailedError", Kind.UNAVAILABLE, "the group has rebalanced", rebalanced),
        ("KafkaConnectionError", "KafkaConnectionError", Kind.CONNECTION, "Connection at broker:9092 closed", None),
        ("KafkaTimeoutError", "KafkaTimeoutError", Kind.TIMEOUT, "no room in the buffer in time", None),
        ("NodeNotReadyError", "NodeNotReadyError", Kind.CONNECTION, "node which is not ready", None),
        ("bootstrap", "KafkaConnectionError", Kind.CONNECTION, "Unable to bootstrap", None),
    ):
        yield f"aiokafka.{name}", DriverError(kind, made(f"aiokafka.errors.{class_name}", text, cause=cause))
    for name, (code, kind) in _LIBRDKAFKA.items():
        error = _KafkaError(code, name)
        yield f"confluent_kafka.{name}", DriverError(kind, made("cimpl.KafkaException", error))
    yield (
        "confluent_kafka.BufferError",
        DriverError(Kind.UNAVAILABLE, lambda _: BufferError("Local: Queue full")),
    )


_VALKEY: Final = {
    "AuthenticationError": ("AuthenticationError", Kind.AUTHENTICATION, "invalid username-password pair"),
    "BUSY": ("ResponseError", Kind.UNAVAILABLE, "BUSY a script is running"),
    "BusyLoadingError": ("BusyLoadingError", Kind.UNAVAILABLE, "loading the dataset in memory"),
    "ClusterDownError": ("ClusterDownError", Kind.UNAVAILABLE, "Hash slot not served"),
    "ConnectionError": ("ConnectionError", Kind.CONNECTION, "Connection closed by server."),
    "MISCONF": ("ResponseError", Kind.UNAVAILABLE, "MISCONF cannot save to disk"),
    "MasterDownError": ("MasterDownError", Kind.UNAVAILABLE, "Link with MASTER is down"),
    "MaxConnectionsError": ("MaxConnectionsError", Kind.THROTTLED, "Too many connections"),
    "OutOfMemoryError": ("OutOfMemoryError", Kind.UNAVAILABLE, "command not allowed when used memory > 'maxmemory'."),
    "ReadOnlyError": ("ReadOnlyError", Kind.UNAVAILABLE, "You can't write against a read only replica."),
    "TimeoutError": ("TimeoutError", Kind.TIMEOUT, "Timeout reading from socket"),
    "TryAgainError": ("TryAgainError", Kind.UNAVAILABLE, "Multiple keys request during rehashing of slot"),
}


def valkey_errors() -> Iterator[Entry]:
    """Those of redis-py and valkey-py."""
    for driver in ("redis", "valkey"):
        for name, (class_name, kind, text) in _VALKEY.items():
            yield f"{driver}.{name}", DriverError(kind, made(f"{driver}.exceptions.{class_name}", text))
        yield f"{driver}.refused", DriverError(Kind.CONNECTION, partial(_refused_by_valkey, driver))
        yield (
            f"{driver}.MasterNotFoundError",
            DriverError(Kind.UNAVAILABLE, made(f"{driver}.sentinel.MasterNotFoundError", "No master found")),
        )


def _refused_by_valkey(driver: str, _: float | None) -> Exception:
    refused = stand_in(f"{driver}.exceptions.ConnectionError")
    return out_of((f"{driver}.connection", "connect"), [refused("Error 111 connecting. Connection refused.")])
