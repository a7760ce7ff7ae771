"""confluent-kafka's failures in our words, each an exception of the client's own classes."""

from __future__ import annotations

import pytest
from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of
from omnibase_infra.infrastructure.resilience.transports.kafka_codes import failure_of_code

confluent_kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

from confluent_kafka import KafkaError, KafkaException  # noqa: E402
from confluent_kafka.error import ConsumeError, KeyDeserializationError, ValueSerializationError  # noqa: E402
from confluent_kafka.serialization import SerializationError  # noqa: E402
from tests.transports.situations.confluent_kafka import (  # noqa: E402
    SITUATIONS,
    queue_full,
    registry_down,
    registry_errors,
    reported,
)

SchemaRegistryError = registry_errors.SchemaRegistryError
OAuthTokenError = registry_errors.OAuthTokenError

SECRET = "hunter2"
TRANSIENT = (Kind.CONNECTION, Kind.TIMEOUT, Kind.UNAVAILABLE, Kind.THROTTLED)
BROKER_CODES = sorted(code for name, code in vars(KafkaError).items() if name.isupper() and name[0] != "_")

each_row = pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)


@each_row
def test_each_situation_has_its_kind_and_says_whether_it_was_sent(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert failure.retry_after_seconds is None


@each_row
def test_no_finding_and_no_error_of_ours_repeats_the_client_s_text(row: Situation) -> None:
    error = row.make()
    assert SECRET not in f"{failure_of(error, row.transport)}"
    becomes = translate(error, transport=row.transport)
    if becomes is not error:
        assert SECRET not in f"{becomes} {becomes!r}"


@pytest.mark.parametrize("code", BROKER_CODES)
def test_every_code_of_a_broker_is_what_the_table_shared_with_aiokafka_says(code: int) -> None:
    failure = failure_of(reported(code)())
    assert (failure.kind, failure.sent) == (failure_of_code(code, "").kind, failure_of_code(code, "").sent)
    assert failure.code == str(code)
    assert failure.decided_by == f"confluent_kafka.KafkaException: {KafkaError(code).name()}"


def test_the_class_lives_in_a_module_that_does_not_bear_the_package_s_name() -> None:
    assert KafkaException.__module__ == "cimpl"
    assert classify(reported(KafkaError._TRANSPORT)()) is Kind.CONNECTION


def test_the_code_decides_and_not_the_client_s_own_flag() -> None:
    error = reported(KafkaError.NOT_ENOUGH_REPLICAS)()
    assert not error.args[0].retriable()
    assert classify(error) is Kind.UNAVAILABLE
    assert classify(reported(KafkaError.MSG_SIZE_TOO_LARGE, retriable=True)()) is Kind.UNAVAILABLE


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT])
def test_what_is_fatal_to_the_client_is_never_retried(code: int) -> None:
    assert classify(reported(code)()) in TRANSIENT
    failure = failure_of(reported(code, fatal=True)())
    assert (failure.kind, failure.code) == (Kind.CALLER, str(code))
    assert failure.decided_by.endswith("fatal to the client")


def test_a_fatal_refusal_of_the_credentials_is_still_a_refusal_of_the_credentials() -> None:
    assert classify(reported(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, fatal=True)()) is Kind.AUTHENTICATION


def test_a_full_queue_is_a_builtin_error_known_by_librdkafka_s_own_words() -> None:
    error = queue_full()
    assert type(error) is BufferError
    failure = failure_of(error, Transport.KAFKA)
    assert (failure.kind, failure.code, failure.sent) == (Kind.UNAVAILABLE, str(KafkaError._QUEUE_FULL), False)


def test_any_other_buffer_error_is_the_caller_s() -> None:
    data = bytearray(b"orders")
    with memoryview(data), pytest.raises(BufferError) as caught:
        data.extend(b"more")
    assert classify(caught.value, Transport.KAFKA) is Kind.CALLER
    assert classify(BufferError(), Transport.KAFKA) is Kind.CALLER
    assert classify(BufferError("my queue says: Local: Queue full"), Transport.KAFKA) is Kind.CALLER


