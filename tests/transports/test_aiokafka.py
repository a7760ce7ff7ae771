"""aiokafka's failures in our words, each an exception of the driver's own classes."""

from __future__ import annotations

import asyncio
import copy
import logging

import pytest
from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.infrastructure.resilience import classify
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of
from omnibase_infra.infrastructure.resilience.transports.aiokafka_login import RevealLoginFailure
from omnibase_infra.infrastructure.resilience.transports.kafka_codes import failure_of_code

errors = pytest.importorskip("aiokafka.errors", reason="aiokafka is not installed")

from tests.transports.situations.aiokafka import (  # noqa: E402
    SITUATIONS,
    bootstrap_failure,
    fatal_delivery,
    hidden,
    rebalanced,
    refused_scram_login,
    refused_while_requests_waited,
)

SECRET = "hunter2"

each_row = pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)


@each_row
def test_each_situation_has_its_kind_and_says_whether_it_was_sent(row: Situation) -> None:
    failure = failure_of(row.make(), row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert failure.retry_after_seconds is None


@each_row
def test_no_finding_and_no_error_of_ours_repeats_the_driver_s_text(row: Situation) -> None:
    error = row.make()
    failure = failure_of(error, row.transport)
    assert SECRET not in f"{failure}"
    assert "broker:9092" not in f"{failure}"
    becomes = translate(error, transport=row.transport)
    if becomes is not error:
        assert SECRET not in f"{becomes} {becomes!r}"


@pytest.mark.parametrize("cls", sorted(set(errors.kafka_errors.values()), key=lambda cls: cls.errno))
def test_every_class_of_a_broker_s_answer_is_what_its_code_is(cls: type[errors.BrokerResponseError]) -> None:
    failure = failure_of(cls("hunter2"))
    assert failure.kind is failure_of_code(cls.errno, "the table").kind
    assert failure.code == str(cls.errno)
    assert failure.decided_by == f"aiokafka.{cls.__name__}: code {cls.errno}"


def test_every_answer_that_aiokafka_would_retry_is_one_that_we_retry() -> None:
    transient = (Kind.CONNECTION, Kind.TIMEOUT, Kind.UNAVAILABLE, Kind.THROTTLED)
    retriable = [cls for cls in errors.kafka_errors.values() if cls.retriable]
    assert retriable
    assert [cls for cls in retriable if classify(cls()) not in transient] == []


def test_a_code_that_the_client_has_retried_by_itself_may_have_taken_effect_in_an_earlier_try() -> None:
    assert not failure_of_code(19, "the table").sent
    assert errors.NotEnoughReplicasError.retriable
    assert failure_of(errors.NotEnoughReplicasError()).sent
    assert not failure_of(errors.RebalanceInProgressError()).sent


@pytest.mark.parametrize(
    ("cls", "kind", "sent"),
    [
        (errors.NoBrokersAvailable, Kind.CONNECTION, False),
        (errors.KafkaUnavailableError, Kind.UNAVAILABLE, True),
        (errors.QuotaViolationError, Kind.THROTTLED, False),
        (errors.AuthenticationFailedError, Kind.AUTHENTICATION, False),
        (errors.StaleMetadata, Kind.UNAVAILABLE, True),
        (errors.TooManyInFlightRequests, Kind.UNAVAILABLE, True),
        (errors.MetadataEmptyBrokerList, Kind.UNAVAILABLE, True),
        (errors.CommitFailedError, Kind.UNAVAILABLE, False),
        (errors.UnsupportedCodecError, Kind.CALLER, True),
        (errors.KafkaConfigurationError, Kind.CALLER, True),
        (errors.IllegalStateError, Kind.CALLER, True),
        (errors.RecordTooLargeError, Kind.CALLER, True),
        (errors.KafkaError, Kind.CALLER, True),
        (errors.BrokerResponseError, Kind.CALLER, True),
    ],
)
def test_a_class_without_a_code_is_classified_by_its_name_or_its_own_flag(
    cls: type[Exception], kind: Kind, *, sent: bool
) -> None:
    failure = failure_of(cls())
    assert (failure.kind, failure.sent, failure.code) == (kind, sent, "-1" if "Response" in cls.__name__ else None)


def test_a_login_that_was_refused_is_found_behind_the_closed_connection() -> None:
    failure = failure_of(refused_while_requests_waited())
    assert (failure.kind, failure.code) == (Kind.AUTHENTICATION, "58")


def test_a_broken_pipe_behind_a_connection_error_does_not_change_what_it_is() -> None:
    error = errors.KafkaConnectionError("Connection at broker:9092 broken")
    error.__cause__ = BrokenPipeError(32, "Broken pipe")
    assert failure_of(error).decided_by == "aiokafka.KafkaConnectionError"


def test_only_a_key_error_out_of_the_driver_s_login_is_a_refused_login() -> None:
    error = refused_scram_login()
    assert type(error) is KeyError
    assert classify(error, Transport.KAFKA) is Kind.AUTHENTICATION
    assert classify(KeyError("v"), Transport.KAFKA) is Kind.CALLER

    def own() -> None:
        own_error = KeyError("v")
        raise own_error

    with pytest.raises(KeyError) as caught:
        own()
    assert classify(caught.value, Transport.KAFKA) is Kind.CALLER


def test_a_key_error_with_another_key_is_the_caller_s_wherever_it_comes_from() -> None:
    error = refused_scram_login()
    error.args = ("r",)
    assert classify(error) is Kind.CALLER


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (errors.RebalanceInProgressError, "27"),
        (errors.UnknownMemberIdError, "25"),
        (errors.IllegalGenerationError, "22"),
    ],
)
def test_a_failed_commit_tells_the_code_behind_it(cause: type[errors.BrokerResponseError], code: str) -> None:
    failure = failure_of(rebalanced(cause))
    assert (failure.kind, failure.code) == (Kind.UNAVAILABLE, code)


