"""Many threads, each with an id of its own: a thread takes none from another, unless it is given the context."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from uuid import UUID, uuid4

import pytest

from omnibase_infra.infrastructure.resilience import add_observer, create_database_retry_policy, flush_observers
from omnibase_infra.infrastructure.resilience.observers import dispatch
from omnibase_infra.utils import CorrelationContext, get_attempt, get_correlation_id

CALLS = 400


@pytest.fixture(autouse=True)
def threads_that_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def retried(heard: dict[UUID | None, list[int]]) -> Callable[[UUID], None]:
    @create_database_retry_policy(min_wait=0, max_wait=0, retry_budget=None)
    def load(mine: UUID) -> None:
        assert get_correlation_id() == mine
        heard.setdefault(mine, []).append(get_attempt())
        if len(heard[mine]) < 3:
            raise ConnectionError

    def call(mine: UUID) -> None:
        assert get_correlation_id() is None
        with CorrelationContext(mine):
            load(mine)
            assert get_attempt() == 1
        assert get_correlation_id() is None

    return call


def test_calls_on_a_pool_of_threads_keep_their_ids_and_numbers() -> None:
    heard: dict[UUID | None, list[int]] = {}
    ids = [uuid4() for _ in range(CALLS)]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(retried(heard), ids))
    assert heard == {mine: [1, 2, 3] for mine in ids}


def test_what_observers_hear_on_their_thread_belongs_to_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_audience", dispatch._Audience())
    current: list[tuple[UUID | None, int]] = []
    told: list[tuple[UUID | None, int | None]] = []

    def note(event) -> None:
        told.append((event.correlation_id, event.attempt))
        current.append((get_correlation_id(), get_attempt()))

    add_observer(note)
    ids = [uuid4() for _ in range(CALLS)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(retried({}), ids))
    assert flush_observers(10)
    assert current == told
    assert sorted(told) == sorted((mine, number) for mine in ids for number in (1, 2))
    assert get_correlation_id() is None


def test_a_copied_context_takes_id_and_number_into_a_plain_thread() -> None:
    seen: list[tuple[UUID | None, int]] = []

    @create_database_retry_policy(min_wait=0, max_wait=0)
    def load() -> None:
        for target in (copy_context().run, lambda work: work()):
            thread = threading.Thread(target=target, args=(lambda: seen.append((get_correlation_id(), get_attempt())),))
            thread.start()
            thread.join()
        if get_attempt() < 2:
            raise ConnectionError

    with CorrelationContext() as mine:
        load()
    assert seen == [(mine, 1), (None, 1), (mine, 2), (None, 1)]


def test_loops_on_several_threads_keep_their_ids_apart() -> None:
    heard: dict[UUID | None, list[int]] = {}

    @create_database_retry_policy(min_wait=0, max_wait=0, retry_budget=None)
    async def load(mine: UUID) -> None:
        heard.setdefault(mine, []).append(get_attempt())
        await asyncio.sleep(0)
        assert get_correlation_id() == mine
        if len(heard[mine]) < 3:
            raise ConnectionError

    async def call(mine: UUID) -> None:
        async with CorrelationContext(mine):
            await load(mine)

    async def main(ids: list[UUID]) -> None:
        await asyncio.gather(*map(call, ids))

    batches = [[uuid4() for _ in range(50)] for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda ids: asyncio.run(main(ids)), batches))
    assert heard == {mine: [1, 2, 3] for ids in batches for mine in ids}
