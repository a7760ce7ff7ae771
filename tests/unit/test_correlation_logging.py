"""Log records and structlog events bear the id and the attempt of the call in which they were made."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from uuid import UUID

import pytest
from tests.support.virtual_time import clock as loop_clock
from tests.support.virtual_time import run

from omnibase_infra.enums import EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraTimeoutError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
    flush_observers,
)
from omnibase_infra.infrastructure.resilience.observers import dispatch
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import (
    CorrelationContext,
    CorrelationFilter,
    SanitizingFilter,
    attempt_var,
    correlation_processor,
    get_attempt,
    get_correlation_id,
)

ONE = UUID("11111111-1111-4111-8111-111111111111")
TWO = UUID("22222222-2222-4222-8222-222222222222")
APPLICATION = logging.getLogger("tests.correlation")
OURS = "omnibase_infra.resilience"


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.addFilter(CorrelationFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def shown(self) -> list[tuple[object, object]]:
        return [(vars(record)["correlation_id"], vars(record)["attempt"]) for record in self.records]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    handler = Collector()
    for logger in (APPLICATION, logging.getLogger(OURS)):
        logger.addHandler(handler)
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.manager._clear_cache()
    yield handler
    for logger in (APPLICATION, logging.getLogger(OURS)):
        logger.removeHandler(handler)


@pytest.fixture
def audience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, "_audience", dispatch._Audience())
    yield
    assert flush_observers(5)


def test_a_record_bears_the_current_id_and_attempt(collected: Collector) -> None:
    with CorrelationContext(ONE):
        APPLICATION.info("one")
        token = attempt_var.set(3)
        APPLICATION.info("two")
        attempt_var.reset(token)
    assert collected.shown == [(str(ONE), 1), (str(ONE), 3)]


def test_a_record_outside_any_call_can_be_formatted_all_the_same(collected: Collector) -> None:
    APPLICATION.info("started")
    assert collected.shown == [("-", 1)]
    formatter = logging.Formatter("%(correlation_id)s %(attempt)d %(message)s")
    assert formatter.format(collected.records[0]) == "- 1 started"


def test_what_a_record_brings_itself_stays_and_none_is_nothing(collected: Collector) -> None:
    with CorrelationContext(ONE):
        APPLICATION.info("theirs", extra={"correlation_id": TWO, "attempt": 7})
        APPLICATION.info("none", extra={"correlation_id": None, "attempt": None})
    assert collected.shown == [(TWO, 7), (str(ONE), 1)]


def test_it_lets_every_record_pass_and_gets_on_with_the_sanitiser(collected: Collector) -> None:
    collected.addFilter(SanitizingFilter())
    with CorrelationContext(ONE):
        APPLICATION.info("to %s", "postgresql://svc:hunter2@db/orders")
    (record,) = collected.records
    assert "hunter2" not in record.getMessage()
    assert collected.shown == [(str(ONE), 1)]


def test_on_a_queue_handler_a_record_bears_the_id_of_the_thread_that_made_it(collected: Collector) -> None:
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    entry = logging.handlers.QueueHandler(queue)
    entry.addFilter(CorrelationFilter())
    record = logging.makeLogRecord({"msg": "x"})
    with CorrelationContext(ONE):
        entry.handle(record)
    writer = threading.Thread(target=lambda: collected.handle(queue.get()))
    writer.start()
    writer.join()
    assert collected.shown == [(str(ONE), 1)]


def test_the_structlog_processor_adds_the_id_where_there_is_one() -> None:
    assert correlation_processor(None, "info", {"event": "x"}) == {"event": "x", "attempt": 1}
    with CorrelationContext(ONE):
        assert correlation_processor(None, "info", {"event": "x", "correlation_id": None}) == {
            "event": "x",
            "correlation_id": str(ONE),
            "attempt": 1,
        }
        kept = {"event": "x", "correlation_id": "theirs", "attempt": 9}
        assert correlation_processor(None, "info", kept) is kept
        assert kept == {"event": "x", "correlation_id": "theirs", "attempt": 9}


def test_structlog_itself_writes_the_id_and_the_attempt() -> None:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed")
    output = structlog.testing.CapturingLogger()
    log = structlog.wrap_logger(output, processors=[correlation_processor, structlog.processors.JSONRenderer()])
    with CorrelationContext(ONE):
        log.info("saved", rows=3)
    (call,) = output.calls
    assert call.args == (f'{{"rows": 3, "event": "saved", "correlation_id": "{ONE}", "attempt": 1}}',)


def stack(calls: list[tuple[UUID | None, int]]) -> None:
    """Three attempts that fail, and a circuit that opens."""

    @create_database_circuit_breaker(failure_threshold=1)
    @create_database_retry_policy(min_wait=0, max_wait=0)
    def load() -> None:
        calls.append((get_correlation_id(), get_attempt()))
        APPLICATION.info("loading")
        raise ConnectionError

    with pytest.raises(InfraConnectionError):
        load()


def test_every_line_of_one_call_bears_its_id_and_the_number_of_its_attempt(collected: Collector) -> None:
    calls: list[tuple[UUID | None, int]] = []
    with CorrelationContext(ONE):
        stack(calls)
    assert calls == [(ONE, 1), (ONE, 2), (ONE, 3)]
    lines = [record.getMessage().split(",")[0] for record in collected.records]
    assert [(line, *pair) for line, pair in zip(lines, collected.shown, strict=True)] == [
        ("loading", str(ONE), 1),
        ("stack.<locals>.load: attempt 1 failed (connection", str(ONE), 1),
        ("loading", str(ONE), 2),
        ("stack.<locals>.load: attempt 2 failed (connection", str(ONE), 2),
        ("loading", str(ONE), 3),
        ("stack.<locals>.load: gave up after 3 attempts (InfraConnectionError)", str(ONE), 3),
        ("circuit 'db:stack.<locals>.load' went from closed to open", str(ONE), 1),
    ]


def test_what_an_observer_logs_on_its_thread_bears_the_id_of_the_call(audience: None, collected: Collector) -> None:
    threads: set[str] = set()

    def note(event: ModelResilienceEvent) -> None:
        threads.add(threading.current_thread().name)
        APPLICATION.warning("heard of %s", event.kind)

    add_observer(note)
    for one in (ONE, TWO):
        with CorrelationContext(one):
            stack([])
    create_database_circuit_breaker(name="tripped").trip()
    assert flush_observers(5)
    lines = zip(collected.records, collected.shown, strict=True)
    heard = [pair for record, pair in lines if "heard of" in record.msg]
    assert heard == [*((str(one), number) for one in (ONE, TWO) for number in (1, 2, 3, 1)), ("-", 1)]
    assert threads == {"onex-observers"}


def test_a_rejection_within_a_later_attempt_is_heard_of_with_its_number(audience: None, collected: Collector) -> None:
    limiter = create_database_rate_limiter(1e-6, 1, name="orders")
    heard: list[tuple[EnumResilienceEvent, UUID | None, int]] = []
    add_observer(lambda event: heard.append((event.kind, get_correlation_id(), get_attempt())))

    @create_database_retry_policy(min_wait=0, max_wait=0, retry=lambda state: state.attempt_number < 2)
    @limiter
    def load() -> None:
        raise ConnectionError

    with CorrelationContext(ONE), pytest.raises(Exception, match="Rate limit"):
        load()
    assert flush_observers(5)
    assert heard == [
        (EnumResilienceEvent.RETRY, ONE, 1),
        (EnumResilienceEvent.REJECTED, ONE, 2),
    ]


def test_giving_up_at_the_time_limit_is_heard_of_with_the_number_of_the_attempt_it_cut_off(audience: None) -> None:
    heard: list[tuple[UUID | None, int]] = []
    add_observer(lambda event: heard.append((get_correlation_id(), get_attempt())))

    async def main() -> None:
        @create_database_retry_policy(max_elapsed=2, clock=loop_clock, rng=lambda: 0.0)
        async def load() -> None:
            if get_attempt() > 1:
                await asyncio.sleep(60)
            raise ConnectionError

        with CorrelationContext(ONE), pytest.raises(InfraTimeoutError):
            await load()

    run(main())
    assert flush_observers(5)
    assert heard == [(ONE, 1), (ONE, 2)]