@pytest.mark.parametrize(
    "cls",
    [
        errors.RebalanceInProgressError,
        errors.IllegalGenerationError,
        errors.UnknownMemberIdError,
        errors.GroupLoadInProgressError,
        errors.GroupCoordinatorNotAvailableError,
        errors.NotCoordinatorForGroupError,
        errors.RequestTimedOutError,
    ],
)
def test_an_error_named_only_in_the_text_is_what_its_class_is(cls: type[errors.BrokerResponseError]) -> None:
    for error in (hidden(cls("orders")), hidden(hidden(cls()))):
        assert type(error) is errors.KafkaError
        failure = failure_of(error)
        assert failure.kind is classify(cls())
        assert failure.code == str(cls.errno)


def test_a_connection_error_named_only_in_the_text_is_one() -> None:
    assert classify(hidden(errors.NodeNotReadyError("node id 1"))) is Kind.CONNECTION


def test_a_text_that_names_nothing_known_is_the_caller_s() -> None:
    assert classify(hidden(errors.InconsistentGroupProtocolError())) is Kind.CALLER
    assert classify(errors.KafkaError("RebalanceInProgressError")) is Kind.CALLER
    assert classify(errors.KafkaError({"hunter2": 1})) is Kind.CALLER


def test_a_plain_error_is_what_its_cause_is() -> None:
    assert classify(fatal_delivery(errors.NotLeaderForPartitionError())) is Kind.UNAVAILABLE
    assert classify(fatal_delivery(ConnectionResetError(104, "reset"))) is Kind.CONNECTION
    assert classify(fatal_delivery(RuntimeError("a bug"))) is Kind.CALLER


def test_an_error_that_the_driver_copies_for_each_message_stays_what_it_is() -> None:
    error = errors.TopicAuthorizationFailedError("orders")
    first, second = copy.copy(error), copy.copy(error)
    assert classify(first) is classify(second) is Kind.AUTHENTICATION


