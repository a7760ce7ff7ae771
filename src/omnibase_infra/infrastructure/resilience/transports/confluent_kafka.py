"""confluent-kafka: the broker's code or librdkafka's own, which stands in the exception's first argument.

`KafkaError.retriable()` is heard only where a code is not known: it is False for nearly everything outside
transactions. Throttle times go to `throttle_cb` alone, so there is never a hint when to come back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol, cast

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.classify import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.http_status import failure_of_status
from omnibase_infra.infrastructure.resilience.transports.kafka_codes import failure_of_code

_LOCAL: Final = {
    -137: (Kind.CONNECTION, True),  # broker handle destroyed: what is lost with a broker that goes
    -142: (Kind.UNAVAILABLE, False),  # assignment lost: the group has rebalanced
    -146: (Kind.UNAVAILABLE, False),  # unknown broker: metadata is old
    -153: (Kind.UNAVAILABLE, True),  # retry operation
    -164: (Kind.UNAVAILABLE, False),  # waiting for metadata
    -166: (Kind.TIMEOUT, False),  # timed out in the local queue
    -169: (Kind.AUTHENTICATION, False),  # only seen by `error_cb`, which may raise it
    -180: (Kind.UNAVAILABLE, False),  # waiting for the coordinator
    -181: (Kind.CONNECTION, False),  # TLS handshake
    -183: (Kind.UNAVAILABLE, False),  # too few replicas in sync
    -184: (Kind.UNAVAILABLE, False),  # local queue full
    -185: (Kind.TIMEOUT, True),
    -187: (Kind.CONNECTION, True),  # all brokers down
    -188: (Kind.UNAVAILABLE, False),  # unknown topic: as the broker's code 3
    -190: (Kind.UNAVAILABLE, False),  # unknown partition: also said of a known one whose broker is gone
    -192: (Kind.TIMEOUT, True),  # message timed out: its cause, a lost connection or a broker's code, is not told
    -193: (Kind.CONNECTION, False),  # host name not resolved
    -195: (Kind.CONNECTION, True),  # transport failure
}
"""librdkafka's own codes, all negative; those not listed are the caller's. Source: `rdkafka.h`."""


class _KafkaError(Protocol):
    def code(self) -> int: ...
    def name(self) -> str: ...
    def fatal(self) -> bool: ...
    def retriable(self) -> bool: ...


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of confluent-kafka; `names` are the class names along its MRO.

    A `BufferError` is looked at as well: it is how `produce()` reports that librdkafka's queue is full.
    """
    name = names[0]
    if name == "BufferError":
        # The text is librdkafka's own constant, and all there is.
        full = exc.args == ("Local: Queue full",)
        return _of_local(-184, "confluent_kafka: BufferError, queue full") if full else None
    if "SchemaRegistryError" in names:
        status = getattr(exc, "http_status_code", None)
        if isinstance(status, int):
            return failure_of_status(status, None, f"confluent_kafka.{name}: HTTP status {status}")
    hidden = exc.__context__ if "OAuthTokenError" in names else getattr(exc, "exception", None)
    if isinstance(hidden, Exception):
        # A serializer asks the schema registry, and that an OAuth server, before anything is sent.
        return replace(failure_of(hidden), sent=False)
    error = exc.args[0] if exc.args else None
    if callable(getattr(error, "fatal", None)):
        return _of_error(cast("_KafkaError", error), name)
    return Failure(Kind.CALLER, f"confluent_kafka.{name}: without a code")


def _of_error(error: _KafkaError, name: str) -> Failure:
    code = error.code()
    decided_by = f"confluent_kafka.{name}: {error.name()}"
    failure = (
        _of_local(code, decided_by)
        if code in _LOCAL
        else failure_of_code(code, decided_by, retriable=error.retriable())
    )
    if error.fatal() and failure.kind is not Kind.AUTHENTICATION:
        # The client instance is done for: no call on it will ever succeed.
        return replace(failure, kind=Kind.CALLER, decided_by=f"{decided_by}, fatal to the client")
    return failure


def _of_local(code: int, decided_by: str) -> Failure:
    kind, sent = _LOCAL[code]
    return Failure(kind, decided_by, str(code), sent=sent)
