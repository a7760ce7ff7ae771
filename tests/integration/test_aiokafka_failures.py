"""aiokafka against a broker, a fault proxy and librdkafka's mock cluster: every failure that they can make."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

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
    InfraTimeoutError,
    InfraUnavailableError,
)
from omnibase_infra.infrastructure.resilience import create_kafka_circuit_breaker, create_kafka_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of
from omnibase_infra.infrastructure.resilience.transports.aiokafka_login import RevealLoginFailure

pytestmark = pytest.mark.integration

aiokafka = pytest.importorskip("aiokafka", reason="aiokafka is not installed")

from tests.transports.situations.aiokafka import SITUATIONS  # noqa: E402

TIMEOUT = 0.25
check = Table(SITUATIONS).check

Client = Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def producing(address: str, **settings: object):
    """A producer that gives up soon; it is started by the one who uses it."""
    limits = {"request_timeout_ms": int(TIMEOUT * 1000), "retry_backoff_ms": 10}
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=address, **{**limits, **settings})
    try:
        yield producer
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(producer.stop(), 5)


@contextlib.asynccontextmanager
async def consuming(address: str, **settings: object):
    """A consumer of the topic that gives up soon, as far as one can be made to."""
    limits = {"request_timeout_ms": int(TIMEOUT * 1000), "fetch_max_wait_ms": 50, "retry_backoff_ms": 10}
    group = {"group_id": "billing", "auto_offset_reset": "earliest", "enable_auto_commit": False}
    consumer = aiokafka.AIOKafkaConsumer(TOPIC, bootstrap_servers=address, **{**limits, **group, **settings})
    try:
        yield consumer
    finally:
        # Its own tasks, cancelled while they wait to try again, come out of `stop()` as a cancellation.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await asyncio.wait_for(consumer.stop(), 5)


async def raised_by(work: Awaitable[object]) -> BaseException:
    try:
        await asyncio.wait_for(work, 5)
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def start_failure(address: str, **settings: object) -> BaseException:
    async def scenario() -> BaseException:
        async with producing(address, **settings) as producer:
            return await raised_by(producer.start())

    return asyncio.run(scenario())


def send_failure(
    address: str, *, before: Callable[[], object], after: Callable[[], object] | None = None, greet: bool = True
) -> BaseException:
    """What a send raises after something has happened to a connection that worked; once mended, it works again."""

    async def scenario() -> BaseException:
        async with producing(address) as producer:
            await producer.start()
            if greet:
                await producer.send_and_wait(TOPIC, b"1")
            before()
            error = await raised_by(producer.send_and_wait(TOPIC, b"2"))
            if after is not None:
                after()
                await producer.send_and_wait(TOPIC, b"3")
            return error

    return asyncio.run(scenario())


# --- the wire ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.REFUSE,
        Fault.RESET_ON_ACCEPT,
        Fault.CLOSE_ON_ACCEPT,
        Fault.STALL,
        Fault.RESET_ANSWER,
        Fault.CLOSE_ANSWER,
        Fault.GARBAGE,
    ],
)
def test_start_fails(broker_proxy: KafkaFaultProxy, fault: Fault) -> None:
    broker_proxy.fault = fault
    check("start: refused, reset, DNS failure, time-out or not a broker", start_failure(broker_proxy.address))


def test_start_fails_for_an_unknown_host() -> None:
    error = start_failure("no-such-host.invalid:9092")
    check("start: refused, reset, DNS failure, time-out or not a broker", error)


@pytest.mark.parametrize(
    ("fault", "situation", "code"),
    [
        (Fault.STALL, "send: no answer in time", 7),
        (Fault.GARBAGE, "send: no answer in time", 7),
        (Fault.RESET_ANSWER, "send: broker gone", None),
        (Fault.CLOSE_ANSWER, "send: broker gone", None),
        (Fault.REFUSE, "send: broker gone", None),
    ],
)
def test_send_over_a_connection_that_fails(
    broker_proxy: KafkaFaultProxy, fault: Fault, situation: str, code: int | None
) -> None:
    def fail() -> None:
        broker_proxy.fault = fault
        if fault is Fault.REFUSE:
            broker_proxy.reset_connections()

    def mend() -> None:
        broker_proxy.fault = Fault.NONE

    check(situation, send_failure(broker_proxy.address, before=fail, after=mend), code)


def test_a_connection_reset_while_idle_is_mended_by_the_client_itself(broker_proxy: KafkaFaultProxy) -> None:
    async def scenario() -> None:
        async with producing(broker_proxy.address) as producer:
            await producer.start()
            await producer.send_and_wait(TOPIC, b"1")
            before = broker_proxy.accepted
            broker_proxy.reset_connections()
            await producer.send_and_wait(TOPIC, b"2")
            assert broker_proxy.accepted > before

    asyncio.run(scenario())


def test_buffer_stays_full_while_nothing_is_sent(broker_proxy: KafkaFaultProxy) -> None:
    async def scenario() -> BaseException:
        async with producing(broker_proxy.address, max_batch_size=200) as producer:
            await producer.start()
            await producer.send_and_wait(TOPIC, b"1")
            broker_proxy.fault = Fault.STALL
            waiting: list[asyncio.Future[object]] = []
            try:
                while True:
                    waiting.append(await producer.send(TOPIC, b"x" * 150))
            except Exception as error:
                return error
            finally:
                broker_proxy.fault = Fault.NONE
                await asyncio.gather(*waiting, return_exceptions=True)

    check("send: buffer full for too long", asyncio.run(scenario()))


def test_metadata_and_offsets_of_a_broker_that_is_gone(broker_proxy: KafkaFaultProxy) -> None:
    async def scenario() -> tuple[BaseException, BaseException]:
        async with consuming(broker_proxy.address) as consumer:
            await consumer.start()
            broker_proxy.fault = Fault.REFUSE
            broker_proxy.reset_connections()
            offsets = consumer.end_offsets([aiokafka.TopicPartition(TOPIC, 0)])
            return await raised_by(consumer.topics()), await raised_by(offsets)

    metadata, offsets = asyncio.run(scenario())
    check("metadata: no broker answers", metadata)
    assert (failure_of(offsets).kind, failure_of(offsets).sent) == (Kind.TIMEOUT, False)


# --- the broker's life ------------------------------------------------------------------------------------------------


def test_frozen_broker(own_broker: KafkaServer) -> None:
    check("send: no answer in time", send_failure(own_broker.address, before=own_broker.pause), 7)
    error = start_failure(own_broker.address)
    check("start: refused, reset, DNS failure, time-out or not a broker", error)


def test_killed_broker(own_broker: KafkaServer) -> None:
    check("send: broker gone", send_failure(own_broker.address, before=own_broker.kill))
    error = start_failure(own_broker.address)
    check("start: refused, reset, DNS failure, time-out or not a broker", error)


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_misuse_of_the_client(broker: KafkaServer) -> None:
    async def scenario() -> dict[str, BaseException]:
        async with producing(broker.address) as producer, consuming(broker.address, group_id=None) as consumer:
            await producer.start()
            await consumer.start()
            met = {
                "code 10: message too large": await raised_by(producer.send_and_wait(TOPIC, b"x" * 2_000_000)),
                "commit without a group": await raised_by(consumer.commit()),
            }
            await producer.stop()
            await consumer.stop()
            met["send after stop"] = await raised_by(producer.send_and_wait(TOPIC, b"1"))
            met["getone after stop"] = await raised_by(consumer.getone())
            return met

    for situation, error in asyncio.run(scenario()).items():
        check(situation, error, 10 if "too large" in situation else None)


# --- a broker's codes, from the mock cluster --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "situation"),
    [
        *PRODUCE_CODES,
        (3, "code 3: unknown topic or partition"),
        (5, "code 5: leader not available"),
        (6, "code 6: not leader for partition"),
        (7, "send: no answer in time"),
        (8, "code 8: broker not available"),
        (2, "code 2: corrupt message"),
    ],
)
def test_produce_is_answered_with_a_code(mock_cluster: KafkaMockCluster, code: int, situation: str) -> None:
    error = send_failure(mock_cluster.address, before=lambda: mock_cluster.answer(Api.PRODUCE, code))
    check(situation, error, code)


def test_a_throttling_code_is_lost_by_the_client(mock_cluster: KafkaMockCluster) -> None:
    error = send_failure(mock_cluster.address, before=lambda: mock_cluster.answer(Api.PRODUCE, 89))
    check("code 89: throttling quota exceeded, lost as unknown", error, -1)


def test_produce_is_answered_by_hanging_up(mock_cluster: KafkaMockCluster) -> None:
    error = send_failure(mock_cluster.address, before=lambda: mock_cluster.answer(Api.PRODUCE, HANGS_UP), greet=False)
    check("connection lost with a request in flight", error)


@pytest.mark.parametrize(
    ("api", "code", "situation"),
    [
        (Api.FIND_COORDINATOR, 30, "code 30: group authorization failed"),
        (Api.JOIN_GROUP, 30, "code 30: group authorization failed"),
        (Api.JOIN_GROUP, 27, "join: code 27, only in the text"),
        (Api.JOIN_GROUP, 22, "join: code 22, only in the text"),
        (Api.JOIN_GROUP, 7, "join: code 7, only in the text"),
        (Api.SYNC_GROUP, 14, "sync: code 14, only in the text"),
        (Api.OFFSET_FETCH, 15, "offsets: code 15, only in the text"),
    ],
)
def test_joining_a_group_is_answered_with_a_code(
    mock_cluster: KafkaMockCluster, api: Api, code: int, situation: str
) -> None:
    async def scenario() -> BaseException:
        mock_cluster.answer(api, code)
        async with consuming(mock_cluster.address) as consumer:
            try:
                await consumer.start()
                return await raised_by(consumer.getone())
            except Exception as error:
                return error
            finally:
                mock_cluster.behave(api)

    check(situation, asyncio.run(scenario()), code)


def in_a_group(mock_cluster: KafkaMockCluster, use: Callable[[object], Awaitable[BaseException]]) -> BaseException:
    """What a consumer meets that has joined its group and read one message."""

    async def scenario() -> BaseException:
        async with producing(mock_cluster.address) as producer:
            await producer.start()
            await producer.send_and_wait(TOPIC, b"1")
        async with consuming(mock_cluster.address) as consumer:
            await consumer.start()
            await consumer.getone()
            try:
                return await use(consumer)
            finally:
                mock_cluster.behave(Api.OFFSET_COMMIT)
                mock_cluster.behave(Api.FETCH)

    return asyncio.run(scenario())


@pytest.mark.parametrize(("code", "situation"), COMMIT_CODES)
def test_commit_is_answered_with_a_code(mock_cluster: KafkaMockCluster, code: int, situation: str) -> None:
    async def commit(consumer) -> BaseException:
        mock_cluster.answer(Api.OFFSET_COMMIT, code)
        return await raised_by(consumer.commit())

    check(situation, in_a_group(mock_cluster, commit), code)


def test_fetch_is_answered_with_a_refusal(mock_cluster: KafkaMockCluster) -> None:
    async def fetch(consumer) -> BaseException:
        mock_cluster.answer(Api.FETCH, 29)
        return await raised_by(consumer.getone())

    check("code 29: topic authorization failed", in_a_group(mock_cluster, fetch), 29)


@pytest.mark.parametrize(
    ("api", "code", "situation", "told"),
    [
        (Api.INIT_PRODUCER_ID, 53, "code 53: transactional id authorization failed", 53),
        (Api.PRODUCE, 45, "code 45: out of order sequence number", 45),
        (Api.PRODUCE, 47, "code 47: producer fenced", None),
        (Api.END_TXN, 47, "code 47: producer fenced", None),
        (Api.END_TXN, 48, "code 48: invalid transaction state", 48),
    ],
)
def test_transaction_is_answered_with_a_code(
    mock_cluster: KafkaMockCluster, api: Api, code: int, situation: str, told: int | None
) -> None:
    async def scenario() -> BaseException:
        mock_cluster.answer(api, code)
        async with producing(mock_cluster.address, transactional_id="tx") as producer:

            async def transaction() -> None:
                await producer.start()
                async with producer.transaction():
                    await producer.send_and_wait(TOPIC, b"1")

            return await raised_by(transaction())

    check(situation, asyncio.run(scenario()), told)


# --- calls that never give up -----------------------------------------------------------------------------------------


def bounded(call: Callable[[], Awaitable[object]]) -> BaseException:
    """What a retry with a deadline makes of a call that has none of its own."""

    @create_kafka_retry_policy(max_elapsed=TIMEOUT)
    async def guarded() -> object:
        return await call()

    return asyncio.run(raised_by(guarded()))


@pytest.mark.parametrize(
    ("api", "code"), [(Api.FIND_COORDINATOR, 15), (Api.JOIN_GROUP, 25), (Api.INIT_PRODUCER_ID, 51)]
)
def test_a_start_that_never_gives_up_ends_at_the_deadline_of_the_retry(
    mock_cluster: KafkaMockCluster, api: Api, code: int
) -> None:
    mock_cluster.answer(api, code)

    async def start() -> None:
        if api is Api.INIT_PRODUCER_ID:
            async with producing(mock_cluster.address, transactional_id="tx") as producer:
                await producer.start()
        else:
            async with consuming(mock_cluster.address) as consumer:
                await consumer.start()
                await consumer.getone()

    assert isinstance(bounded(start), InfraTimeoutError)


@pytest.mark.parametrize("code", [7, 14, 15, 16])
def test_a_commit_that_never_gives_up_ends_at_the_deadline_of_the_retry(
    mock_cluster: KafkaMockCluster, code: int
) -> None:
    async def commit(consumer) -> BaseException:
        mock_cluster.answer(Api.OFFSET_COMMIT, code)
        guarded = create_kafka_retry_policy(max_elapsed=TIMEOUT)(consumer.commit)
        return await raised_by(guarded())

    assert isinstance(in_a_group(mock_cluster, commit), InfraTimeoutError)


def test_a_getone_on_a_dead_broker_ends_at_the_deadline_of_the_retry(broker_proxy: KafkaFaultProxy) -> None:
    async def consume() -> None:
        async with consuming(broker_proxy.address, group_id=None) as consumer:
            await consumer.start()
            broker_proxy.fault = Fault.REFUSE
            broker_proxy.reset_connections()
            await consumer.getone()

    assert isinstance(bounded(consume), InfraTimeoutError)


# --- logins -----------------------------------------------------------------------------------------------------------


def login(mechanism: str) -> dict[str, object]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "svc",
        "sasl_plain_password": SECRET,
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_login_refused_by_a_stand_in_is_hidden_and_can_be_revealed(mechanism: str) -> None:
    async def revealed(address: str) -> None:
        async with producing(address, **login(mechanism)) as producer:
            with RevealLoginFailure():
                await producer.start()

    with KafkaLoginStub() as stub:
        check("start: login refused, seen as a failed bootstrap", start_failure(stub.address, **login(mechanism)))
        error = asyncio.run(raised_by(revealed(stub.address)))
    check("start: login refused, seen with RevealLoginFailure", error, 58)


def test_scram_error_message_of_a_stand_in_is_a_refused_login() -> None:
    with KafkaLoginStub(scram_error="invalid-proof") as stub:
        error = start_failure(stub.address, **login("SCRAM-SHA-256"))
    check("start: SCRAM login refused by a message of RFC 5802", error)


def test_a_login_refused_by_a_stand_in_is_tried_once_when_it_is_revealed() -> None:
    attempts: list[int] = []

    @create_kafka_circuit_breaker(failure_threshold=1)
    @create_kafka_retry_policy(3, 0, 0)
    async def connect(address: str) -> None:
        attempts.append(1)
        async with producing(address, **login("PLAIN")) as producer:
            with RevealLoginFailure():
                await producer.start()

    with KafkaLoginStub() as stub:
        error = asyncio.run(raised_by(connect(stub.address)))
    assert type(error) is InfraAuthenticationError
    assert len(attempts) == 1
    assert_no_secret(error)


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_retry_and_breaker_around_a_real_producer(own_broker: KafkaServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="omnibase_infra")
    attempts: list[bytes] = []
    breaker = create_kafka_circuit_breaker(failure_threshold=1)

    async def scenario(broker_proxy: KafkaFaultProxy) -> tuple[BaseException, BaseException]:
        def mend(_: object) -> None:
            broker_proxy.fault = Fault.NONE

        async with producing(broker_proxy.address, **login("PLAIN")) as producer:
            await producer.start()

            @breaker
            @create_kafka_retry_policy(2, 0, 0, before_sleep=mend)
            async def send(value: bytes) -> object:
                attempts.append(value)
                return await producer.send_and_wait(TOPIC, value)

            broker_proxy.fault = Fault.STALL
            await send(SECRET.encode())
            assert attempts == [SECRET.encode()] * 2
            assert breaker.state == EnumCircuitState.CLOSED

            own_broker.kill()
            exhausted = await raised_by(send(SECRET.encode()))
            assert len(attempts) == 4
            assert breaker.state == EnumCircuitState.OPEN
            return exhausted, await raised_by(send(SECRET.encode()))

    with KafkaFaultProxy(own_broker.port) as broker_proxy:
        exhausted, rejected = asyncio.run(scenario(broker_proxy))
    assert failure_of(exhausted.__cause__).kind in (Kind.CONNECTION, Kind.TIMEOUT)
    assert exhausted.model.context["retry_count"] == 2
    assert type(rejected) is InfraUnavailableError
    assert len(attempts) == 4
    assert_no_secret(exhausted)
    assert_no_secret(rejected)
    assert SECRET not in caplog.text


def test_what_no_retry_can_mend_is_tried_once_and_does_not_count(mock_cluster: KafkaMockCluster) -> None:
    attempts: list[bytes] = []
    breaker = create_kafka_circuit_breaker(failure_threshold=1)

    async def scenario() -> tuple[BaseException, BaseException]:
        async with producing(mock_cluster.address) as producer:
            await producer.start()

            @breaker
            @create_kafka_retry_policy(3, 0, 0)
            async def send(value: bytes) -> object:
                attempts.append(value)
                return await producer.send_and_wait(TOPIC, value)

            too_large = await raised_by(send(b"x" * 2_000_000))
            mock_cluster.answer(Api.PRODUCE, 29)
            return too_large, await raised_by(send(b"1"))

    too_large, denied = asyncio.run(scenario())
    assert type(too_large) is aiokafka.errors.MessageSizeTooLargeError
    assert type(denied) is InfraAuthenticationError
    assert len(attempts) == 2
    assert breaker.state == EnumCircuitState.CLOSED
