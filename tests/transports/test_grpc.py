"""gRPC's failures in our words: codes, the texts that codes hide, and what metadata say about another attempt."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("grpc", reason="grpcio is not installed")
pytest.importorskip("google.rpc.status_pb2", reason="grpcio-status is not installed")

import grpc
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError
from tests.transports.situation import Situation
from tests.transports.situations.grpc import MAKERS, SECRET, SITUATIONS, Make, asynchronous, blocking, retry_info

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraRateLimitedError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_grpc_retry_policy
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of

both = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
DETAILS = "grpc-status-details-bin"


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: f"{row.driver}: {row.situation}")
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    for text in (f"{failure}", str(translate(error, transport=row.transport)) if row.kind is not Kind.CALLER else ""):
        assert SECRET not in text
        assert "10.0.0.7" not in text


@both
def test_the_code_of_a_failure_is_the_name_of_the_status(make: Make) -> None:
    assert failure_of(make("ABORTED")).code == "ABORTED"


@both
def test_a_server_that_is_not_there_differs_from_one_that_is_unavailable_by_the_text_alone(make: Make) -> None:
    gone, busy = make("UNAVAILABLE", "Stream removed (Socket closed)"), make("UNAVAILABLE", "starting up")
    assert gone.code() is busy.code()
    assert (failure_of(gone).kind, failure_of(busy).kind) == (Kind.CONNECTION, Kind.UNAVAILABLE)


@both
def test_a_server_that_passes_on_the_text_of_its_own_lost_backend_is_not_taken_for_unreached(make: Make) -> None:
    relayed = make("UNAVAILABLE", "failed to connect to all addresses", ("x-request-id", "1"))
    failure = failure_of(relayed)
    assert (failure.kind, failure.sent) == (Kind.UNAVAILABLE, True)


@both
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED", Kind.CALLER),
        ("Hostname Verification Check failed.", Kind.CALLER),
        ("SSL_ERROR_SYSCALL: Connection reset", Kind.CONNECTION),
    ],
)
def test_a_certificate_that_does_not_verify_is_no_lost_connection(make: Make, reason: str, kind: Kind) -> None:
    text = f"failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: Tls handshake failed ({reason})"
    failure = failure_of(make("UNAVAILABLE", text))
    assert (failure.kind, failure.sent) == (kind, False)


@both
@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("UNKNOWN", 408, Kind.TIMEOUT), ("UNKNOWN", 500, Kind.UNAVAILABLE), ("INTERNAL", 400, Kind.CALLER)],
)
def test_what_a_gateway_answers_in_plain_http_is_what_it_is_for_http(
    make: Make, code: str, status: int, kind: Kind
) -> None:
    failure = failure_of(make(code, f"Received http2 header with status: {status}"))
    assert (failure.kind, failure.code) == (kind, str(status))


@both
def test_a_gateway_s_status_within_a_server_s_own_words_is_not_believed(make: Make) -> None:
    assert failure_of(make("UNKNOWN", "upstream: Received http2 header with status: 503")).kind is Kind.CALLER


# --- when to come back -------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"])
@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ([("grpc-retry-pushback-ms", "0")], 0.0),
        ([("grpc-retry-pushback-ms", "1500")], 1.5),
        ([("grpc-retry-pushback-ms", "1500"), (DETAILS, retry_info(9))], 1.5),
        ([(DETAILS, retry_info(4, 250_000_000))], 4.25),
        ([(DETAILS, retry_info(0))], 0.0),
        ([(DETAILS, retry_info(-3))], 0.0),
        ([("retry-after", "7")], 7.0),
    ],
)
def test_the_server_s_hint_is_carried_and_says_that_the_call_was_turned_away(
    make: Make, code: str, metadata: list[tuple[str, str | bytes]], seconds: float
) -> None:
    failure = failure_of(make(code, "", *metadata))
    assert failure.retry_after_seconds == pytest.approx(seconds)
    assert not failure.sent


@both
@pytest.mark.parametrize("pushback", ["-1", "-1500", "soon", "", "1.5", "\uff19", "9" * 30])
def test_a_negative_or_unreadable_pushback_forbids_the_retry(make: Make, pushback: str) -> None:
    failure = failure_of(make("UNAVAILABLE", "", ("grpc-retry-pushback-ms", pushback), (DETAILS, retry_info(1))))
    assert failure.kind is Kind.UNAVAILABLE
    assert (failure.sent, failure.retry_forbidden, failure.retry_after_seconds) == (True, True, None)
    assert failure.idempotent is None


@both
@pytest.mark.parametrize("idempotent", [True, None])
def test_a_retry_that_the_server_forbids_is_not_made_whatever_the_user_says(make: Make, *, idempotent: bool) -> None:
    calls: list[int] = []

    @create_grpc_retry_policy(3, 0, 0, idempotent=idempotent)
    def ask() -> None:
        calls.append(1)
        raise make("UNAVAILABLE", "", ("grpc-retry-pushback-ms", "-1"))

    with pytest.raises(InfraUnavailableError):
        ask()
    assert len(calls) == 1


def test_a_limit_s_reset_is_a_hint_only_when_the_limit_is_exceeded() -> None:
    metadata = ("x-ratelimit-reset", "30")
    assert failure_of(asynchronous("RESOURCE_EXHAUSTED", "", metadata)).retry_after_seconds == 30
    assert failure_of(asynchronous("UNAVAILABLE", "", metadata)).retry_after_seconds is None


def test_status_details_that_are_cut_off_or_nonsense_hold_no_hint() -> None:
    whole = retry_info(4)
    for cut in range(len(whole)):
        hint = failure_of(asynchronous("RESOURCE_EXHAUSTED", "", (DETAILS, whole[:cut]))).retry_after_seconds
        assert hint is None
    for nonsense in (b"\xff" * 40, b"\x1b", b"\x1a\x7f", bytes(range(256)), b"\x18\x00"):
        assert failure_of(asynchronous("RESOURCE_EXHAUSTED", "", (DETAILS, nonsense))).retry_after_seconds is None


def test_status_details_without_a_delay_hold_no_hint_and_unknown_fields_are_passed_over() -> None:
    assert failure_of(asynchronous("ABORTED", "", (DETAILS, Status(code=10).SerializeToString()))).sent
    unknown = b"\x79" + b"\0" * 8 + b"\x7d" + b"\0" * 4  # field 15, once of eight bytes and once of four
    assert failure_of(asynchronous("ABORTED", "", (DETAILS, unknown + retry_info(2)))).retry_after_seconds == 2


# --- class hierarchy, and what is no status ----------------------------------------------------------------------


def test_a_user_s_own_rpc_error_without_a_status_is_the_caller_s() -> None:
    class OurError(grpc.RpcError):
        pass

    failure = failure_of(OurError(SECRET))
    assert (failure.kind, failure.code) == (Kind.CALLER, None)
    assert failure.decided_by.startswith("builtin")


def test_a_user_s_own_rpc_error_with_a_status_counts_by_it() -> None:
    class Fake(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return "Stream removed (Socket closed)"

        def trailing_metadata(self) -> object:
            return {"no": "pairs"}

    failure = failure_of(Fake())
    assert (failure.kind, failure.code) == (Kind.CONNECTION, "UNAVAILABLE")


def test_a_subclass_of_the_driver_s_error_counts_as_its_base_does() -> None:
    class OurError(AioRpcError):
        pass

    error = OurError(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert failure_of(error).kind is Kind.TIMEOUT


def test_a_future_s_time_out_is_a_time_out_though_no_builtin_one() -> None:
    assert not issubclass(grpc.FutureTimeoutError, TimeoutError)
    assert failure_of(grpc.FutureTimeoutError()).kind is Kind.TIMEOUT


def test_a_call_that_we_cancelled_is_abandoned_and_one_that_the_server_cancelled_is_not() -> None:
    assert failure_of(grpc.FutureCancelledError()).kind is Kind.ABANDONED
    assert failure_of(blocking("CANCELLED", "Channel closed!")).kind is Kind.ABANDONED
    assert failure_of(blocking("CANCELLED", "the server gave up")).kind is Kind.CALLER
    assert failure_of(asyncio.CancelledError()).kind is Kind.ABANDONED


def test_misuse_of_the_client_is_the_caller_s() -> None:
    assert failure_of(grpc.aio.UsageError("Channel is closed.")).kind is Kind.CALLER
    assert failure_of(grpc.aio.InternalError("illegal metadata")).kind is Kind.CALLER


def test_translation_keeps_code_and_hint_and_leaves_the_server_s_text_behind() -> None:
    error = translate(
        asynchronous("RESOURCE_EXHAUSTED", SECRET, ("grpc-retry-pushback-ms", "2500")), transport=Transport.GRPC
    )
    assert isinstance(error, InfraRateLimitedError)
    assert (error.retry_after_seconds, error.model.context["driver_code"]) == (2.5, "RESOURCE_EXHAUSTED")
    assert SECRET not in f"{error}{error!r}{error.model_dump_json()}"
