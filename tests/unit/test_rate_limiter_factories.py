"""Every `create_*_rate_limiter`: its numbers, its arguments, and what a wrong one says."""

import inspect

import pytest
from tests.support.retries import Clock

from omnibase_infra.enums import EnumInfraTransportType
from omnibase_infra.errors import InfraRateLimitedError, ProtocolConfigurationError
from omnibase_infra.infrastructure import resilience
from omnibase_infra.infrastructure.resilience import create_api_rate_limiter, create_database_rate_limiter, rate_limiter
from omnibase_infra.infrastructure.resilience.rate_limiter import RateLimiterFactory

FACTORIES = [
    ("api", EnumInfraTransportType.HTTP, 10, 20),
    ("database", EnumInfraTransportType.DATABASE, 50, 100),
    ("network", EnumInfraTransportType.HTTP, 20, 40),
    ("kafka", EnumInfraTransportType.KAFKA, 500, 1_000),
    ("vault", EnumInfraTransportType.VAULT, 10, 20),
    ("consul", EnumInfraTransportType.CONSUL, 20, 40),
    ("valkey", EnumInfraTransportType.VALKEY, 1_000, 2_000),
    ("grpc", EnumInfraTransportType.GRPC, 100, 200),
]
each_factory = pytest.mark.parametrize(
    ("section", "transport", "rate", "capacity"), FACTORIES, ids=[row[0] for row in FACTORIES]
)


def factory(section: str) -> RateLimiterFactory:
    return getattr(resilience, f"create_{section}_rate_limiter")


@each_factory
def test_a_factory_gives_a_bucket_with_its_transports_numbers(
    section: str, transport: EnumInfraTransportType, rate: float, capacity: float
) -> None:
    limiter = factory(section)()
    assert (limiter.rate, limiter.capacity, limiter.transport) == (rate, capacity, transport)
    assert factory(section) is getattr(rate_limiter, f"create_{section}_rate_limiter")


@each_factory
def test_arguments_win_over_the_preset_one_by_one(
    section: str, transport: EnumInfraTransportType, rate: float, capacity: float
) -> None:
    assert (factory(section)(3.5).rate, factory(section)(3.5).capacity) == (3.5, capacity)
    limiter = factory(section)(burst_capacity=7, name="orders")
    assert (limiter.rate, limiter.capacity, limiter.name) == (rate, 7, "orders")


def test_the_database_factory_names_its_rate_queries_per_second() -> None:
    assert create_database_rate_limiter(queries_per_second=5.0, burst_capacity=9).rate == 5.0
    assert next(iter(inspect.signature(create_database_rate_limiter).parameters)) == "queries_per_second"
    assert create_api_rate_limiter(requests_per_second=5.0).rate == 5.0


@pytest.mark.parametrize(
    ("section", "arguments", "message"),
    [
        ("api", {"requests_per_second": 0}, "requests_per_second = 0: must be a finite number, above 0"),
        ("grpc", {"requests_per_second": -1}, "requests_per_second = -1: must be a finite number, above 0"),
        ("database", {"queries_per_second": "5"}, "queries_per_second = (a str, not shown): must be a finite number"),
        ("kafka", {"burst_capacity": 0.5}, "burst_capacity = 0.5: must be a finite number, 1 or more"),
        ("vault", {"on_limit": "drop"}, "on_limit = (a str, not shown): must be 'reject' or 'wait'"),
        ("consul", {"timeout": -1}, "timeout = -1: must be a number of seconds, 0 or more, or None"),
        ("valkey", {"name": 1}, "name = 1: must be text that is not blank, or None"),
    ],
)
def test_a_wrong_argument_is_named_as_the_caller_calls_it(
    section: str, arguments: dict[str, float], message: str
) -> None:
    with pytest.raises(ProtocolConfigurationError) as caught:
        factory(section)(**arguments)
    assert caught.value.message.startswith(message)
    assert caught.value.model.context["parameter"] in arguments


def test_a_service_and_the_environment_lie_over_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEX_RESILIENCE__DATABASE__RATE_LIMIT__RATE", "70")
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__ORDERS__RATE_LIMIT__CAPACITY", "3")
    limiter = create_database_rate_limiter(service="orders")
    assert (limiter.rate, limiter.capacity) == (70, 3)
    assert create_database_rate_limiter().capacity == 100


@pytest.mark.parametrize("section", ["api", "database"])
def test_a_factory_hands_on_clock_sleep_waiting_and_timeout(section: str) -> None:
    clock = Clock()
    limiter = factory(section)(1.0, 1, "slow", on_limit="wait", timeout=1.5, clock=clock, sleep=clock.sleep)
    read = limiter(lambda: "row")
    assert [read(), read()] == ["row", "row"]
    assert clock.waits == [1.0]
    assert limiter.acquire() is False

    strict = factory(section)(1.0, 1, on_limit="wait", timeout=0.5, clock=clock, sleep=clock.sleep)(lambda: "row")
    assert strict() == "row"
    with pytest.raises(InfraRateLimitedError):
        strict()


def test_a_factory_hands_on_translation() -> None:
    @create_database_rate_limiter(translate=True)
    def read() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError) as caught:
        read()
    assert type(caught.value) is not TimeoutError


def test_two_calls_of_a_factory_are_two_buckets_named_alike_or_not() -> None:
    clock = Clock()
    first, second = (create_api_rate_limiter(1.0, 1, "search", clock=clock) for _ in range(2))
    assert first.acquire()
    assert second.acquire()
