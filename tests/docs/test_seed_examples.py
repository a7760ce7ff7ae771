"""The source documents' own examples run, as written or with the corrections listed beside them in tests/seeds."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid4

import pytest
from tests.support.virtual_time import run, run_beside_others

from omnibase_infra.enums import EnumCircuitState, EnumInfraTransportType
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraConnectionError,
    InfraRateLimitedError,
    InfraTimeoutError,
    InfraUnavailableError,
    ModelInfraErrorContext,
    OnexError,
)
from omnibase_infra.infrastructure.resilience import (
    CircuitBreaker,
    CredentialRefreshManager,
    create_api_rate_limiter,
    create_database_circuit_breaker,
    create_database_retry_policy,
    fetch_with_timeout_fallback,
    retry_with_exponential_backoff,
    with_credential_refresh,
    with_fallback,
)
from omnibase_infra.mixins import MixinAsyncCircuitBreaker
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig
from omnibase_infra.runtime import RegistryPolicy

PAGES = sorted((Path(__file__).parents[1] / "seeds").glob("*.md"))
EXAMPLE = re.compile(
    r"^## (?P<name>[^\n]+)\n\n```python\n(?P<code>.*?)^```$\n*(?P<corrections>(?:^- [^\n]*\n)*)",
    re.MULTILINE | re.DOTALL,
)
CORRECTION = re.compile(r"^- `(?P<was>.+?)` → `(?P<now>.+?)`: (?P<reason>.+)$", re.MULTILINE)

Names = dict[str, object]
T = TypeVar("T")


class Example(NamedTuple):
    name: str
    code: str

    def run(self, /, **given: object) -> Names:
        """Run it under virtual time with what the document takes for granted; return what it has defined."""
        names: Names = {"__name__": "example", **given}
        code = compile(self.code, self.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            work = eval(code, names)
            run_beside_others(work)
        else:
            exec(code, names)
        return names


def _examples() -> Iterator[Example]:
    for page in PAGES:
        for match in EXAMPLE.finditer(page.read_text(encoding="utf-8")):
            code = match["code"]
            for correction in CORRECTION.finditer(match["corrections"]):
                assert correction["was"] in code, f"{page.name}, {match['name']}: corrects what is not there"
                code = code.replace(correction["was"], correction["now"])
            yield Example(match["name"], code)


EXAMPLES = {example.name: example for example in _examples()}
COVERED: set[str] = set()


def covers(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test as the one of these examples; it gets the example, or the only one's, as its first argument."""
    COVERED.update(names)
    return pytest.mark.parametrize("example", [EXAMPLES[name] for name in names], ids=list(names))


