"""confluent-kafka against a broker, a fault proxy and librdkafka's mock cluster: every failure that they can make."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

import pytest
from tests.integration.kafka_clients import (
    COMMIT_CODES,
    HANGS_UP,
    PRODUCE_CODES,
    SECRET,
    TOPIC,
    Table,
    assert_no_secret,
)
from tests.servers.kafka import KafkaFaultProxy, KafkaServer
from tests.servers.kafka_login_stub import KafkaLoginStub
from tests.servers.kafka_mock import Api, KafkaMockCluster
from tests.support.fault_proxy import Fault

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience import create_kafka_circuit_breaker, create_kafka_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of

pytestmark = pytest.mark.integration

confluent_kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402
from tests.transports.situations.confluent_kafka import SITUATIONS  # noqa: E402

TIMEOUT = 0.3
check = Table(SITUATIONS).check

REFUSED = "metadata: refused, reset, or closed"
SILENT = "metadata: no answer in time"
UNDELIVERED = "delivery: message timed out, whatever the reason"


def limits(address: str, **settings: object) -> dict[str, object]:
    """Settings of a client that gives up soon; `a_b` stands for `a.b`."""
    soon = {
        "socket.timeout.ms": 300,
        "reconnect.backoff.ms": 10,
        "reconnect.backoff.max.ms": 20,
        "retry.backoff.ms": 20,
    }
    given = {name.replace("_", "."): value for name, value in settings.items()}
    return {"bootstrap.servers": address, "log_level": 0, **soon, **given}


def producer(address: str, **settings: object) -> Producer:
    return Producer({**limits(address), "message.timeout.ms": 300, "linger.ms": 0, **settings})


def deliver(client: Producer, value: bytes = b"1") -> None:
    """Produce as the client's manual has it, and raise what the delivery report holds."""
    reports: list[KafkaError | None] = []
    client.produce(TOPIC, value, on_delivery=lambda error, _: reports.append(error))
    client.flush(5)
    if reports[0] is not None:
        raise KafkaException(reports[0])


