"""Settings of limits that workers share: where they come from, what is refused, and that no secret is shown."""

import asyncio
import socket
import time
from importlib import util

import pytest
from tests.support.retries import Clock
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumOnStoreFailure, EnumRateLimitStrategy, EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    SharedRateLimiter,
    TokenBucketLimiter,
    add_observer,
    create_api_rate_limiter,
    create_database_rate_limiter,
    create_database_resilience,
    create_kafka_rate_limiter,
)
from omnibase_infra.infrastructure.resilience.shared_state import clients
from omnibase_infra.infrastructure.resilience.shared_state.limit_storages import within
from omnibase_infra.infrastructure.resilience.shared_state.store_health import StoreHealth
from omnibase_infra.models.resilience import ModelRateLimitConfig

NOWHERE = "valkey://127.0.0.1:1"


@pytest.fixture
def client_installed() -> None:
    if util.find_spec("valkey") is None and util.find_spec("redis") is None:
        pytest.skip("neither redis nor valkey is installed")


@pytest.mark.parametrize("uri", [None, "memory://"])
def test_without_a_server_a_limit_stays_in_this_process(uri: str | None) -> None:
    limiter = create_api_rate_limiter(storage_uri=uri, workers=4, lease=2)
    assert type(limiter) is TokenBucketLimiter
    assert limiter.acquire()


def test_every_setting_is_an_argument_and_a_preset(client_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = create_api_rate_limiter(
        name="orders",
        storage_uri=NOWHERE,
        on_store_failure="open",
        store_timeout=0.5,
        store_retry_interval=3,
        workers=8,
        lease=5,
    )
    for variable, value in {
        "STORAGE_URI": NOWHERE,
        "ON_STORE_FAILURE": "open",
        "STORE_TIMEOUT": "0.5",
        "STORE_RETRY_INTERVAL": "3",
        "WORKERS": "8",
        "LEASE": "5",
    }.items():
        monkeypatch.setenv(f"ONEX_RESILIENCE__API__RATE_LIMIT__{variable}", value)
    preset = create_api_rate_limiter(service="orders")
    for limiter in (given, preset):
        assert isinstance(limiter, SharedRateLimiter)
        assert limiter.name == "orders"
        assert limiter.config == ModelRateLimitConfig(
            rate=10,
            capacity=20,
            storage_uri=NOWHERE,
            on_store_failure=EnumOnStoreFailure.OPEN,
            store_timeout=0.5,
            store_retry_interval=3,
            workers=8,
            lease=5,
        )
    assert type(create_api_rate_limiter(name="alone", storage_uri="memory://")) is TokenBucketLimiter


def test_the_database_factory_takes_a_store_too(client_installed: None) -> None:
    limiter = create_database_rate_limiter(queries_per_second=5, name="orders", storage_uri=NOWHERE)
    assert isinstance(limiter, SharedRateLimiter)
    assert (limiter.rate, limiter.config.strategy) == (5, EnumRateLimitStrategy.TOKEN_BUCKET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"storage_uri": "postgresql://u:hunter2@h/d"}, "storage_uri = (a "),
        ({"storage_uri": 7}, "storage_uri = 7: must be memory:// or redis://"),
        ({"storage_uri": "redis://h:hunter2"}, "storage_uri: the client refuses it (ValueError)"),
        ({"storage_uri": NOWHERE, "strategy": "leaky"}, "strategy = (a str, not shown): must be 'token-bucket'"),
        ({"storage_uri": NOWHERE, "on_store_failure": "x"}, "on_store_failure = (a str, not shown): must be 'local'"),
        ({"storage_uri": NOWHERE, "store_timeout": 0}, "store_timeout = 0: must be a finite number, above 0"),
        ({"storage_uri": NOWHERE, "store_retry_interval": -1}, "store_retry_interval = -1: must be a finite number"),
        ({"storage_uri": NOWHERE, "workers": 0}, "workers = 0: must be a whole number, 1 or more"),
        ({"storage_uri": NOWHERE, "lease": 0}, "lease = 0: must be a whole number, 1 or more"),
        ({"storage_uri": NOWHERE, "leases": 2}, "leases: unknown; did you mean lease?"),
        ({"storage_uri": NOWHERE, "name": None}, "name: is required with a storage_uri"),
        ({"storage_uri": NOWHERE, "requests_per_second": 1e-9}, "rate = 1e-09: must fill the capacity, 1000, within"),
        ({"strategy": "fixed-window"}, "strategy = fixed-window: counts in a store only"),
        (
            {"storage_uri": NOWHERE, "strategy": "moving-window", "burst_capacity": 750},
            "capacity = 750: with strategy 'moving-window' must be a whole number of calls",
        ),
        (
            {"storage_uri": NOWHERE, "strategy": "fixed-window", "on_limit": "wait"},
            "on_limit: a call can wait in order for a token bucket only",
        ),
    ],
)
def test_a_wrong_setting_is_named_and_no_text_is_shown(client_installed: None, arguments, message: str) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        create_kafka_rate_limiter(**{"name": "orders"} | arguments)
    assert caught.value.message.startswith(message)
    assert "hunter2" not in f"{caught.value}{caught.value.model_dump_json()}{caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_shared_limiter_stands_in_a_pipeline_as_every_limiter(client_installed: None) -> None:
    limiter = create_api_rate_limiter(0.001, 2, name="orders", storage_uri=NOWHERE)
    pipeline = create_database_resilience(rate_limiter=limiter, name="orders")

    @pipeline
    async def fetch() -> str:
        return "fetched"

    async def main() -> None:
        assert [await fetch(), await fetch()] == ["fetched"] * 2  # nothing listens there: the worker's own part
        with pytest.raises(InfraRateLimitedError, match="'orders' allows"):
            await fetch()

    asyncio.run(main())


