"""hvac's failures in our words, the status and headers that it drops among them."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("hvac", reason="hvac is not installed")

import hvac
import requests
from hvac import exceptions
from tests.transports.situation import Situation
from tests.transports.situations.answered_requests import Answer, answer_all
from tests.transports.situations.hvac import SECRET, SITUATIONS, raised, read, userpass, write

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import create_vault_retry_policy
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import failure_of, keep_vault_answers


@pytest.mark.parametrize("row", SITUATIONS, ids=lambda row: row.situation)
def test_each_situation_has_its_kind_says_whether_it_was_sent_and_shows_no_secret(row: Situation) -> None:
    error = row.make()
    assert type(error).__module__ == "hvac.exceptions"
    failure = failure_of(error, row.transport)
    assert (failure.kind, failure.sent) == (row.kind, row.sent)
    assert SECRET not in f"{failure}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (405, Kind.CALLER),
        (412, Kind.UNAVAILABLE),
        (418, Kind.CALLER),
        (472, Kind.UNAVAILABLE),
        (473, Kind.UNAVAILABLE),
        (504, Kind.UNAVAILABLE),
    ],
)
def test_an_unexpected_error_counts_by_the_status_that_hvac_drops(status: int, kind: Kind) -> None:
    error = raised(status, "no")
    assert type(error) is exceptions.UnexpectedError
    assert str(status) not in f"{error}{vars(error)}"
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (kind, str(status))


def test_the_server_s_hint_is_found_though_hvac_drops_the_headers() -> None:
    for status in (429, 503):
        error = raised(status, "no", headers={"Retry-After": "7"})
        failure = failure_of(error)
        assert (failure.retry_after_seconds, failure.sent) == (7.0, False)


def test_status_and_hint_are_found_where_the_call_ran_in_another_thread() -> None:
    def throttled() -> None:
        raise raised(429, "no", headers={"Retry-After": "7"})

    async def call() -> None:
        await asyncio.to_thread(throttled)

    with pytest.raises(exceptions.RateLimitExceeded) as caught:
        asyncio.run(call())
    assert failure_of(caught.value).retry_after_seconds == 7.0


def test_calls_of_many_threads_never_get_each_other_s_status() -> None:
    seen: list[tuple[int, str | None, float | None]] = []

    def call(number: int) -> None:
        status = 472 if number % 2 else 504
        failure = failure_of(raised(status, "no", headers={"Retry-After": str(number)}))
        seen.append((number, failure.code, failure.retry_after_seconds))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [(number, "472" if number % 2 else "504", float(number)) for number in range(8)]


def test_without_a_traceback_the_class_tells_the_status_and_an_unexpected_error_is_the_caller_s() -> None:
    assert failure_of(pickle.loads(pickle.dumps(raised(503, "Vault is sealed")))).sent is False
    assert failure_of(exceptions.RateLimitExceeded("no")).kind is Kind.THROTTLED
    assert failure_of(exceptions.PreconditionFailed("no")).kind is Kind.UNAVAILABLE
    assert failure_of(exceptions.UnexpectedError("no")).kind is Kind.CALLER
    assert failure_of(exceptions.VaultError("no")).kind is Kind.CALLER


def kept(status: int, headers: dict[str, str], call=read, times: int = 1) -> Exception:
    """What hvac raises once its client keeps the answers."""
    with requests.Session() as session:
        answer_all(session, status, "no", headers)
        client = hvac.Client(url="http://vault.example.com", token=SECRET, session=session)
        for _ in range(times):
            assert keep_vault_answers(client) is client
        assert len(session.hooks["response"]) == 1
        with pytest.raises(exceptions.VaultError) as caught:
            call(client)
    return caught.value


def test_a_kept_answer_is_on_the_exception_when_the_traceback_is_gone() -> None:
    error = kept(472, {"Retry-After": "7", "Set-Cookie": SECRET}, times=2).with_traceback(None)
    failure = failure_of(error)
    assert (failure.kind, failure.code, failure.retry_after_seconds) == (Kind.UNAVAILABLE, "472", 7.0)
    assert SECRET not in f"{error.__dict__['headers']}"


def test_a_kept_answer_is_of_its_own_call_in_every_thread() -> None:
    with requests.Session() as session:
        client = keep_vault_answers(hvac.Client(url="http://vault.example.com", token=SECRET, session=session))

        class Answers(Answer):
            def send(self, request, **settings: object):
                return Answer(429, "no", {"Retry-After": str(request.url).rpartition("/")[2]}).send(request)

        session.mount("http://", Answers(0, "", {}))

        def call(number: int) -> tuple[int, object]:
            with pytest.raises(exceptions.RateLimitExceeded) as caught:
                client.adapter.get(f"/v1/secret/{number}")
            return number, failure_of(caught.value.with_traceback(None)).retry_after_seconds

        with ThreadPoolExecutor(8) as pool:
            for number, hint in pool.map(call, range(64)):
                assert hint == number


def test_a_connection_that_is_lost_after_a_redirect_does_not_bear_the_redirect_s_answer() -> None:
    class Lost(Answer):
        def send(self, request, **settings: object):
            raise requests.ConnectionError(request=request)

    with requests.Session() as session:
        client = keep_vault_answers(hvac.Client(url="http://vault.example.com", token=SECRET, session=session))
        answer_all(session, 307, "", {"Location": "http://active.example.com/v1/secret/x"})
        session.mount("http://active", Lost(0, "", {}))
        with pytest.raises(requests.ConnectionError) as caught:
            client.adapter.get("/v1/secret/x")
    assert "status_code" not in caught.value.__dict__


@pytest.mark.parametrize("client", [None, object(), requests])
def test_only_a_client_of_hvac_can_keep_its_answers(client: object) -> None:
    with pytest.raises(ProtocolConfigurationError, match=r"client is a \w+: must be an hvac\.Client"):
        keep_vault_answers(client)


def test_a_wrong_password_is_an_authentication_error_though_vault_calls_it_an_invalid_request() -> None:
    login, other = raised(400, "no", call=userpass), raised(400, "no", call=write)
    assert type(login) is type(other) is exceptions.InvalidRequest
    assert (failure_of(login).kind, failure_of(other).kind) == (Kind.AUTHENTICATION, Kind.CALLER)


def test_a_secret_whose_path_looks_like_a_login_is_none() -> None:
    error = raised(400, "no", call=lambda client: client.write("secret/data/auth/login/x"))
    assert type(error) is exceptions.InvalidRequest
    assert failure_of(error).kind is Kind.CALLER


def test_a_login_behind_a_gateway_s_prefix_is_one() -> None:
    error = raised(400, "no", call=userpass, url="http://gateway.example.com/vault")
    assert failure_of(error).kind is Kind.AUTHENTICATION


@pytest.mark.parametrize(
    ("call", "idempotent"),
    [
        (lambda client: client.read("secret/x"), True),
        (lambda client: client.adapter.list("/v1/secret/x"), True),
        (lambda client: client.delete("secret/x"), True),
        (lambda client: client.write("pki/issue/web"), False),
        (lambda client: client.adapter.put("/v1/pki/issue/web"), False),
    ],
)
def test_a_write_may_issue_a_token_whatever_its_method_and_is_not_repeatable(call, idempotent: bool) -> None:
    assert failure_of(raised(500, "no", call=call)).idempotent is idempotent


def test_a_user_s_subclass_counts_as_its_base_does() -> None:
    class Ours(exceptions.Forbidden):
        pass

    assert failure_of(Ours("no")).kind is Kind.AUTHENTICATION


def test_the_error_holds_the_code_and_neither_url_nor_answer() -> None:
    error = translate(raised(429, SECRET, headers={"Retry-After": "7"}), transport=Transport.VAULT)
    assert isinstance(error, InfraRateLimitedError)
    assert (error.retry_after_seconds, error.model.context["driver_code"]) == (7.0, "429")
    for text in (str(error), repr(error), error.model_dump_json()):
        assert SECRET not in text


def test_the_retry_waits_as_long_as_vault_says() -> None:
    waits: list[float] = []

    @create_vault_retry_policy(2, 0, 0, sleep=waits.append)
    def read() -> None:
        raise raised(429, "no", headers={"Retry-After": "7"})

    with pytest.raises(InfraRateLimitedError):
        read()
    assert waits == [7.0]


def test_a_user_s_own_adapter_whose_answer_is_none_leaves_the_class() -> None:
    class Adapter(hvac.adapters.RawAdapter):
        def request(self, *_: object, **__: object) -> object:
            response = object()
            raise exceptions.VaultDown(f"{type(response)}")

    client = hvac.Client(url="http://vault.example.com", token="x", adapter=Adapter)
    with pytest.raises(exceptions.VaultDown) as caught:
        client.secrets.kv.v2.read_secret_version("x", raise_on_deleted_version=True)
    client.adapter.close()
    assert failure_of(caught.value).kind is Kind.UNAVAILABLE
