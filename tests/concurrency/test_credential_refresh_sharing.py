"""One renewal under way, however many need it: tasks, threads, and with cancellations in between."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from tests.support.credentials import Api, PlainToken, Token
from tests.support.flights import Gate, in_threads
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraAuthenticationError
from omnibase_infra.infrastructure.resilience import (
    CredentialRefresh,
    CredentialRefreshManager,
    add_observer,
    with_credential_refresh,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent


@pytest.mark.parametrize("expired", [True, False])
def test_twenty_concurrent_callers_renew_once(expired):
    async def main() -> None:
        token = Token(is_expired=expired)
        api = Api(token, needs=1)
        answers = await asyncio.gather(
            *(with_credential_refresh(api.read_async, token, uuid4()) for _ in range(10)),
            *(CredentialRefresh(token)(api.read_async)() for _ in range(10)),
        )
        assert answers == ["secret 1"] * 20
        assert (token.begun, clock()) == (1, 1)

    run(main())


def test_a_failed_renewal_reaches_all_who_wait_each_with_an_error_of_its_own():
    async def main() -> None:
        token = Token(is_expired=True, error=ConnectionError())
        read = CredentialRefresh(token)(Api(token).read_async)
        errors = await asyncio.gather(*(read() for _ in range(20)), return_exceptions=True)
        assert {type(each) for each in errors} == {InfraAuthenticationError}
        assert len({id(each) for each in errors}) == 20
        assert {each.__cause__ for each in errors if isinstance(each, Exception)} == {token.error}
        assert token.begun == 1

    run(main())


def test_a_refusal_of_a_call_that_began_before_a_renewal_needs_no_other_one():
    async def main() -> None:
        token = Token()
        api = Api(token, needs=1)

        async def slow() -> str:
            before = token.number
            await asyncio.sleep(5)  # refused for the old token long after the others had it renewed
            if before < api.needs:
                raise InfraAuthenticationError("401")
            return "slow"

        answers = await asyncio.gather(
            with_credential_refresh(slow, token, uuid4()),
            with_credential_refresh(api.read_async, token, uuid4()),
        )
        assert answers == ["slow", "secret 1"]
        assert token.begun == 1

    run(main())


def test_a_later_refusal_renews_again():
    async def main() -> None:
        token = Token()
        api = Api(token, needs=1)
        read = CredentialRefresh(token)(api.read_async)
        await read()
        api.needs = 2
        assert await read() == "secret 2"
        assert token.begun == 2

    run(main())


@pytest.mark.parametrize("cancelled", [0, 3])
def test_a_cancelled_caller_does_not_cancel_the_others_renewal(cancelled):
    async def main() -> None:
        token = Token(is_expired=True)
        read = CredentialRefresh(token)(Api(token, needs=1).read_async)
        tasks = [asyncio.create_task(read()) for _ in range(5)]
        await asyncio.sleep(0.5)
        tasks[cancelled].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert tasks[cancelled].cancelled()
        assert answers.count("secret 1") == 4
        assert (token.begun, clock()) == (1, 1)

    run(main())


def test_a_caller_with_a_time_limit_gives_up_alone():
    async def main() -> None:
        token = Token(is_expired=True, seconds=10)
        read = CredentialRefresh(token)(Api(token, needs=1).read_async)
        others = asyncio.gather(read(), read())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await read()
        assert await others == ["secret 1"] * 2
        assert token.begun == 1

    run(main())


def test_other_credentials_have_renewals_of_their_own():
    async def main() -> None:
        tokens = [Token(is_expired=True) for _ in range(3)]
        await asyncio.gather(*(with_credential_refresh(Api(each).read_async, each, uuid4()) for each in tokens))
        assert [each.begun for each in tokens] == [1, 1, 1]
        assert clock() == 1

    run(main())


@pytest.mark.parametrize("seed", range(20))
def test_under_random_cancellations_a_lifetime_costs_one_renewal_at_a_time(seed):
    rng = random.Random(seed)

    async def main() -> None:
        token = Token()
        running = most = 0
        renew = token.refresh

        class Watched:
            @property
            def is_expired(self) -> bool:
                return token.is_expired

            async def refresh(self) -> None:
                nonlocal running, most
                running += 1
                most = max(most, running)
                try:
                    await renew()
                finally:
                    running -= 1

        api = Api(token)
        read = CredentialRefresh(Watched())(api.read_async)

        async def ask() -> None:
            await asyncio.sleep(rng.random() * 20)
            await read()

        async def revoke() -> None:
            for number in range(1, 5):
                await asyncio.sleep(4)
                api.needs = max(number, token.number + 1)

        revoking = asyncio.create_task(revoke())
        tasks = [asyncio.create_task(ask()) for _ in range(200)]
        doomed = [task for task in tasks if rng.random() < 0.5]
        for task in doomed:
            asyncio.get_running_loop().call_later(rng.random() * 22, task.cancel)
        await asyncio.wait(tasks)
        await revoking
        assert [task.exception() for task in tasks if not task.cancelled()].count(None) == sum(
            not task.cancelled() for task in tasks
        )
        assert (most, running) == (1, 0)
        assert token.number <= 4
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@pytest.mark.parametrize("expired", [True, False])
def test_twenty_threads_renew_once(expired):
    token = PlainToken(is_expired=expired)
    policy = CredentialRefresh(token)
    token.while_refreshing = Gate(policy._renewal.flights, 19)
    refused = threading.Barrier(20)

    @policy
    def read() -> int:
        if token.number == 0:
            refused.wait()
            raise InfraAuthenticationError("401")
        return token.number

    assert in_threads(20, read) == [1] * 20
    assert token.begun == 1


def once_renewed(use: Callable[[], object]) -> list[object]:
    """Call in another thread while the first renewal is being announced, hence still under way; return the answers."""
    answers: list[object] = []

    def observe(event: ModelResilienceEvent) -> None:
        stop()
        with ThreadPoolExecutor(1) as pool:
            answers.append(pool.submit(use).result(5))

    stop = add_observer(observe, inline=True)
    return answers


def test_who_is_refused_with_the_new_credential_does_not_share_the_renewal_that_brought_it():
    token = PlainToken(is_expired=True)
    policy = CredentialRefresh(token)
    answers = once_renewed(policy(Api(token, needs=2).read))
    assert policy.call(lambda: "first") == "first"
    assert (answers, token.begun) == (["secret 2"], 2)


def test_who_is_refused_with_a_manager_s_new_credential_has_another_one_issued():
    issuer = Issuer()
    issuer.gate = lambda: 0

    def use(credential: dict[str, object]) -> object:
        if credential["token"] == 1:
            raise InfraAuthenticationError("401")
        return credential["token"]

    answers = once_renewed(lambda: issuer.manager.call_with_auth(use))
    assert issuer.manager.get_valid_credential() == {"token": 1}
    assert (answers, issuer.calls) == ([2], 2)


class Issuer:
    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error
        self.manager = CredentialRefreshManager(self)
        self.gate = Gate(self.manager._flights, 0)

    def refresh_credential(self) -> dict[str, object]:
        self.calls += 1
        self.gate()
        if self.error is not None:
            raise self.error
        return {"token": self.calls}


def test_twenty_threads_have_a_manager_issue_once():
    issuer = Issuer()
    issuer.gate.waiting = 19
    assert in_threads(20, issuer.manager.get_valid_credential) == [{"token": 1}] * 20
    assert issuer.calls == 1


def test_twenty_refused_threads_have_a_manager_issue_once_more():
    issuer = Issuer()
    issuer.manager.get_valid_credential()
    issuer.gate.waiting = 19
    refused = threading.Barrier(20)

    def use(credential: dict[str, object]) -> object:
        if credential["token"] == 1:
            refused.wait()
            raise InfraAuthenticationError("401")
        return credential["token"]

    assert in_threads(20, lambda: issuer.manager.call_with_auth(use)) == [2] * 20
    assert issuer.calls == 2


def test_a_thread_whose_credential_was_replaced_meanwhile_takes_the_new_one():
    issuer = Issuer()

    def use(credential: dict[str, object]) -> object:
        if credential["token"] == 1:
            with pytest.raises(InfraAuthenticationError):  # another caller, refused and served in between
                issuer.manager.call_with_auth(refuse)
            raise InfraAuthenticationError("401")
        return credential["token"]

    def refuse(credential: dict[str, object]) -> None:
        raise InfraAuthenticationError("401")

    assert issuer.manager.call_with_auth(use) == 2
    assert issuer.calls == 2


def test_threads_that_wait_for_a_failing_issuer_each_get_an_error_of_their_own():
    issuer = Issuer(ConnectionError())
    issuer.gate.waiting = 9
    errors = in_threads(10, issuer.manager.get_valid_credential)
    assert len({id(each) for each in errors}) == 10
    assert {type(each) for each in errors} == {InfraAuthenticationError}
    assert issuer.calls == 1
