"""One id from a client through real servers, and through the objects in which real drivers give headers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.errors import InfraConnectionError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import (
    CorrelationContext,
    CorrelationFilter,
    CorrelationMiddleware,
    extract_grpc,
    extract_http,
    extract_kafka,
    get_attempt,
    get_correlation_id,
    inject_grpc,
    inject_http,
    inject_kafka,
)

pytestmark = pytest.mark.integration

ONE = UUID("11111111-1111-4111-8111-111111111111")


def test_one_id_goes_from_a_header_through_the_documented_stack_to_the_final_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    applications = pytest.importorskip("starlette.applications", reason="starlette is not installed")
    responses = pytest.importorskip("starlette.responses")
    routing = pytest.importorskip("starlette.routing")
    caplog.set_level(logging.DEBUG)
    caplog.handler.addFilter(added := CorrelationFilter())
    attempts: list[tuple[UUID | None, int]] = []
    errors: list[InfraConnectionError] = []
    events: list[ModelResilienceEvent] = []

    async def main():
        @create_database_circuit_breaker(clock=loop_clock)
        @create_database_retry_policy(clock=loop_clock)
        @create_database_rate_limiter(clock=loop_clock)
        async def query() -> None:
            attempts.append((get_correlation_id(), get_attempt()))
            logging.getLogger("shop").info("query")
            raise ConnectionError

        async def orders(request):
            try:
                await query()
            except InfraConnectionError as error:
                errors.append(error)
                return responses.PlainTextResponse(error.message, error.http_status)

        app = applications.Starlette(routes=[routing.Route("/orders", orders)])
        app.add_middleware(CorrelationMiddleware)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            with CorrelationContext(ONE):
                headers = inject_http({"accept": "text/plain"})
            return await client.get("/orders", headers=headers)

    remove = add_observer(events.append, inline=True)
    try:
        answer = run(main())
    finally:
        remove()
        caplog.handler.removeFilter(added)
    assert answer.status_code == 503
    assert extract_http(answer.headers) == ONE
    assert attempts == [(ONE, 1), (ONE, 2), (ONE, 3)]
    assert [error.correlation_id for error in errors] == [ONE]
    assert [event.correlation_id for event in events] == [ONE] * 3
    ours = [record for record in caplog.records if record.name in {"shop", "omnibase_infra.resilience"}]
    assert [(vars(record)["correlation_id"], vars(record)["attempt"]) for record in ours] == [
        (str(ONE), number) for number in (1, 1, 2, 2, 3, 3)
    ]


@pytest.fixture
def server() -> Iterator[str]:
    """A uvicorn that answers with the id that was current, in the handler and in a thread that it asks."""
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")

    async def app(scope, receive, send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(0.001)
            body = f"{get_correlation_id()} {await asyncio.to_thread(get_correlation_id)}".encode()
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(CorrelationMiddleware(app), port=0, log_level="error", lifespan="off", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join()


def test_a_real_server_never_mixes_the_ids_of_a_hundred_requests(server: str) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")

    async def main() -> None:
        async with httpx.AsyncClient() as client:

            async def ask(value: UUID) -> None:
                with CorrelationContext(value):
                    answer = await client.get(server, headers=inject_http())
                assert answer.text == f"{value} {value}"
                assert extract_http(answer.headers) == value

            await asyncio.gather(*(ask(uuid4()) for _ in range(100)))
            new = await client.get(server, headers={"X-Correlation-ID": "x" * 5_000})
            assert new.text.split() == [str(extract_http(new.headers))] * 2

    asyncio.run(main())


def test_the_headers_of_requests_are_read_and_written(server: str) -> None:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    with requests.Session() as session:
        answer = session.get(server, headers=inject_http(session.headers, ONE), timeout=10)
        assert session.headers.get("X-Correlation-ID") is None
    assert answer.text == f"{ONE} {ONE}"
    assert extract_http(answer.headers) == ONE


def test_the_headers_of_aiohttp_are_read_and_written(server: str) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.get(server, headers=inject_http(None, ONE)) as answer:
            assert await answer.text() == f"{ONE} {ONE}"
            assert extract_http(answer.headers) == ONE
            assert extract_http(answer.raw_headers) == ONE

    asyncio.run(main())


def test_httpx_headers_that_are_there_twice_are_ambiguous() -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    twice = httpx.Headers([("X-Correlation-ID", str(ONE)), ("X-Correlation-ID", str(uuid4()))])
    assert extract_http(twice).version == 4
    assert extract_http(twice) != ONE
    assert extract_http(httpx.Headers(inject_http(twice, ONE))) == ONE
    assert extract_http(httpx.Headers(inject_http(twice, ONE)).raw) == ONE


Handler = Callable[[bytes, object], Awaitable[bytes]]


@asynccontextmanager
async def grpc_server(grpc, handler: Handler) -> AsyncIterator[str]:
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(handler)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", {"Get": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def test_grpc_metadata_carries_the_id_to_a_real_server_and_back() -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

    async def handler(request: bytes, context) -> bytes:
        with CorrelationContext(extract_grpc(context.invocation_metadata())) as current:
            context.set_trailing_metadata(inject_grpc())
            return str(current).encode()

    async def main() -> None:
        async with grpc_server(grpc, handler) as target, grpc.aio.insecure_channel(target) as channel:
            call = channel.unary_unary("/shop.Orders/Get")
            ids = [uuid4() for _ in range(50)]
            calls = [call(b"", metadata=inject_grpc([("tenant", "a")], value, sampled=True)) for value in ids]
            assert await asyncio.gather(*calls) == [str(value).encode() for value in ids]
            assert extract_grpc(await calls[7].trailing_metadata()) == ids[7]
            new = call(b"")
            assert UUID((await new).decode()) == extract_grpc(await new.trailing_metadata())

            def blocking() -> bytes:
                with grpc.insecure_channel(target) as plain:
                    return plain.unary_unary("/shop.Orders/Get")(b"", metadata=inject_grpc(None, ONE), timeout=10)

            assert await asyncio.to_thread(blocking) == str(ONE).encode()

    asyncio.run(main())


def test_kafka_headers_are_taken_by_the_real_clients_and_given_back() -> None:
    kafka = pytest.importorskip("aiokafka.record.default_records", reason="aiokafka is not installed")
    builder = kafka.DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=10_000,
    )  # fmt: skip
    builder.append(0, timestamp=0, key=None, value=b"1", headers=inject_kafka([("a", b"b")], ONE))
    (record,) = kafka.DefaultRecordBatch(bytes(builder.build()))
    assert ("a", b"b") in record.headers
    assert extract_kafka(record.headers) == ONE