@pytest.mark.parametrize("error", [KafkaException(), KafkaException("hunter2"), SerializationError("hunter2")])
def test_an_exception_without_a_code_is_the_caller_s(error: Exception) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.CALLER, None)
    assert SECRET not in failure.decided_by


def test_a_failed_consumption_is_what_its_code_is_though_its_code_is_no_method() -> None:
    error = ConsumeError(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert error.code == 29
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (Kind.AUTHENTICATION, "29")
    assert failure.decided_by == "confluent_kafka.ConsumeError: TOPIC_AUTHORIZATION_FAILED"


@pytest.mark.parametrize("cls", [ValueSerializationError, KeyDeserializationError])
@pytest.mark.parametrize(
    ("hidden", "kind"),
    [
        (SchemaRegistryError(401, 40101, "hunter2"), Kind.AUTHENTICATION),
        (SchemaRegistryError(404, 40403, "hunter2"), Kind.CALLER),
        (SchemaRegistryError(429, 42901, "hunter2"), Kind.THROTTLED),
        (ConnectionRefusedError(111, "refused"), Kind.CONNECTION),
        (ValueError("hunter2"), Kind.CALLER),
    ],
)
def test_a_failed_serialization_is_what_the_serializer_met_and_nothing_was_sent(
    cls: type[Exception], hidden: Exception, kind: Kind
) -> None:
    failure = failure_of(cls(hidden))
    assert (failure.kind, failure.sent) == (kind, False)


def test_a_serialization_without_a_reason_is_the_caller_s() -> None:
    failure = failure_of(ValueSerializationError())
    assert (failure.kind, failure.code) == (Kind.CALLER, str(KafkaError._VALUE_SERIALIZATION))


def test_a_schema_registry_s_answer_is_what_its_http_status_is() -> None:
    failure = failure_of(registry_down())
    assert (failure.kind, failure.code) == (Kind.UNAVAILABLE, "503")
    assert failure.decided_by == "confluent_kafka.SchemaRegistryError: HTTP status 503"
    assert classify(SchemaRegistryError(None, -1, "hunter2")) is Kind.CALLER


def test_a_token_that_could_not_be_fetched_is_what_prevented_it() -> None:
    def fetch(reason: Exception) -> None:
        try:
            raise reason
        except Exception as met:
            raise OAuthTokenError(f"Failed to retrieve token: {met}")  # noqa: B904 - as the client does

    with pytest.raises(OAuthTokenError) as caught:
        fetch(ConnectionResetError(104, "hunter2"))
    failure = failure_of(caught.value)
    assert (failure.kind, failure.sent) == (Kind.CONNECTION, False)
    assert classify(OAuthTokenError("hunter2")) is Kind.CALLER


def test_a_user_s_subclass_of_a_client_error_is_what_the_client_error_is() -> None:
    class OrdersFailed(KafkaException):
        def __init__(self, error: KafkaError, order: int) -> None:
            super().__init__(error, order)

    failure = failure_of(OrdersFailed(KafkaError(KafkaError.NOT_COORDINATOR), 7))
    assert failure.decided_by == "confluent_kafka.KafkaException: NOT_COORDINATOR"
    assert failure.kind is Kind.UNAVAILABLE


def test_a_class_that_only_looks_like_the_client_s_is_not_taken_for_it() -> None:
    class KafkaException(Exception):  # noqa: N818 - the client's own name
        pass

    assert classify(KafkaException(KafkaError(KafkaError._TRANSPORT))) is Kind.CALLER


def test_a_code_of_a_later_release_is_retried_when_the_client_says_so() -> None:
    assert classify(reported(999)()) is Kind.CALLER
    assert classify(reported(999, retriable=True)()) is Kind.UNAVAILABLE