@contextlib.contextmanager
def consuming(address: str, **settings: object) -> Iterator[Consumer]:
    group = {"group.id": "billing", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    client = Consumer({**limits(address), **group, **settings})
    try:
        yield client
    finally:
        client.close()


def polled(client: Consumer) -> object:
    """Poll for a message, and raise what a message holds that reports an error."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        message = client.poll(0.05)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            return message
    raise AssertionError("nothing came")


def raised_by(call: Callable[..., object], *args: object) -> BaseException:
    try:
        call(*args)
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def metadata(address: str, **settings: object) -> object:
    return AdminClient({**limits(address), **settings}).list_topics(timeout=TIMEOUT)


# --- the wire ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [Fault.REFUSE, Fault.RESET_ON_ACCEPT, Fault.CLOSE_ON_ACCEPT, Fault.RESET_ANSWER, Fault.CLOSE_ANSWER, Fault.GARBAGE],
)
def test_metadata_cannot_be_had(broker_proxy: KafkaFaultProxy, fault: Fault) -> None:
    broker_proxy.fault = fault
    check(REFUSED, raised_by(metadata, broker_proxy.address), KafkaError._TRANSPORT)


def test_metadata_of_an_unknown_host() -> None:
    check(REFUSED, raised_by(metadata, "no-such-host.invalid:9092"), KafkaError._TRANSPORT)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.STALL])
def test_delivery_over_a_connection_that_fails_times_out_without_a_reason(
    broker_proxy: KafkaFaultProxy, fault: Fault
) -> None:
    client = producer(broker_proxy.address)
    deliver(client)
    broker_proxy.fault = fault
    broker_proxy.reset_connections()
    check(UNDELIVERED, raised_by(deliver, client), KafkaError._MSG_TIMED_OUT)


@pytest.mark.parametrize("fault", [Fault.RESET_ANSWER, Fault.CLOSE_ANSWER])
def test_delivery_without_the_client_s_own_retries_tells_that_the_connection_was_lost(
    broker_proxy: KafkaFaultProxy, fault: Fault
) -> None:
    client = producer(broker_proxy.address, retries=0)
    deliver(client)
    broker_proxy.fault = fault
    check(REFUSED, raised_by(deliver, client), KafkaError._TRANSPORT)


def test_consumer_of_a_broker_that_is_gone_is_told_nothing_by_poll_and_something_by_questions(
    broker_proxy: KafkaFaultProxy,
) -> None:
    partition = TopicPartition(TOPIC, 0)
    broker_proxy.fault = Fault.REFUSE
    with consuming(broker_proxy.address) as client:
        assert client.poll(TIMEOUT) is None
        marks = raised_by(lambda: client.get_watermark_offsets(partition, timeout=TIMEOUT))
        committed = raised_by(lambda: client.committed([partition], timeout=TIMEOUT))
    check("all brokers down", marks, KafkaError._ALL_BROKERS_DOWN)
    check(SILENT, committed, KafkaError._TIMED_OUT)


def test_a_known_partition_whose_broker_is_gone_is_never_the_caller_s_mistake(broker_proxy: KafkaFaultProxy) -> None:
    deliver(producer(broker_proxy.address))
    with consuming(broker_proxy.address) as client:

        def marks() -> object:
            return client.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=TIMEOUT)

        assert marks() is not None
        broker_proxy.fault = Fault.REFUSE
        broker_proxy.reset_connections()
        met = [raised_by(marks) for _ in range(5)]
    # By the moment it is a lost connection, a destroyed broker handle, brokers that are down or an unknown partition.
    codes = {error.args[0].code() for error in met}
    assert codes <= {-195, -190, -187, -185, -137}
    assert {failure_of(error).kind for error in met} <= {Kind.CONNECTION, Kind.TIMEOUT, Kind.UNAVAILABLE}


def test_an_unknown_host_is_told_to_the_error_callback_alone() -> None:
    heard: list[KafkaError] = []
    client = producer("no-such-host.invalid:9092", error_cb=heard.append)
    deadline = time.monotonic() + 5
    while not heard and time.monotonic() < deadline:
        client.poll(0.05)
    error = KafkaException(next(met for met in heard if met.code() == KafkaError._RESOLVE))
    check("error callback: DNS failure", error, KafkaError._RESOLVE)


def test_tls_to_a_broker_that_speaks_none_is_a_lost_connection(broker: KafkaServer) -> None:
    heard: list[KafkaError] = []
    client = producer(broker.address, error_cb=heard.append, **{"security.protocol": "SSL"})
    deadline = time.monotonic() + 5
    while not heard and time.monotonic() < deadline:
        client.poll(0.05)
    check(REFUSED, KafkaException(heard[0]), KafkaError._TRANSPORT)


# --- the broker's life ------------------------------------------------------------------------------------------------


def test_frozen_and_then_killed_broker(own_broker: KafkaServer) -> None:
    admin = AdminClient(limits(own_broker.address))
    client = producer(own_broker.address)
    deliver(client)
    admin.list_topics(timeout=5)

    own_broker.pause()
    error = raised_by(lambda: admin.list_topics(timeout=TIMEOUT))
    if failure_of(error).code == str(KafkaError._TRANSPORT):
        check(REFUSED, error, KafkaError._TRANSPORT)  # on a busy machine its own bound of a request comes first
    else:
        check(SILENT, error, KafkaError._TIMED_OUT)
    check(UNDELIVERED, raised_by(deliver, client), KafkaError._MSG_TIMED_OUT)

    own_broker.kill()
    check(REFUSED, raised_by(lambda: admin.list_topics(timeout=TIMEOUT)), KafkaError._TRANSPORT)
    check(UNDELIVERED, raised_by(deliver, client), KafkaError._MSG_TIMED_OUT)


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_misuse_of_the_client(broker: KafkaServer) -> None:
    client = producer(broker.address)
    deliver(client)
    too_large = raised_by(deliver, client, b"x" * 2_000_000)
    check("code 10: message too large", too_large, KafkaError.MSG_SIZE_TOO_LARGE)

    admin = AdminClient(limits(broker.address))
    exists = raised_by(admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result, 5)
    check("code 36: topic exists", exists, KafkaError.TOPIC_ALREADY_EXISTS)

    with consuming(broker.address) as consumer:
        nothing = raised_by(lambda: consumer.commit(asynchronous=False))
    check("no offset stored", nothing, KafkaError._NO_OFFSET)

    wrong = raised_by(lambda: producer(broker.address, acks="some"))
    check("wrong setting", wrong, KafkaError._INVALID_ARG)


# --- a broker's codes, from the mock cluster --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "situation"),
    [
        *PRODUCE_CODES,
        (7, "code 7: request timed out"),
        (89, "code 89: throttling quota exceeded"),
        (-1, "code -1: unknown server error"),
    ],
)
def test_produce_is_answered_with_a_code_that_the_client_does_not_retry(
    mock_cluster: KafkaMockCluster, code: int, situation: str
) -> None:
    mock_cluster.answer(Api.PRODUCE, code)
    check(situation, raised_by(deliver, producer(mock_cluster.address, retries=0)), code)


@pytest.mark.parametrize("code", [3, 6, 19, 20, HANGS_UP])
def test_a_code_that_the_client_retries_by_itself_is_lost_in_a_time_out(
    mock_cluster: KafkaMockCluster, code: int
) -> None:
    mock_cluster.answer(Api.PRODUCE, code)
    check(UNDELIVERED, raised_by(deliver, producer(mock_cluster.address)), KafkaError._MSG_TIMED_OUT)


def joined(mock_cluster: KafkaMockCluster, use: Callable[[Consumer], object]) -> BaseException:
    """What a consumer meets that has joined its group and read one message."""
    deliver(producer(mock_cluster.address))
    with consuming(mock_cluster.address) as client:
        client.subscribe([TOPIC])
        polled(client)
        try:
            return raised_by(use, client)
        finally:
            mock_cluster.behave(Api.OFFSET_COMMIT)


@pytest.mark.parametrize(
    ("code", "situation"),
    [
        *COMMIT_CODES,
        (14, "code 14: coordinator loads"),
        (7, "code 7: request timed out"),
    ],
)
def test_commit_is_answered_with_a_code(mock_cluster: KafkaMockCluster, code: int, situation: str) -> None:
    def commit(client: Consumer) -> None:
        mock_cluster.answer(Api.OFFSET_COMMIT, code)
        client.commit(asynchronous=False)

    check(situation, joined(mock_cluster, commit), code)


@pytest.mark.parametrize(
    ("api", "code", "situation"),
    [
        (Api.FIND_COORDINATOR, 30, "code 30: group authorization failed"),
        (Api.JOIN_GROUP, 30, "code 30: group authorization failed"),
        (Api.FETCH, 29, "code 29: topic authorization failed"),
    ],
)
def test_consuming_is_answered_with_a_refusal(
    mock_cluster: KafkaMockCluster, api: Api, code: int, situation: str
) -> None:
    mock_cluster.answer(api, code)
    with consuming(mock_cluster.address) as client:
        client.subscribe([TOPIC])
        error = raised_by(polled, client)
        mock_cluster.behave(api)
    check(situation, error, code)


@pytest.mark.parametrize(
    ("api", "code", "situation", "told"),
    [
        (Api.INIT_PRODUCER_ID, 53, "code 53: transactional id authorization failed, fatal", 53),
        (Api.INIT_PRODUCER_ID, 15, "code 15: coordinator not available", 15),
        (Api.PRODUCE, 45, "code 45: out of order sequence number, fatal", 45),
        (Api.PRODUCE, 90, "code 90: producer fenced", 90),
        (Api.PRODUCE, 19, SILENT, KafkaError._TIMED_OUT),
        (Api.END_TXN, 47, "fenced, fatal", KafkaError._FENCED),
        (Api.END_TXN, 51, SILENT, KafkaError._TIMED_OUT),
    ],
)
def test_transaction_is_answered_with_a_code(
    mock_cluster: KafkaMockCluster, api: Api, code: int, situation: str, told: int
) -> None:
    def transaction() -> None:
        client.init_transactions(2 if code == 15 else 5)
        client.begin_transaction()
        client.produce(TOPIC, b"1")
        client.commit_transaction(TIMEOUT)

    client = producer(mock_cluster.address, **{"transactional.id": "tx", "transaction.timeout.ms": 1000})
    mock_cluster.answer(api, code)
    check(situation, raised_by(transaction), told)


# --- logins -----------------------------------------------------------------------------------------------------------


def login(mechanism: str) -> dict[str, object]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": "svc",
        "sasl.password": SECRET,
    }


def test_login_refused_by_a_stand_in_is_hidden() -> None:
    with KafkaLoginStub() as stub:
        asked = raised_by(lambda: metadata(stub.address, **login("PLAIN")))
        undelivered = raised_by(deliver, producer(stub.address, **login("PLAIN")))
    check(REFUSED, asked, KafkaError._TRANSPORT)
    check(UNDELIVERED, undelivered, KafkaError._MSG_TIMED_OUT)


@pytest.mark.parametrize(
    ("mechanism", "scram_error"), [("PLAIN", None), ("SCRAM-SHA-256", None), ("SCRAM-SHA-256", "invalid-proof")]
)
def test_login_refused_by_a_stand_in_comes_out_of_an_error_callback_that_raises_it(
    mechanism: str, scram_error: str | None
) -> None:
    def tell(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            raise KafkaException(error)

    with KafkaLoginStub(scram_error) as stub:
        told = raised_by(deliver, producer(stub.address, **login(mechanism), error_cb=tell))
    check("error callback: login refused", told, KafkaError._AUTHENTICATION)


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_retry_and_breaker_around_a_real_producer(own_broker: KafkaServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    attempts: list[bytes] = []
    breaker = create_kafka_circuit_breaker(failure_threshold=1)

    with KafkaFaultProxy(own_broker.port) as broker_proxy:
        client = producer(broker_proxy.address, retries=0, **login("PLAIN"))

        def mend(_: object) -> None:
            broker_proxy.fault = Fault.NONE

        @breaker
        @create_kafka_retry_policy(2, 0, 0, before_sleep=mend)
        def send(value: bytes) -> None:
            attempts.append(value)
            deliver(client, value)

        send(b"1")
        broker_proxy.fault = Fault.RESET_ANSWER
        send(SECRET.encode())
        assert attempts == [b"1", SECRET.encode(), SECRET.encode()]
        assert breaker.state == EnumCircuitState.CLOSED

        own_broker.kill()
        exhausted = raised_by(send, SECRET.encode())
        assert len(attempts) == 5
        assert breaker.state == EnumCircuitState.OPEN
        rejected = raised_by(send, SECRET.encode())
    assert type(exhausted) in (InfraTimeoutError, InfraConnectionError)
    assert exhausted.model.context["retry_count"] == 2
    assert type(rejected) is InfraUnavailableError
    assert len(attempts) == 5
    assert_no_secret(exhausted)
    assert_no_secret(rejected)
    assert SECRET not in caplog.text


def test_a_full_local_queue_is_retried_after_the_queue_was_served(broker: KafkaServer) -> None:
    client = producer(
        broker.address, **{"queue.buffering.max.messages": 1, "message.timeout.ms": 60_000, "linger.ms": 10_000}
    )
    met: list[BaseException] = []

    def serve(state) -> None:
        met.append(state.outcome.exception())
        client.flush(5)

    @create_kafka_retry_policy(2, 0, 0, before_sleep=serve)
    def send(value: bytes) -> None:
        client.produce(TOPIC, value)

    send(b"1")
    send(b"2")
    client.flush(5)
    check("produce: local queue full, a BufferError", met[0], KafkaError._QUEUE_FULL)


def test_a_quota_throttles_and_a_refusal_is_tried_once(mock_cluster: KafkaMockCluster) -> None:
    attempts: list[int] = []
    client = producer(mock_cluster.address)

    @create_kafka_retry_policy(3, 0, 0)
    def send() -> None:
        attempts.append(1)
        deliver(client)

    mock_cluster.answer(Api.PRODUCE, 89)
    assert type(raised_by(send)) is InfraRateLimitedError
    assert len(attempts) == 3
    mock_cluster.behave(Api.PRODUCE)
    mock_cluster.answer(Api.PRODUCE, 29)
    assert type(raised_by(send)) is InfraAuthenticationError
    assert len(attempts) == 4


def test_the_asyncio_producer_raises_what_the_delivery_report_holds(mock_cluster: KafkaMockCluster) -> None:
    from confluent_kafka.aio import AIOProducer

    async def scenario() -> BaseException:
        client = AIOProducer({**limits(mock_cluster.address), "message.timeout.ms": 300}, buffer_timeout=0.05)
        try:
            await (await client.produce(TOPIC, b"1"))
        except Exception as error:
            return error
        finally:
            mock_cluster.behave(Api.PRODUCE)
            await client.close()
        raise AssertionError("it did not fail")

    mock_cluster.answer(Api.PRODUCE, 29)
    error = asyncio.run(scenario())
    check("code 29: topic authorization failed", error, 29)
    assert failure_of(error).kind is Kind.AUTHENTICATION