def test_a_user_s_subclass_of_a_driver_error_is_what_the_driver_error_is() -> None:
    class OrdersLeaderless(errors.LeaderNotAvailableError):
        def __init__(self, shard: int) -> None:
            super().__init__(f"shard {shard}")

    class OrdersUnreachable(errors.KafkaConnectionError):
        pass

    class OwnKeyError(KeyError):
        pass

    assert failure_of(OrdersLeaderless(3)).decided_by == "aiokafka.LeaderNotAvailableError: code 5"
    assert classify(OrdersUnreachable("gone")) is Kind.CONNECTION
    assert classify(OwnKeyError("v")) is Kind.CALLER


def test_a_class_that_only_looks_like_aiokafka_s_is_not_taken_for_it() -> None:
    class LeaderNotAvailableError(RuntimeError):
        errno = 5
        retriable = True

    assert classify(LeaderNotAvailableError()) is Kind.CALLER


def test_a_code_of_a_later_release_is_retried_when_the_driver_says_so() -> None:
    class Later(errors.BrokerResponseError):
        errno = 999
        message = "LATER"
        retriable = True

    failure = failure_of(Later())
    assert (failure.kind, failure.code, failure.sent) == (Kind.UNAVAILABLE, "999", True)


def log_refusal() -> None:
    refusal = errors.SaslAuthenticationFailed("hunter2")
    logging.getLogger("aiokafka").error('Unable connect to "%s:%s": %s', "broker", 9092, refusal)


def failed_login(error: BaseException) -> None:
    with RevealLoginFailure():
        log_refusal()
        raise error


def test_a_login_refusal_that_is_only_logged_is_raised_in_place_of_the_connection_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = bootstrap_failure()
    with pytest.raises(errors.SaslAuthenticationFailed) as caught:
        failed_login(failed)
    assert caught.value.__cause__ is failed
    assert classify(caught.value) is Kind.AUTHENTICATION
    assert len(caplog.records) == 1


def test_a_login_refusal_is_raised_in_place_of_a_time_out_too() -> None:
    with pytest.raises(errors.SaslAuthenticationFailed):
        failed_login(TimeoutError())


def test_a_login_refusal_is_forgotten_when_another_broker_took_the_login() -> None:
    with RevealLoginFailure():
        log_refusal()


@pytest.mark.parametrize("error", [ValueError("mine"), errors.ProducerClosed(), asyncio.CancelledError()])
def test_an_error_that_has_nothing_to_do_with_the_login_stays_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        failed_login(error)
    assert caught.value is error


def test_without_a_refusal_the_connection_error_stays_as_it_is() -> None:
    def refuse_connection() -> None:
        logger = logging.getLogger("aiokafka")
        with RevealLoginFailure():
            logger.error('Unable connect to "%s:%s": %s', "broker", 9092, ConnectionRefusedError(111, "refused"))
            logger.error("no arguments at all")
            logger.error("%(host)s", {"host": "broker"})
            raise failed

    failed = bootstrap_failure()
    with pytest.raises(errors.KafkaConnectionError) as caught:
        refuse_connection()
    assert caught.value is failed


def test_a_refusal_logged_by_a_task_beside_is_not_this_task_s() -> None:
    async def login(both: asyncio.Barrier, *, refused: bool) -> BaseException:
        try:
            with RevealLoginFailure():
                await both.wait()
                if refused:
                    log_refusal()
                await both.wait()
                raise bootstrap_failure()
        except Exception as error:
            return error

    async def run() -> list[BaseException]:
        both = asyncio.Barrier(2)
        return await asyncio.gather(login(both, refused=True), login(both, refused=False))

    refused, unreachable = asyncio.run(run())
    assert classify(refused) is Kind.AUTHENTICATION
    assert classify(unreachable) is Kind.CONNECTION


def test_a_block_within_a_block_hears_nothing_after_its_end() -> None:
    def connect() -> None:
        with RevealLoginFailure():
            with RevealLoginFailure():
                pass
            log_refusal()
            raise bootstrap_failure()

    with pytest.raises(errors.SaslAuthenticationFailed):
        connect()


def test_after_the_block_nothing_is_kept_and_nothing_is_filtered(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with RevealLoginFailure():
            pass
    log_refusal()
    assert len(caplog.records) == 1
    filters = logging.getLogger("aiokafka").filters
    assert len([known for known in filters if "aiokafka_login" in type(known).__module__]) == 1
