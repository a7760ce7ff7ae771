"""What one worker knows of a limit that it shares stays right while threads and tasks use it, and one resets it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from tests.support.virtual_time import clock, run

from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Request
from omnibase_infra.infrastructure.resilience.shared_state.shared_limit import SharedLimit
from omnibase_infra.models.resilience import ModelRateLimitConfig

pytestmark = pytest.mark.skipif(
    find_spec("valkey") is None and find_spec("redis") is None, reason="neither redis nor valkey is installed"
)
PATIENT = 30.0


class Store:
    """Grants everything, once it may answer."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()
        self.cleared = 0

    def take(self, _: str, request: Request) -> Booking:
        self.asked.set()
        self.answers.wait(PATIENT)
        return Booking(granted=True, extra=request.extra)

    def clear(self, _: str) -> None:
        self.cleared += 1


def limit_of(store: Store, monkeypatch: pytest.MonkeyPatch, lease: int = 1) -> SharedLimit:
    config = ModelRateLimitConfig(
        rate=1, capacity=50, storage_uri="valkey://127.0.0.1:1", store_timeout=PATIENT, lease=lease
    )
    limit = SharedLimit(config, "orders", None, lambda: 0.0)
    monkeypatch.setattr(limit, "_blocking", lambda: store)
    return limit


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.answers.set()


def test_a_reset_takes_back_what_was_leased(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = limit_of(store, monkeypatch, lease=5)
    assert limit.take(1).granted
    store.asked.clear()
    limit.reset()
    assert limit.take(1).granted
    assert store.asked.is_set()
    assert store.cleared == 1


def test_a_lease_that_was_asked_for_before_a_reset_is_not_spent_after_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = limit_of(store, monkeypatch, lease=5)
    store.answers.clear()
    caller = threading.Thread(target=limit.take, args=(1,))
    caller.start()
    assert store.asked.wait(PATIENT)
    limit.reset()
    store.answers.set()
    caller.join()
    store.asked.clear()
    assert limit.take(1).granted
    assert store.asked.is_set()


def test_a_reset_waits_for_who_spends_a_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = limit_of(store, monkeypatch, lease=5)
    with limit._lock:
        resetting = threading.Thread(target=limit.reset)
        resetting.start()
        resetting.join(0.05)
        assert resetting.is_alive()
    resetting.join()
    assert store.cleared == 1


class LoopStore:
    """Answers each call after as many seconds as its tokens cost."""

    async def take(self, _: str, request: Request) -> Booking:
        await asyncio.sleep(request.cost)
        return Booking(granted=True)


async def limit_of_loop(monkeypatch: pytest.MonkeyPatch) -> SharedLimit:
    config = ModelRateLimitConfig(rate=1, capacity=50, storage_uri="valkey://127.0.0.1:1", store_timeout=5.0)
    limit = SharedLimit(config, "orders", None, clock)
    store = LoopStore()
    monkeypatch.setattr(limit, "_of_loop", lambda _: store)
    held = await limit._storages.of_loop()
    held.is_connected = True
    return limit


def test_a_store_that_answered_others_meanwhile_is_not_lost_by_one_late_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        limit = await limit_of_loop(monkeypatch)
        late = asyncio.create_task(limit.take_async(20))
        await asyncio.sleep(1)
        assert not (await limit.take_async(1)).is_local
        assert (await late).is_local
        assert limit.store_is_up
        await limit.aclose()

    run(main())


def test_a_store_that_answered_nobody_meanwhile_is_lost_by_one_late_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        limit = await limit_of_loop(monkeypatch)
        assert not (await limit.take_async(1)).is_local
        assert (await limit.take_async(20)).is_local
        assert not limit.store_is_up
        await limit.aclose()

    run(main())
