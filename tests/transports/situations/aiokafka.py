"""aiokafka: each failure as the driver's own classes make it, the refused SCRAM login by its own code."""

from __future__ import annotations

from aiokafka import errors
from aiokafka.conn import ScramAuthenticator
from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType


def bootstrap_failure() -> BaseException:
    return errors.KafkaConnectionError("Unable to bootstrap from [('broker', 9092, <AddressFamily.AF_UNSPEC: 0>)]")


def refused_scram_login() -> BaseException:
    login = ScramAuthenticator(
        loop=None, sasl_plain_password="hunter2", sasl_plain_username="svc", sasl_mechanism="SCRAM-SHA-256"
    )
    try:
        login.process_server_final_message("e=invalid-proof")
    except KeyError as error:
        return error
    raise AssertionError("the login was not refused")


def refused_while_requests_waited() -> BaseException:
    error = errors.KafkaConnectionError("Connection at broker:9092 closed")
    error.__cause__ = errors.SaslAuthenticationFailed("Invalid username or password: hunter2")
    return error


def rebalanced(cause: type[errors.BrokerResponseError]) -> BaseException:
    error = errors.CommitFailedError("orders")
    error.__cause__ = cause("orders")
    return error


def hidden(error: BaseException) -> BaseException:
    """As the group's coordination reports what it meets: the class is only in the text."""
    return errors.KafkaError(repr(error))


def fatal_delivery(cause: BaseException) -> BaseException:
    error = errors.KafkaError("Unexpected error during batch delivery")
    error.__cause__ = cause
    return error


_ROWS = (
    ("start: refused, reset, DNS failure, time-out or not a broker", bootstrap_failure, Kind.CONNECTION, False),
    ("start: login refused, seen as a failed bootstrap", bootstrap_failure, Kind.CONNECTION, False),
    (
        "start: login refused, seen with RevealLoginFailure",
        lambda: errors.SaslAuthenticationFailed("Invalid username or password: hunter2"),
        Kind.AUTHENTICATION,
        False,
    ),
    ("start: SCRAM login refused by a message of RFC 5802", refused_scram_login, Kind.AUTHENTICATION, False),
    ("login refused while requests waited", refused_while_requests_waited, Kind.AUTHENTICATION, False),
    (
        "connection lost with a request in flight",
        lambda: errors.KafkaConnectionError("Connection at broker:9092 closed"),
        Kind.CONNECTION,
        True,
    ),
    (
        "send: broker gone",
        lambda: errors.NodeNotReadyError("Attempt to send a request to node which is not ready (node id 1)."),
        Kind.CONNECTION,
        True,
    ),
    ("send: no answer in time", errors.RequestTimedOutError, Kind.TIMEOUT, True),
    ("send: buffer full for too long", errors.KafkaTimeoutError, Kind.TIMEOUT, False),
    (
        "metadata: no broker answers",
        lambda: errors.KafkaError("Unable to get cluster metadata over all known brokers"),
        Kind.CONNECTION,
        False,
    ),
    ("answer out of step", lambda: errors.CorrelationIdError("sent 1, recv 2"), Kind.CONNECTION, True),
    ("code 3: unknown topic or partition", errors.UnknownTopicOrPartitionError, Kind.UNAVAILABLE, True),
    ("code 5: leader not available", errors.LeaderNotAvailableError, Kind.UNAVAILABLE, True),
    ("code 6: not leader for partition", errors.NotLeaderForPartitionError, Kind.UNAVAILABLE, True),
    ("code 8: broker not available", errors.BrokerNotAvailableError, Kind.UNAVAILABLE, True),
    ("code 13: network exception", errors.StaleLeaderEpochCodeError, Kind.CONNECTION, True),
    ("code 19: not enough replicas", errors.NotEnoughReplicasError, Kind.UNAVAILABLE, True),
    ("code 20: not enough replicas after append", errors.NotEnoughReplicasAfterAppendError, Kind.UNAVAILABLE, True),
    ("code 56: storage error", errors.KafkaStorageError, Kind.UNAVAILABLE, True),
    ("code 29: topic authorization failed", errors.TopicAuthorizationFailedError, Kind.AUTHENTICATION, False),
    ("code 30: group authorization failed", errors.GroupAuthorizationFailedError, Kind.AUTHENTICATION, False),
    ("code 31: cluster authorization failed", errors.ClusterAuthorizationFailedError, Kind.AUTHENTICATION, False),
    (
        "code 53: transactional id authorization failed",
        errors.TransactionalIdAuthorizationFailed,
        Kind.AUTHENTICATION,
        False,
    ),
    (
        "commit: code 27, rebalance in progress",
        lambda: rebalanced(errors.RebalanceInProgressError),
        Kind.UNAVAILABLE,
        False,
    ),
    ("commit: code 25, unknown member", lambda: rebalanced(errors.UnknownMemberIdError), Kind.UNAVAILABLE, False),
    ("commit: code 22, illegal generation", lambda: rebalanced(errors.IllegalGenerationError), Kind.UNAVAILABLE, False),
    (
        "join: code 27, only in the text",
        lambda: hidden(errors.RebalanceInProgressError("orders")),
        Kind.UNAVAILABLE,
        False,
    ),
    ("join: code 22, only in the text", lambda: hidden(errors.IllegalGenerationError()), Kind.UNAVAILABLE, False),
    ("join: code 7, only in the text", lambda: hidden(errors.RequestTimedOutError()), Kind.TIMEOUT, True),
    ("sync: code 14, only in the text", lambda: hidden(errors.GroupLoadInProgressError()), Kind.UNAVAILABLE, False),
    (
        "offsets: code 15, only in the text",
        lambda: hidden(errors.GroupCoordinatorNotAvailableError()),
        Kind.UNAVAILABLE,
        True,
    ),
    ("code 89: throttling quota exceeded, lost as unknown", errors.UnknownError, Kind.CALLER, True),
    (
        "code 10: message too large",
        lambda: errors.MessageSizeTooLargeError("The message is 5086 bytes when serialized"),
        Kind.CALLER,
        True,
    ),
    ("code 2: corrupt message", errors.CorruptRecordException, Kind.CALLER, True),
    ("code 44: policy violation", errors.PolicyViolationError, Kind.CALLER, True),
    ("code 45: out of order sequence number", errors.OutOfOrderSequenceNumber, Kind.CALLER, True),
    ("code 47: producer fenced", errors.ProducerFenced, Kind.CALLER, True),
    ("code 48: invalid transaction state", lambda: fatal_delivery(errors.InvalidTxnState()), Kind.CALLER, True),
    ("code 1: offset out of range", lambda: errors.OffsetOutOfRangeError({"orders": 9}), Kind.CALLER, True),
    ("no offset to begin with", lambda: errors.NoOffsetForPartitionError("orders"), Kind.CALLER, True),
    ("send after stop", errors.ProducerClosed, Kind.CALLER, True),
    ("getone after stop", errors.ConsumerStoppedError, Kind.CALLER, True),
    ("commit without a group", lambda: errors.IllegalOperation("Requires group_id"), Kind.CALLER, True),
)

SITUATIONS = [
    Situation("aiokafka", situation, make, kind, sent, EnumInfraTransportType.KAFKA)
    for situation, make, kind, sent in _ROWS
]