def test_a_run_under_virtual_time_leaves_what_lies_in_the_store_alone(client_installed: None) -> None:
    limiter = create_kafka_rate_limiter(name="orders", storage_uri=NOWHERE)

    async def nothing() -> None: ...

    run(nothing())  # would raise that the store cannot be reached
    with pytest.raises(InfraConnectionError):
        limiter.reset()


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_a_shared_limiter_needs_a_name(client_installed: None, name) -> None:
    with pytest.raises(ProtocolConfigurationError, match="name = "):
        SharedRateLimiter(ModelRateLimitConfig(rate=1, capacity=1, storage_uri=NOWHERE), name)


def test_the_arguments_of_calls_are_checked_as_those_of_every_limiter(client_installed: None) -> None:
    limiter = create_api_rate_limiter(1, 5, name="orders", storage_uri=NOWHERE)
    for call in (limiter.acquire, limiter.check_limit, limiter.wait, lambda t: asyncio.run(limiter.acquire_async(t))):
        with pytest.raises(ProtocolConfigurationError, match="tokens must be a number from 1 to the capacity, 5"):
            call(6)
    with pytest.raises(ProtocolConfigurationError, match="timeout = -1"):
        limiter.wait(timeout=-1)
    window = create_api_rate_limiter(1, 5, name="orders", storage_uri=NOWHERE, strategy="fixed-window")
    with pytest.raises(ProtocolConfigurationError, match="tokens must be a whole number with strategy"):
        window.acquire(1.5)
    with pytest.raises(ProtocolConfigurationError, match="timeout = 3: must be 0 with strategy 'fixed-window'"):
        window.wait(timeout=3)


def test_either_client_serves_both_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    def only(package: str) -> None:
        monkeypatch.setattr(clients, "find_spec", lambda name: name if name == package else None)

    def served(uri: str) -> tuple[str, str]:
        package = clients.package_for(uri, "storage_uri")
        return clients.url_for(package, uri), package

    only("valkey")
    assert served("redis+sentinel://h:1/m") == ("valkey+sentinel://h:1/m", "valkey")
    only("redis")
    assert served("valkeys://h") == ("rediss://h", "redis")
    assert served("redis://valkey") == ("redis://valkey", "redis")
    only("none")
    with pytest.raises(ProtocolConfigurationError, match=r'pip install "onex-resilience\[valkey\]"'):
        served("valkey://h")


def test_the_secret_of_a_uri_is_in_no_representation(client_installed: None) -> None:
    limiter = create_api_rate_limiter(name="orders", storage_uri="redis://user:hunter2@127.0.0.1:1")
    assert isinstance(limiter, SharedRateLimiter)
    shown = f"{limiter.config!r}{limiter.config}{limiter.config.model_dump_json()}{limiter.snapshot()!r}"
    assert "hunter2" not in shown
    assert limiter.snapshot().numbers["store_is_up"] == 1.0


def test_health_lets_one_caller_through_at_each_interval_and_tells_each_change_once() -> None:
    clock = Clock()
    heard: list[EnumResilienceEvent] = []
    remove = add_observer(lambda event: heard.append(event.kind), inline=True)
    health = StoreHealth("rate_limiter", "orders", None, 1.0, clock)
    assert health.may_try()
    for _ in range(3):
        health.lost(ConnectionError())
    assert [health.may_try() for _ in range(2)] == [False, False]
    clock.now += 1.0
    assert [health.may_try() for _ in range(2)] == [True, False]
    health.lost(TimeoutError())
    clock.now += 1.0
    assert health.may_try()
    for _ in range(2):
        health.answered()
    assert health.is_up
    assert [health.may_try() for _ in range(2)] == [True, True]
    remove()
    assert heard == [EnumResilienceEvent.SHARED_STATE_LOST, EnumResilienceEvent.SHARED_STATE_BACK]


def test_an_answer_that_came_while_the_loop_was_busy_is_not_late() -> None:
    ours, theirs = socket.socketpair()

    async def main() -> str:
        reader, writer = await asyncio.open_connection(sock=ours)

        def come_while_busy() -> None:
            theirs.send(b"hello\n")
            time.sleep(0.05)

        asyncio.get_running_loop().call_soon(come_while_busy)
        with within(0.02):
            answer = await reader.readline()
        with pytest.raises(TimeoutError), within(0.01):
            await reader.readline()
        writer.close()
        return answer.decode()

    with theirs:
        assert asyncio.run(main()) == "hello\n"


def test_a_cancellation_from_outside_is_no_timeout() -> None:
    async def hang() -> None:
        with within(60):
            await asyncio.Event().wait()

    async def main() -> bool:
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(main())
