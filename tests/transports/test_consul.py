"""py-consul's failures in our words, the status and headers that it drops among them."""

from __future__ import annotations

import pytest

pytest.importorskip("consul", reason="py-consul is not installed")

import consul
from tests.transports.situation import Situation
from tests.transports.situations.consul import SECRET, SITUATIONS, get, put, raised

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    assert type(error).__module__ == "consul.exceptions"
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert SECRET not in f"{failure}"


def test_the_server_s_hint_is_found_though_the_client_drops_the_headers() -> None:
    for status in (429, 503):
        failure = failure_of(raised(status, headers={"Retry-After": "7"}))
        assert (failure.retry_after_seconds, failure.sent) == (7.0, False)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (consul.ConsulException("500 No cluster leader"), Kind.UNAVAILABLE, "500"),
        (consul.exceptions.ClientError("429 slow down"), Kind.THROTTLED, "429"),
        (consul.exceptions.BadRequest("no"), Kind.CALLER, "400"),
        (consul.exceptions.ACLPermissionDenied("no"), Kind.AUTHENTICATION, "403"),
        (consul.exceptions.NotFound("no"), Kind.CALLER, "404"),
        (consul.ConsulException("5000 keys"), Kind.CALLER, None),
        (consul.ConsulException(), Kind.CALLER, None),
        (consul.ConsulException(b"503 bytes"), Kind.CALLER, None),
    ],
)
def test_without_a_traceback_the_class_or_the_head_of_the_text_tells_the_status(
    error: Exception, kind: Kind, code: str | None
) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (kind, code)


def test_a_cluster_without_a_leader_has_surely_done_nothing_and_another_500_may_have() -> None:
    lost = "rpc error making call: leadership lost while committing log"
    assert not failure_of(raised(500, "No cluster leader", put)).sent
    assert failure_of(raised(500, lost, put)).sent


def test_a_cluster_without_access_control_is_no_matter_of_credentials() -> None:
    without, wrong = raised(401, "ACL support disabled"), raised(401, "who are you?")
    assert type(without) is type(wrong) is consul.exceptions.ACLDisabled
    assert (failure_of(without).kind, failure_of(wrong).kind) == (Kind.CALLER, Kind.AUTHENTICATION)


@pytest.mark.parametrize(
    ("call", "idempotent"),
    [
        (get, True),
        (lambda client: client.kv.delete("key"), True),
        (put, None),
        (lambda client: client.session.create(), None),
    ],
)
def test_a_read_may_be_repeated_and_of_a_put_the_method_tells_nothing(call, idempotent: bool | None) -> None:
    assert failure_of(raised(500, call=call)).idempotent is idempotent


def test_a_user_s_subclass_counts_as_its_base_does() -> None:
    class Ours(consul.exceptions.ACLPermissionDenied):
        pass

    class OurTimeout(consul.Timeout):
        pass

    assert failure_of(Ours("no")).kind is Kind.AUTHENTICATION
    assert failure_of(OurTimeout()).kind is Kind.TIMEOUT


def test_the_error_holds_the_code_and_not_the_answer() -> None:
    error = translate(raised(429, headers={"Retry-After": "7"}), transport=Transport.CONSUL)
    assert isinstance(error, InfraRateLimitedError)
    assert (error.retry_after_seconds, error.model.context["driver_code"]) == (7.0, "429")
    for text in (str(error), repr(error), error.model_dump_json()):
        assert SECRET not in text