class Recorder:
    """Answers any call with what it was told, and remembers the calls."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[object, ...]] = []

    def _next(self, *args: object, **kwargs: object) -> object:
        self.calls.append((*args, *kwargs.values()))
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException) or (isinstance(outcome, type) and issubclass(outcome, BaseException)):
            raise outcome
        return outcome

    def sync(self, *args: object, **kwargs: object) -> object:
        return self._next(*args, **kwargs)

    async def coro(self, *args: object, **kwargs: object) -> object:
        await asyncio.sleep(0)
        return self._next(*args, **kwargs)


def asyncpg(connect: Recorder | None = None) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        connect=connect and connect.coro,
        Connection=object,
        PostgresConnectionError=type("PostgresConnectionError", (Exception,), {}),
        QueryCanceledError=type("QueryCanceledError", (Exception,), {}),
    )


def test_every_example_has_its_test():
    assert set(EXAMPLES) == COVERED
    assert len(EXAMPLES) == 29


def test_the_pages_hold_nothing_but_examples_and_the_list_of_what_is_left_out():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(re.findall(r"^## (?!Left out)", text, re.MULTILINE)) == len(EXAMPLE.findall(text)), page.name
        assert len(re.findall(r"^- `", text, re.MULTILINE)) == len(CORRECTION.findall(text)), page.name


# Container


@covers("container bootstrap")
def test_the_container_is_wired_and_resolves(example: Example):
    names = example.run(ServiceType=RegistryPolicy)
    assert isinstance(names["service"], RegistryPolicy)


@covers("complete error handling flow")
def test_a_query_is_retried_under_a_breaker_and_its_error_bears_the_correlation_id(
    example: Example, caplog: pytest.LogCaptureFixture
):
    query = Recorder(ConnectionRefusedError("postgresql://svc:hunter2@db"), ConnectionResetError, ["a user"])
    given = {"retry_with_exponential_backoff": retry_with_exponential_backoff, "logger": logging.getLogger("example")}
    names = example.run(execute_query=query.coro, db_circuit_breaker=CircuitBreaker(), **given)
    assert names["result"] == ["a user"]
    assert query.calls == [("SELECT * FROM users", names["correlation_id"])] * 3

    query = Recorder(ConnectionRefusedError("postgresql://svc:hunter2@db"))
    names = example.run(execute_query=query.coro, db_circuit_breaker=CircuitBreaker(), **given)
    (record,) = (record for record in caplog.records if record.name == "example")
    assert record.correlation_id == names["correlation_id"]
    assert len(query.calls) == 5
    assert "hunter2" not in caplog.text


# Errors


@covers("error context")
def test_an_error_carries_the_context_and_its_cause(example: Example):
    request, cause = types.SimpleNamespace(correlation_id=uuid4()), OSError("no route")
    with pytest.raises(InfraConnectionError) as caught:
        example.run(EnumInfraTransportType=EnumInfraTransportType, request=request, original_error=cause)
    assert caught.value.correlation_id == request.correlation_id
    assert caught.value.context.target_name == "postgresql-primary"
    assert caught.value.__cause__ is cause


@covers("correlation id assignment")
def test_a_correlation_id_is_taken_over_or_made(example: Example):
    told = uuid4()
    names = example.run(
        EnumInfraTransportType=EnumInfraTransportType,
        ModelInfraErrorContext=ModelInfraErrorContext,
        request=types.SimpleNamespace(correlation_id=None),
        event=types.SimpleNamespace(metadata={"correlation_id": str(told)}),
    )
    assert names["correlation_id"] == told
    assert isinstance(names["context"].correlation_id, UUID)


@covers("error sanitization")
def test_neither_the_bad_nor_the_good_errors_tell_a_secret(example: Example):
    given = {
        "InfraConnectionError": InfraConnectionError,
        "context": ModelInfraErrorContext(transport_type=EnumInfraTransportType.DATABASE),
        "password": "hunter2",
        "connection_string": "postgresql://svc:hunter2@db.example.com:5432/orders",
        "parsed_host": "db.example.com",
        "parsed_port": 5432,
        "database_name": "orders",
    }
    errors: list[InfraConnectionError] = []
    for statement in ast.parse(example.code).body:
        with pytest.raises(InfraConnectionError) as caught:
            Example(example.name, ast.unparse(statement)).run(**given)
        errors.append(caught.value)
    assert len(errors) == 4
    assert not any("hunter2" in error.model_dump_json() for error in errors)
    assert errors[1].model.context["host"] == errors[3].model.context["host"] == "db.example.com"
    assert errors[1].retry_count == 3


@covers("transport-aware error codes")
def test_the_code_of_a_connection_error_follows_the_transport(example: Example):
    example.run()


@covers("connect with retry")
def test_a_hand_written_retry_raises_our_error(example: Example, monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    connect = Recorder(ConnectionRefusedError("refused"))
    names = example.run(create_connection=connect.sync, Connection=object)
    with pytest.raises(InfraConnectionError, match="Failed to connect after 3 attempts") as caught:
        names["connect_with_retry"]("db.example.com", 5432)
    assert caught.value.retry_count == 3
    assert waits == [1, 2]


# The documents' own implementations, and what takes their place


def assert_takes_what_the_document_takes(ours: Callable[..., object], theirs: Callable[..., object]) -> None:
    """The same names in the same order, none of them required that the document leaves out."""
    mine, documented = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    assert list(mine)[: len(documented)] == list(documented)
    required = [name for name, parameter in mine.items() if parameter.default is inspect.Parameter.empty]
    assert set(required) <= {name for name in documented if documented[name].default is inspect.Parameter.empty}


@covers("implementation of retry_with_exponential_backoff")
def test_the_retry_function_takes_what_the_document_takes(example: Example):
    theirs = example.run()["retry_with_exponential_backoff"]
    assert_takes_what_the_document_takes(retry_with_exponential_backoff, theirs)
    assert run(theirs(Recorder(InfraConnectionError("down"), "rows").coro)) == "rows"


@covers("implementation of with_fallback")
def test_the_fallback_function_takes_what_the_document_takes(example: Example):
    theirs = example.run(UUID=UUID, InfraUnavailableError=InfraUnavailableError)["with_fallback"]
    assert_takes_what_the_document_takes(with_fallback, theirs)
    for function in (theirs, with_fallback):
        primary, fallback = Recorder(InfraTimeoutError("late")), Recorder("stale")
        assert run(function(primary.coro, fallback.coro, uuid4())) == ("stale", True)


@covers("implementation of with_credential_refresh")
def test_the_credential_function_takes_what_the_document_takes(example: Example):
    theirs = example.run(Callable=Callable, T=T, UUID=UUID)["with_credential_refresh"]
    assert_takes_what_the_document_takes(with_credential_refresh, theirs)


@covers("implementation of fetch_with_timeout_fallback")
def test_the_timeout_function_takes_what_the_document_takes(example: Example):
    theirs = example.run()["fetch_with_timeout_fallback"]
    assert_takes_what_the_document_takes(fetch_with_timeout_fallback, theirs)
    late = Recorder(TimeoutError)
    assert fetch_with_timeout_fallback(late.sync, lambda: "stale", timeout_seconds=0.5) == {
        "data": "stale",
        "source": "fallback",
        "degraded": True,
        "warning": "Primary source timed out, using fallback data",
    }
    assert fetch_with_timeout_fallback(lambda: "fresh", late.sync) == {
        "data": "fresh",
        "source": "primary",
        "degraded": False,
    }


@covers("implementation of CredentialRefreshManager")
def test_the_credential_manager_takes_what_the_document_takes(example: Example):
    theirs = example.run()["CredentialRefreshManager"]
    for method in ("__init__", "get_valid_credential", "call_with_auth"):
        assert_takes_what_the_document_takes(getattr(CredentialRefreshManager, method), getattr(theirs, method))

    class Provider:
        count = 0

        def refresh_credential(self) -> dict[str, object]:
            self.count += 1
            return {"token": self.count, "ttl_seconds": 3600}

    def use(*, credential: dict[str, object]) -> object:
        if credential["token"] == 1:
            raise InfraAuthenticationError("revoked")
        return credential["token"]

    for manager in (theirs(Provider()), CredentialRefreshManager(Provider())):
        assert manager.get_valid_credential()["token"] == 1
        assert manager.call_with_auth(use) == 2


@covers("implementation of CircuitBreaker", "implementation of CircuitBreaker in the rules")
def test_a_hand_written_breaker_can_raise_our_error(example: Example):
    names = example.run()
    if "CircuitBreakerConfig" in names:
        documented = names["CircuitBreakerConfig"]()
        ours = CircuitBreaker().config
        assert ours.failure_threshold == documented.failure_threshold
        assert ours.success_threshold == documented.success_threshold
        assert ours.recovery_timeout == documented.timeout.total_seconds()
        assert_takes_what_the_document_takes(CircuitBreaker.__init__, names["CircuitBreaker"].__init__)
        return
    breaker = names["CircuitBreaker"](failure_threshold=1)
    with pytest.raises(ConnectionError):
        breaker.call(Recorder(ConnectionError).sync)
    with pytest.raises(InfraUnavailableError, match="Circuit breaker is open") as caught:
        breaker.call(len, "")
    assert caught.value.circuit_state is EnumCircuitState.OPEN
    assert isinstance(caught.value.retry_after_seconds, float)


# The mixin


def documented_adapter(outcomes: Recorder) -> type[MixinAsyncCircuitBreaker]:
    names = EXAMPLES["mixin in an adapter"].run(MyConfig=dict, environment="test")

    class Adapter(names["MyInfrastructureAdapter"]):
        async def _do_connect(self) -> None:
            await outcomes.coro()

    return Adapter


@covers("mixin in an adapter")
def test_the_adapter_opens_its_circuit_and_recovers(example: Example):
    async def main() -> None:
        outcomes = Recorder(*[ConnectionRefusedError("refused")] * 5, None)
        adapter = documented_adapter(outcomes)({})
        for _ in range(5):
            with pytest.raises(ConnectionRefusedError):
                await adapter.connect()
        with pytest.raises(InfraUnavailableError, match="Circuit breaker is open") as caught:
            await adapter.connect()
        assert len(outcomes.calls) == 5
        assert 0 <= caught.value.retry_after_seconds <= 60
        assert caught.value.context.target_name == adapter.service_name == "my-service.test"

    run(main())


@covers("mixin configurations")
def test_an_adapter_takes_the_documented_configurations(example: Example):
    adapter = MixinAsyncCircuitBreaker()
    example.run(self=adapter, EnumInfraTransportType=EnumInfraTransportType)
    assert adapter.service_name == "cache-service"


@covers("mixin with retries")
def test_an_adapter_retries_by_hand_until_its_circuit_opens(example: Example):
    publish = example.run(uuid4=uuid4, asyncio=asyncio, InfraUnavailableError=InfraUnavailableError)[
        "publish_with_retry"
    ]

    async def main() -> None:
        adapter = MixinAsyncCircuitBreaker()
        adapter._init_circuit_breaker(threshold=4, service_name="events")
        producer = Recorder(ConnectionResetError("reset"))
        adapter._kafka_producer = types.SimpleNamespace(send=producer.coro)
        with pytest.raises(ConnectionResetError):
            await publish(adapter, {})
        assert asyncio.get_running_loop().time() == 1 + 2
        with pytest.raises(InfraUnavailableError, match="Circuit breaker is open"):
            await publish(adapter, {})
        assert len(producer.calls) == 4

    run(main())


@covers("mixin monitoring")
def test_an_adapter_shows_its_state(example: Example, caplog: pytest.LogCaptureFixture):
    adapter = documented_adapter(Recorder(ConnectionRefusedError("refused")))({})

    async def open_it() -> None:
        for _ in range(5):
            with pytest.raises(ConnectionRefusedError):
                await adapter.connect()

    asyncio.run(open_it())
    names = example.run(self=adapter, logger=logging.getLogger("example"), correlation_id=uuid4())
    assert names["is_open"] is True
    assert names["failure_count"] == 5
    assert isinstance(names["open_until"], float)
    (record,) = (record for record in caplog.records if record.name == "example")
    assert record.service_name == "my-service.test"


# The decorators


class ConnectionManager:
    """`async with acquire_connection() as conn: await conn.fetch(sql)`."""

    def __init__(self, *outcomes: object) -> None:
        self.queries = Recorder(*outcomes)

    @asynccontextmanager
    async def acquire_connection(self):
        yield types.SimpleNamespace(fetch=self.queries.coro)


@covers("circuit breaker")
def test_the_documented_breaker_opens_after_five_failures(example: Example):
    manager = ConnectionManager(ConnectionRefusedError("refused"))
    query = example.run(
        create_database_circuit_breaker=create_database_circuit_breaker, connection_manager=manager, Record=dict
    )["query_database"]

    async def main() -> None:
        for _ in range(5):
            with pytest.raises(ConnectionRefusedError):
                await query("SELECT 1")
        with pytest.raises(OnexError) as caught:
            await query("SELECT 1")
        assert isinstance(caught.value, InfraUnavailableError)

    run(main())
    assert len(manager.queries.calls) == 5


@covers("retry policy")
def test_the_documented_retry_makes_three_attempts(example: Example):
    manager = ConnectionManager(ConnectionResetError, TimeoutError, ["row"])
    query = example.run(
        create_database_retry_policy=create_database_retry_policy, connection_manager=manager, Record=dict
    )["query_with_retry"]
    assert run(query("SELECT 1")) == ["row"]
    assert len(manager.queries.calls) == 3


@covers("rate limiter")
def test_the_documented_limiter_lets_its_burst_pass(example: Example):
    names = example.run(create_api_rate_limiter=create_api_rate_limiter, Request=object, Response=dict)

    async def main() -> list[object]:
        requests = (names["handle_api_request"](object()) for _ in range(150))
        return await asyncio.gather(*requests, return_exceptions=True)

    answers = run(main())
    assert answers[:20] == [{"status": "ok"}] * 20
    assert isinstance(answers[-1], InfraRateLimitedError)


@covers("PostgreSQL connection manager")
def test_the_documented_stack_retries_within_its_breaker(example: Example):
    manager = ConnectionManager(*[ConnectionResetError("reset")] * 2, ["row"], ConnectionRefusedError("refused"))
    query = example.run(connection_manager=manager, Record=dict)["execute_query"]

    async def main() -> None:
        assert await query("SELECT 1") == ["row"]
        for _ in range(5):
            with pytest.raises(InfraConnectionError):
                await query("SELECT 1")
        with pytest.raises(InfraUnavailableError, match="Circuit breaker open"):
            await query("SELECT 1")

    run(main())
    assert len(manager.queries.calls) == 3 + 5 * 3


@covers("Kafka producer", "Vault client")
def test_the_documented_stacks_of_two_retry(example: Example):
    outcomes = Recorder(ConnectionResetError("reset"), {"key": "value"})
    names = example.run(
        kafka_producer=types.SimpleNamespace(send=outcomes.coro), vault_client=types.SimpleNamespace(read=outcomes.coro)
    )
    if "send_kafka_message" in names:
        assert run(names["send_kafka_message"]("orders", {})) is None
    else:
        assert run(names["get_vault_secret"]("path")) == {"key": "value"}
    assert len(outcomes.calls) == 2


# Recovery


@covers("exponential backoff")
def test_connecting_is_tried_again(example: Example):
    driver = asyncpg()
    connect = Recorder(driver.PostgresConnectionError(), driver.PostgresConnectionError(), "connection")
    driver.connect = connect.coro
    names = example.run(
        UUID=UUID,
        asyncpg=driver,
        config=types.SimpleNamespace(db_host="db.example.com", db_port=5432),
        retry_with_exponential_backoff=retry_with_exponential_backoff,
    )
    assert run(names["connect_to_database"](uuid4())) == "connection"
    assert connect.calls == [("db.example.com", 5432)] * 3

    connect.outcomes = [driver.PostgresConnectionError()]
    correlation_id = uuid4()
    with pytest.raises(InfraConnectionError, match="Database connection failed") as caught:
        run(names["connect_to_database"](correlation_id))
    assert caught.value.correlation_id == correlation_id
    assert len(connect.calls) == 3 + 5


@covers("circuit breaker for Kafka")
def test_publishing_stops_while_the_circuit_is_open(example: Example):
    class KafkaConnectionError(Exception):
        pass

    sent = Recorder(KafkaConnectionError("no broker"))
    publish = example.run(
        CircuitBreaker=CircuitBreaker,
        ModelCircuitBreakerConfig=ModelCircuitBreakerConfig,
        UUID=UUID,
        KafkaConnectionError=KafkaConnectionError,
        kafka_producer=types.SimpleNamespace(send=sent.coro),
    )["publish_with_circuit_breaker"]

    async def main() -> None:
        for _ in range(5):
            with pytest.raises(InfraUnavailableError, match="Kafka broker unavailable"):
                await publish("orders", b"", uuid4())
        with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as caught:
            await publish("orders", b"", uuid4())
        assert 0 < caught.value.retry_after_seconds <= 30

    run(main())
    assert len(sent.calls) == 5


@covers("cache fallback")
def test_a_late_database_is_answered_for_by_the_cache(example: Example, caplog: pytest.LogCaptureFixture):
    driver = asyncpg()
    database, cache = Recorder({"id": 1}, driver.QueryCanceledError()), Recorder(json.dumps({"id": 1, "stale": True}))
    get_user_data = example.run(
        UUID=UUID,
        asyncpg=driver,
        json=json,
        logger=logging.getLogger("example"),
        db=types.SimpleNamespace(fetchrow=database.coro),
        valkey=types.SimpleNamespace(get=cache.coro),
        with_fallback=with_fallback,
    )["get_user_data"]
    assert run(get_user_data("1", uuid4())) == {"id": 1}
    assert cache.calls == []
    assert run(get_user_data("1", uuid4())) == {"id": 1, "stale": True}
    assert [record.getMessage() for record in caplog.records if record.name == "example"] == [
        "Used cache fallback for user data"
    ]


@covers("Vault token refresh")
def test_a_refused_token_is_renewed_once(example: Example, monkeypatch: pytest.MonkeyPatch):
    class Unauthorized(Exception):  # noqa: N818
        pass

    monkeypatch.setitem(sys.modules, "hvac", types.SimpleNamespace(Client=object))
    read = Recorder(Unauthorized("403"), {"data": {"data": {"key": "value"}}})
    renew = Recorder({"auth": {"client_token": "second", "lease_duration": 3600}})
    client = types.SimpleNamespace(
        auth=types.SimpleNamespace(token=types.SimpleNamespace(renew_self=renew.sync)),
        secrets=types.SimpleNamespace(
            kv=types.SimpleNamespace(v2=types.SimpleNamespace(read_secret_version=read.sync))
        ),
    )
    names = example.run(
        UTC=UTC,
        UUID=UUID,
        datetime=datetime,
        timedelta=timedelta,
        Unauthorized=Unauthorized,
        InfraAuthenticationError=InfraAuthenticationError,
        ModelInfraErrorContext=ModelInfraErrorContext,
        EnumInfraTransportType=EnumInfraTransportType,
        with_credential_refresh=with_credential_refresh,
    )
    credential = names["VaultCredential"](client, "first", datetime.now(UTC) + timedelta(hours=1))
    assert run(names["read_secret_with_refresh"]("path", credential, uuid4())) == {"key": "value"}
    assert credential.token == "second"
    assert len(renew.calls) == 1
    assert len(read.calls) == 2


@covers("combined patterns")
def test_a_breaker_counts_an_exhausted_retry_once(example: Example):
    resilient_operation = example.run(
        Callable=Callable,
        T=T,
        CircuitBreaker=CircuitBreaker,
        UUID=UUID,
        retry_with_exponential_backoff=retry_with_exponential_backoff,
    )["resilient_operation"]
    operation, breaker = Recorder(ConnectionRefusedError("refused")), CircuitBreaker()

    async def main() -> None:
        for _ in range(5):
            with pytest.raises(InfraConnectionError):
                await resilient_operation(operation.coro, breaker, uuid4())
        with pytest.raises(InfraUnavailableError, match="Circuit breaker open"):
            await resilient_operation(operation.coro, breaker, uuid4())

    run(main())
    assert len(operation.calls) == 5 * 3
