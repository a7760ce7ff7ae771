"""Contract section 8, credentials: renewed ahead of their end, and once more when they are refused."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from uuid import UUID, uuid4

import pytest
from tests.support.credentials import REFUSALS, SECRET, Api, PlainToken, Token
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraAuthenticationError, InfraUnavailableError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import CredentialRefresh, add_observer, with_credential_refresh
from omnibase_infra.infrastructure.resilience.credential_refresh import _renewals
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import get_correlation_id

Read = Callable[[Token, Api], Coroutine[object, object, object]]


async def by_helper(token: Token, api: Api) -> object:
    return await with_credential_refresh(api.read_async, token, uuid4())


async def by_policy(token: Token, api: Api) -> object:
    return await CredentialRefresh(token)(api.read_async)()


async def by_plain_operation(token: Token, api: Api) -> object:
    return await with_credential_refresh(api.read, token, uuid4())


async def by_plain_policy(token: Token, api: Api) -> object:
    plain = PlainToken(token.is_expired, token.number, error=token.error)
    api.token = plain
    try:
        return CredentialRefresh(plain)(api.read)()
    finally:
        token.begun, token.number = plain.begun, plain.number


each_face = pytest.mark.parametrize("read", [by_helper, by_policy, by_plain_operation, by_plain_policy])
each_refusal = pytest.mark.parametrize("refusal", REFUSALS, ids=["of ours", "of a driver"])


@each_face
def test_a_valid_credential_is_left_alone(read: Read):
    token = Token()
    assert run(read(token, Api(token))) == "secret 0"
    assert token.begun == 0


@each_face
def test_an_expired_credential_is_renewed_before_the_call(read: Read):
    token = Token(is_expired=True)
    api = Api(token, needs=1)
    assert run(read(token, api)) == "secret 1"
    assert (token.begun, api.calls) == (1, 1)


@each_face
def test_a_credential_that_is_refused_right_after_its_renewal_is_renewed_once_more(read: Read):
    token = Token(is_expired=True)
    api = Api(token, needs=2)
    assert run(read(token, api)) == "secret 2"
    assert (token.begun, api.calls) == (2, 2)


@each_face
@each_refusal
def test_a_refused_credential_is_renewed_once_and_the_call_made_once_more(read: Read, refusal):
    token = Token()
    api = Api(token, needs=1, refusal=refusal)
    assert run(read(token, api)) == "secret 1"
    assert (token.begun, api.calls) == (1, 2)


@each_face
@each_refusal
def test_a_second_refusal_goes_through_as_it_is(read: Read, refusal):
    token, second = Token(), refusal()
    refusals = iter([refusal(), second])
    api = Api(token, needs=9, refusal=lambda: next(refusals))
    with pytest.raises(type(second)) as caught:
        run(read(token, api))
    assert caught.value is second
    assert (token.begun, api.calls) == (1, 2)


@each_face
@pytest.mark.parametrize("error", [ValueError, TimeoutError, ConnectionError, lambda: InfraUnavailableError("sealed")])
def test_every_other_error_goes_through_without_a_renewal(read: Read, error):
    token = Token()
    api = Api(token, needs=9, refusal=error)
    with pytest.raises(type(error())):
        run(read(token, api))
    assert (token.begun, api.calls) == (0, 1)


@each_face
@pytest.mark.parametrize("expired", [True, False])
def test_a_failed_renewal_raises_one_of_ours_chained_without_its_text(read: Read, expired):
    broken = ConnectionError(SECRET)
    token = Token(is_expired=expired, error=broken)
    api = Api(token, needs=9)
    with pytest.raises(InfraAuthenticationError) as caught:
        run(read(token, api))
    error = caught.value
    assert error.message == "Failed to refresh authentication credentials (ConnectionError)"
    assert error.__cause__ is broken
    assert SECRET not in error.model_dump_json()
    assert error.context.operation == "credential_refresh"
    assert error.context.target_name in {"Token", "PlainToken"}
    assert (token.begun, api.calls) == (1, 0 if expired else 1)


@each_face
def test_after_a_failed_renewal_the_next_call_tries_again(read: Read):
    token = Token(is_expired=True, error=ConnectionError())
    api = Api(token, needs=1)
    with pytest.raises(InfraAuthenticationError):
        run(read(token, api))
    token.error, token.begun = None, 0
    assert run(read(token, api)) == "secret 1"


def test_an_async_function_may_have_a_credential_with_a_plain_renewal():
    token = PlainToken(is_expired=True)
    assert run(with_credential_refresh(Api(token).read_async, token, uuid4())) == "secret 1"


def test_the_correlation_id_is_current_in_operation_and_renewal_and_in_the_error():
    own = uuid4()
    seen: list[UUID | None] = []

    class Watched:
        is_expired = True

        async def refresh(self) -> None:
            seen.append(get_correlation_id())
            if len(seen) > 1:
                raise ConnectionError

    async def operation() -> None:
        seen.append(get_correlation_id())
        raise InfraAuthenticationError("401")

    async def main() -> None:
        with pytest.raises(InfraAuthenticationError) as caught:
            await with_credential_refresh(operation, Watched(), str(own))
        assert caught.value.correlation_id == own
        assert get_correlation_id() is None

    run(main())
    assert seen == [own] * 3


def test_arguments_reach_the_guarded_function_at_both_calls():
    token = PlainToken()
    assert CredentialRefresh(token).call(Api(token, needs=1).read, path="db/creds") == "db/creds 1"


def test_generators_are_guarded_until_their_first_item():
    token, plain = Token(), PlainToken()

    @CredentialRefresh(plain)
    def rows() -> Generator[str]:
        yield Api(plain, needs=1).read()

    @CredentialRefresh(token)
    async def async_rows() -> AsyncGenerator[str]:
        yield Api(token, needs=1).read()

    async def collected() -> list[str]:
        return [row async for row in async_rows()]

    assert list(rows()) == ["secret 1"]
    assert run(collected()) == ["secret 1"]


def test_a_plain_function_refuses_an_async_renewal_when_decorated():
    with pytest.raises(TypeError, match="is a plain function: an async refresh can only serve an async one"):
        CredentialRefresh(Token())(Api(Token()).read)


def test_a_plain_function_that_returns_work_is_refused():
    token = PlainToken()
    with pytest.raises(TypeError, match="returned a coroutine"):
        CredentialRefresh(token).call(lambda: Api(token).read_async())


@pytest.mark.parametrize("credential", [None, "s.hunter2", object()])
def test_what_is_no_credential_is_refused_without_being_shown(credential):
    with pytest.raises(
        ProtocolConfigurationError, match=r"credential = .*: must be an object with is_expired and"
    ) as caught:
        CredentialRefresh(credential)
    assert SECRET not in caught.value.model_dump_json()


def test_each_renewal_is_announced_once():
    events: list[ModelResilienceEvent] = []
    stop = add_observer(events.append, inline=True)
    token = PlainToken(is_expired=True)
    try:
        policy = CredentialRefresh(token, name="orders", transport=EnumInfraTransportType.VAULT)
        policy.call(Api(token).read)
        policy.call(Api(token).read)
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.policy) == (EnumResilienceEvent.CREDENTIAL_REFRESHED, "credential_refresh")
    assert (event.name, event.transport) == ("orders", EnumInfraTransportType.VAULT)


def test_nothing_is_remembered_of_a_credential_that_nobody_uses():
    class Own(Token):
        __slots__ = ("__weakref__",)

    token = Own()
    gone = weakref.ref(token)
    policy = CredentialRefresh(token)
    run(with_credential_refresh(Api(token, needs=1).read_async, token, uuid4()))
    assert id(token) in _renewals
    del policy
    gc.collect()
    assert id(token) not in _renewals
    del token
    assert gone() is None


@pytest.mark.parametrize("error", [None, ConnectionError])
def test_no_exception_is_kept_alive(error):
    class LostError(InfraAuthenticationError):
        pass

    lost: list[weakref.ref[Exception]] = []
    token = PlainToken(error=error and error())

    def operation() -> None:
        if token.number == 0:
            refusal = LostError("401")
            lost.append(weakref.ref(refusal))
            try:
                raise refusal
            finally:
                del refusal

    gc.disable()
    try:
        try:
            CredentialRefresh(token).call(operation)
        except InfraAuthenticationError as failed:
            lost.append(weakref.ref(failed))
        token.error = None
        assert [each() for each in lost] == [None] * (2 if error else 1)
    finally:
        gc.enable()


@pytest.mark.parametrize("place", ["ahead", "after the refusal", "operation", "second operation"])
def test_a_cancelled_call_ends_at_once_wherever_it_waits(place):
    async def main() -> None:
        token = Token(is_expired=place == "ahead", seconds=3600 if place in {"ahead", "after the refusal"} else 0)

        async def operation() -> None:
            if token.number == 0 and place in {"after the refusal", "second operation"}:
                raise InfraAuthenticationError("401")
            await asyncio.sleep(3600)

        task = asyncio.ensure_future(with_credential_refresh(operation, token, uuid4()))
        await asyncio.sleep(1)
        task.cancel("by the caller")
        with pytest.raises(asyncio.CancelledError, match="by the caller"):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert get_correlation_id() is None

    run(main())
