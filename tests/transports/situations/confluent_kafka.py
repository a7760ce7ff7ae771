"""confluent-kafka: each failure as the client's own classes make it, the full queue by its own code."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.error import ValueSerializationError
from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType


def _registry_errors() -> ModuleType:
    """The module alone: its package needs an HTTP client and an OAuth library."""
    name = "confluent_kafka.schema_registry.error"
    spec = spec_from_file_location(name, Path(confluent_kafka.__file__).parent / "schema_registry" / "error.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


registry_errors = _registry_errors()


def reported(code: int, reason: str = "Broker: hunter2", **flags: bool) -> Callable[[], BaseException]:
    """The exception for a code; where the client hands out a bare KafkaError, its users raise just this."""
    return lambda: KafkaException(KafkaError(code, reason, **flags))


def queue_full() -> BaseException:
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "queue.buffering.max.messages": 1, "log_level": 0})
    try:
        producer.produce("orders", b"1")
        producer.produce("orders", b"2")
    except BufferError as error:
        return error
    finally:
        producer.purge()
        producer.flush(1)
    raise AssertionError("the queue took both messages")


def registry_down() -> BaseException:
    return registry_errors.SchemaRegistryError(503, 50301, "Service Unavailable: hunter2")


_ROWS = (
    ("metadata: refused, reset, or closed", reported(KafkaError._TRANSPORT), Kind.CONNECTION, True),
    ("all brokers down", reported(KafkaError._ALL_BROKERS_DOWN), Kind.CONNECTION, True),
    ("error callback: DNS failure", reported(KafkaError._RESOLVE), Kind.CONNECTION, False),
    ("error callback: TLS handshake failed", reported(KafkaError._SSL), Kind.CONNECTION, False),
    ("error callback: login refused", reported(KafkaError._AUTHENTICATION), Kind.AUTHENTICATION, False),
    ("metadata: no answer in time", reported(KafkaError._TIMED_OUT), Kind.TIMEOUT, True),
    ("delivery: message timed out, whatever the reason", reported(KafkaError._MSG_TIMED_OUT), Kind.TIMEOUT, True),
    ("offsets: broker handle destroyed", reported(KafkaError._DESTROY_BROKER), Kind.CONNECTION, True),
    ("offsets: unknown topic", reported(KafkaError._UNKNOWN_TOPIC), Kind.UNAVAILABLE, False),
    (
        "offsets: unknown partition, also when its broker is gone",
        reported(KafkaError._UNKNOWN_PARTITION),
        Kind.UNAVAILABLE,
        False,
    ),
    ("timed out in the local queue", reported(KafkaError._TIMED_OUT_QUEUE), Kind.TIMEOUT, False),
    ("produce: local queue full, a BufferError", queue_full, Kind.UNAVAILABLE, False),
    ("local queue full", reported(KafkaError._QUEUE_FULL), Kind.UNAVAILABLE, False),
    ("too few replicas in sync", reported(KafkaError._ISR_INSUFF), Kind.UNAVAILABLE, False),
    ("unknown broker", reported(KafkaError._UNKNOWN_BROKER), Kind.UNAVAILABLE, False),
    ("operation to be retried", reported(KafkaError._RETRY), Kind.UNAVAILABLE, True),
    ("waiting for metadata", reported(KafkaError._WAIT_CACHE), Kind.UNAVAILABLE, False),
    ("waiting for the coordinator", reported(KafkaError._WAIT_COORD), Kind.UNAVAILABLE, False),
    ("assignment lost", reported(KafkaError._ASSIGNMENT_LOST), Kind.UNAVAILABLE, False),
    ("code 3: unknown topic or partition", reported(KafkaError.UNKNOWN_TOPIC_OR_PART), Kind.UNAVAILABLE, False),
    ("code 5: leader not available", reported(KafkaError.LEADER_NOT_AVAILABLE), Kind.UNAVAILABLE, False),
    ("code 6: not leader for partition", reported(KafkaError.NOT_LEADER_FOR_PARTITION), Kind.UNAVAILABLE, True),
    ("code 7: request timed out", reported(KafkaError.REQUEST_TIMED_OUT), Kind.TIMEOUT, True),
    ("code 13: network exception", reported(KafkaError.NETWORK_EXCEPTION), Kind.CONNECTION, True),
    ("code 14: coordinator loads", reported(KafkaError.COORDINATOR_LOAD_IN_PROGRESS), Kind.UNAVAILABLE, False),
    ("code 15: coordinator not available", reported(KafkaError.COORDINATOR_NOT_AVAILABLE), Kind.UNAVAILABLE, True),
    ("code 16: not coordinator", reported(KafkaError.NOT_COORDINATOR), Kind.UNAVAILABLE, True),
    ("code 19: not enough replicas", reported(KafkaError.NOT_ENOUGH_REPLICAS), Kind.UNAVAILABLE, False),
    (
        "code 20: not enough replicas after append",
        reported(KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND),
        Kind.UNAVAILABLE,
        True,
    ),
    ("code 41: not controller", reported(KafkaError.NOT_CONTROLLER), Kind.UNAVAILABLE, True),
    ("code 56: storage error", reported(KafkaError.KAFKA_STORAGE_ERROR), Kind.UNAVAILABLE, True),
    ("code 89: throttling quota exceeded", reported(KafkaError.THROTTLING_QUOTA_EXCEEDED), Kind.THROTTLED, False),
    (
        "code 29: topic authorization failed",
        reported(KafkaError.TOPIC_AUTHORIZATION_FAILED),
        Kind.AUTHENTICATION,
        False,
    ),
    (
        "code 30: group authorization failed",
        reported(KafkaError.GROUP_AUTHORIZATION_FAILED),
        Kind.AUTHENTICATION,
        False,
    ),
    (
        "code 31: cluster authorization failed",
        reported(KafkaError.CLUSTER_AUTHORIZATION_FAILED),
        Kind.AUTHENTICATION,
        False,
    ),
    (
        "code 53: transactional id authorization failed, fatal",
        reported(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, fatal=True),
        Kind.AUTHENTICATION,
        False,
    ),
    ("code 58: login refused", reported(KafkaError.SASL_AUTHENTICATION_FAILED), Kind.AUTHENTICATION, False),
    ("commit: code 27, rebalance in progress", reported(KafkaError.REBALANCE_IN_PROGRESS), Kind.UNAVAILABLE, False),
    ("commit: code 25, unknown member", reported(KafkaError.UNKNOWN_MEMBER_ID), Kind.UNAVAILABLE, False),
    ("commit: code 22, illegal generation", reported(KafkaError.ILLEGAL_GENERATION), Kind.UNAVAILABLE, False),
    (
        "transaction: code 51, the one before ends",
        reported(KafkaError.CONCURRENT_TRANSACTIONS),
        Kind.UNAVAILABLE,
        False,
    ),
    (
        "transaction: code 120, to be aborted and run again",
        reported(KafkaError.TRANSACTION_ABORTABLE, txn_requires_abort=True),
        Kind.UNAVAILABLE,
        True,
    ),
    ("code 10: message too large", reported(KafkaError.MSG_SIZE_TOO_LARGE), Kind.CALLER, True),
    ("code 36: topic exists", reported(KafkaError.TOPIC_ALREADY_EXISTS), Kind.CALLER, True),
    ("code 44: policy violation", reported(KafkaError.POLICY_VIOLATION), Kind.CALLER, True),
    (
        "code 45: out of order sequence number, fatal",
        reported(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True),
        Kind.CALLER,
        True,
    ),
    ("code 90: producer fenced", reported(KafkaError.PRODUCER_FENCED, txn_requires_abort=True), Kind.CALLER, True),
    ("fenced, fatal", reported(KafkaError._FENCED, fatal=True), Kind.CALLER, True),
    ("code -1: unknown server error", reported(KafkaError.UNKNOWN), Kind.CALLER, True),
    ("no offset stored", reported(KafkaError._NO_OFFSET), Kind.CALLER, True),
    ("wrong setting", reported(KafkaError._INVALID_ARG), Kind.CALLER, True),
    ("schema registry: HTTP status 503", registry_down, Kind.UNAVAILABLE, True),
    (
        "serialization: schema registry down",
        lambda: ValueSerializationError(registry_down()),
        Kind.UNAVAILABLE,
        False,
    ),
    (
        "serialization: the value does not fit the schema",
        lambda: ValueSerializationError(ValueError("hunter2 is no integer")),
        Kind.CALLER,
        False,
    ),
)

SITUATIONS = [
    Situation("confluent_kafka", situation, make, kind, sent, EnumInfraTransportType.KAFKA)
    for situation, make, kind, sent in _ROWS
]
