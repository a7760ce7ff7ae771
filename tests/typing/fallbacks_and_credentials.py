"""What the type checkers see of fallbacks, stale caches and credentials."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypedDict, assert_type
from uuid import uuid4

from omnibase_infra.infrastructure.resilience import (
    Credential,
    CredentialRefresh,
    CredentialRefreshManager,
    Fallback,
    Fetched,
    SyncCredential,
    create_stale_cache,
    fetch_with_timeout_fallback,
    with_credential_refresh,
    with_fallback,
)


class Token:
    @property
    def is_expired(self) -> bool:
        return False

    async def refresh(self) -> None:
        pass


class PlainToken:
    is_expired = False

    def refresh(self) -> None:
        pass


class Lease(TypedDict):
    token: str
    ttl_seconds: float


class Provider:
    def refresh_credential(self) -> Lease:
        return {"token": "", "ttl_seconds": 60.0}


async def fetch_row() -> dict[str, int]:
    return {}


def fetch_text() -> str:
    return ""


@Fallback(value=None)
@create_stale_cache(ttl=30)
@CredentialRefresh(Token())
async def execute_query(sql: str, *, limit: int = 10) -> list[str]:
    return [sql] * limit


def key_of(sql: str) -> str:
    return sql


def use(path: str, *, credential: Lease) -> int:
    return len(path) + len(credential)


@Fallback(fetch_text)
@create_stale_cache(30, 60, 10, key=key_of)
@CredentialRefresh(PlainToken())
def plain(sql: str) -> list[str]:
    return [sql]


@Fallback(value=())
@CredentialRefresh(PlainToken())
def rows(n: int) -> Generator[int, str, bytes]:
    sent = yield n
    return sent.encode()


async def decorated_functions_keep_their_types() -> None:
    assert_type(await execute_query("SELECT 1", limit=2), list[str])
    assert_type(plain("SELECT 1"), list[str])
    assert_type(rows(1), Generator[int, str, bytes])
    await execute_query(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def helpers_return_what_their_functions_do() -> None:
    assert_type(await with_fallback(fetch_row, fetch_row, uuid4()), tuple[dict[str, int], bool])
    assert_type(await with_fallback(fetch_text, fetch_text, uuid4()), tuple[str, bool])
    data, used_fallback = await with_fallback(primary=fetch_row, fallback=fetch_text, correlation_id=uuid4())
    assert_type(data, dict[str, int] | str)
    assert_type(used_fallback, bool)
    assert_type(await with_credential_refresh(fetch_row, Token(), uuid4()), dict[str, int])
    assert_type(await with_credential_refresh(fetch_text, PlainToken(), uuid4()), str)


def a_fetch_is_a_typed_dictionary() -> None:
    fetched = fetch_with_timeout_fallback(fetch_text, lambda: 0, timeout_seconds=0.1)
    assert_type(fetched, Fetched[str | int])
    assert_type(fetched["data"], str | int)
    assert_type(fetched["degraded"], bool)


def a_manager_returns_the_provider_s_own_type() -> None:
    manager = CredentialRefreshManager(Provider(), refresh_threshold_seconds=60.0)
    assert_type(manager.get_valid_credential(), Lease)
    assert_type(manager.call_with_auth(use, "path"), int)


def tokens_are_credentials() -> None:
    token: Credential = Token()
    plain_token: SyncCredential = PlainToken()
    assert_type(CredentialRefresh(token).name, str)
    assert_type(CredentialRefresh(plain_token).name, str)
