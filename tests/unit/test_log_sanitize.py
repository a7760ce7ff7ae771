"""Log records and structlog events: no handler sees a foreign secret, and everything else is as it was."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import logging
import logging.config
import logging.handlers
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from uuid import UUID

import pytest

from omnibase_infra.enums import EnumFailureKind
from omnibase_infra.infrastructure.resilience import create_database_retry_policy
from omnibase_infra.utils import CorrelationContext, SanitizingFilter, sanitize_processor

ONE = UUID("11111111-1111-4111-8111-111111111111")
SECRET = "S3CR3T/hunter#2@x"
DSN = f"postgresql://svc:{SECRET}@db.example.com:5432/app"
TOKEN = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
EXTRA = "%(message)s|%(detail)s"


class Seen(logging.Handler):
    """Keeps each record as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(copy.copy(record))


def unshared(name: str = "app") -> logging.Logger:
    return logging.Logger(name, logging.DEBUG)  # noqa: LOG001 - so that nothing is left of it after the test


class Stream:
    """A logger of its own with one handler, and what that handler wrote."""

    def __init__(self, form: str = "%(levelname)s %(message)s") -> None:
        self.out = io.StringIO()
        self.handler = logging.StreamHandler(self.out)
        self.handler.setFormatter(logging.Formatter(form))
        self.logger = unshared()
        self.logger.addHandler(self.handler)

    @property
    def text(self) -> str:
        return self.out.getvalue()


@pytest.fixture(params=["on the handler", "on the logger"])
def stream(request: pytest.FixtureRequest) -> Stream:
    made = Stream()
    (made.handler if request.param == "on the handler" else made.logger).addFilter(SanitizingFilter())
    return made


@pytest.fixture(autouse=True)
def no_logging_errors(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What a handler cannot format, logging prints to standard error, arguments and all."""
    yield
    assert capsys.readouterr().err == ""


def raised(make: Callable[[], BaseException]) -> BaseException:
    try:
        raise make()
    except BaseException as error:
        return error


def chained() -> BaseException:
    """A failure whose cause, and whose cause's context, print what they were called with."""
    try:
        try:
            try:
                raise KeyError(f"password={SECRET!r}")
            except KeyError:
                raise ConnectionError(f"cannot reach {DSN}")  # noqa: B904 - the implicit context is what is tested
        except ConnectionError as refused:
            raise RuntimeError(f"gave up, Authorization: Bearer {TOKEN}") from refused
    except RuntimeError as error:
        return error


def _from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


MESSAGES = {
    "psycopg": f"connection failed: failed to resolve host '{SECRET}@db': [Errno -2] Name or service not known",
    "psycopg statement": f"syntax error at or near \"x\"\nLINE 1: ALTER USER svc PASSWORD '{SECRET}' x\n         ^",
    "httpx": f"Client error '401 Unauthorized' for url 'http://user:{SECRET}@api.example.com/v1?page=2'",
    "httpx header": f"Illegal header value {f'Bearer {TOKEN}'.encode()!r}",
    "redis": f"unknown command 'X', with args beginning with: '{SECRET}' ",
    "pgconn": f"<FinishedPGconn host='db.example.com' password={SECRET.encode()!r} port=5432>",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_no_drivers_message_shows_its_secret_in_message_or_traceback(stream: Stream, message: str) -> None:
    error = raised(lambda: OSError(message))
    stream.logger.error("query failed: %s", error, exc_info=error)
    assert "query failed: " in stream.text
    assert "OSError: " in stream.text
    assert SECRET not in stream.text
    assert TOKEN not in stream.text


def test_the_whole_chain_of_a_traceback_is_cleaned_and_otherwise_complete(stream: Stream) -> None:
    error = chained()
    stream.logger.error("call failed", exc_info=error)
    assert SECRET not in stream.text
    assert TOKEN not in stream.text
    assert "ConnectionError: cannot reach postgresql://***@db.example.com:5432/app" in stream.text
    assert "RuntimeError: gave up, Authorization: ***" in stream.text
    assert "KeyError: " in stream.text
    assert stream.text.count("Traceback (most recent call last):") == 3
    assert "During handling of the above exception, another exception occurred:" in stream.text
    assert "The above exception was the direct cause of the following exception:" in stream.text
    assert 'in chained\n    raise ConnectionError(f"cannot reach {DSN}")' in stream.text


def test_an_exception_group_and_notes_are_cleaned_line_by_line(stream: Stream) -> None:
    statement = ValueError(f"syntax error\nLINE 1: select '{SECRET}' fromm t\n        ^")
    statement.add_note(f"dsn: {DSN}")
    group = ExceptionGroup("all failed", [raised(lambda: statement), ExceptionGroup("inner", [OSError(DSN)])])
    stream.logger.error("call failed", exc_info=group)
    assert SECRET not in stream.text
    assert "    | LINE 1: ***\n    |         ^\n    | dsn: postgresql://***@db.example.com:5432/app\n" in stream.text
    assert "      | OSError: postgresql://***@db.example.com:5432/app\n      +----" in stream.text


def test_the_lines_of_the_callers_in_stack_info_are_cleaned(stream: Stream) -> None:
    stream.logger.error("here", stack_info=connect("postgresql://svc:hunter2@db.example.com/app"))
    assert 'connect("postgresql://***@db.example.com/app")' in stream.text


def connect(dsn: str) -> bool:
    return bool(dsn)


def test_the_exceptions_themselves_are_left_as_they_are(stream: Stream) -> None:
    error = chained()
    before = repr(error), repr(error.__cause__), error.__traceback__, error.__suppress_context__
    stream.logger.error("call failed: %s", error, exc_info=error, extra={"error": error})
    assert (repr(error), repr(error.__cause__), error.__traceback__, error.__suppress_context__) == before
    assert SECRET in repr(error.__cause__)


def test_an_onex_error_and_the_drivers_error_below_it_come_out_clean(stream: Stream) -> None:
    @create_database_retry_policy(2, 0, 0, sleep=lambda _: None)
    async def fetch() -> None:
        raise ConnectionRefusedError(111, f"refused: {DSN}")

    try:
        with CorrelationContext(ONE):
            asyncio.run(fetch())
    except ConnectionError as error:
        stream.logger.exception("fetch failed, correlation id %s", error.correlation_id)
    assert SECRET not in stream.text
    assert f"fetch failed, correlation id {ONE}" in stream.text
    assert "ConnectionRefusedError: [Errno 111] refused: postgresql://***@db.example.com:5432/app" in stream.text
    assert "InfraConnectionError: [ONEX_CORE_131_DATABASE_CONNECTION_ERROR]" in stream.text


@pytest.mark.parametrize(
    ("template", "args", "shown"),
    [
        ("password=%s for %s", ("hunter2", "svc"), "password=*** for svc"),
        ("%(dsn)s as %(user)s", ({"dsn": DSN, "user": "svc"},), "postgresql://***@db.example.com:5432/app as svc"),
        ("with %(password)s", ({"password": "hunter2"},), "with ***"),
        ("settings %s", ({"password": "hunter2", "port": 5432},), "settings {'password': '***', 'port': 5432}"),
        ("%d%% of %r", (99, f"Bearer {TOKEN}"), "99% of 'Bearer ***'"),
        ("no arguments, 100% password=hunter2", (), "no arguments, 100% password=***"),
        ("GET %s %d", (f"/v1?token={TOKEN}", 200), "GET /v1?token=*** 200"),
    ],
)  # fmt: skip
def test_a_message_is_cleaned_after_its_arguments_are_in_it(
    stream: Stream, template: str, args: tuple[object, ...], shown: str
) -> None:
    stream.logger.warning(template, *args)
    assert stream.text == f"WARNING {shown}\n"


def test_clean_arguments_stay_apart_for_formatters_that_read_them() -> None:
    stream, seen = Stream(), Seen()
    stream.logger.addFilter(SanitizingFilter())
    stream.logger.addHandler(seen)
    stream.logger.info('%s - "%s %s HTTP/%s" %d', "203.0.113.7:4711", "GET", "/v1?page=2", "1.1", 200)
    stream.logger.info('%s - "%s %s HTTP/%s" %d', "203.0.113.7:4711", "GET", "/v1?token=hunter2", "1.1", 200)
    assert [record.msg for record in seen.records] == ['%s - "%s %s HTTP/%s" %d'] * 2
    assert [record.args for record in seen.records] == [
        ("203.0.113.7:4711", "GET", "/v1?page=2", "1.1", 200),
        ("203.0.113.7:4711", "GET", "/v1?token=***", "1.1", 200),
    ]


def test_no_raw_text_is_left_anywhere_in_the_record_for_a_later_handler() -> None:
    stream, seen = Stream(EXTRA), Seen()
    stream.logger.handlers.insert(0, unfiltered := logging.StreamHandler(io.StringIO()))
    unfiltered.setFormatter(logging.Formatter("%(message)s"))
    stream.handler.addFilter(SanitizingFilter())
    stream.logger.addHandler(seen)
    error = chained()
    stream.logger.error("password=%s", SECRET, exc_info=error, stack_info=True, extra={"detail": DSN, "err": error})
    (record,) = seen.records
    assert SECRET not in repr(vars(record))
    assert TOKEN not in repr(vars(record))
    assert record.exc_info is None
    assert record.stack_info is not None
    assert record.stack_info.startswith("Stack (most recent call last):")
    assert unfiltered.stream.getvalue().count(SECRET) == 3  # the one that came before the filter: proof of the leak


def test_several_handlers_with_the_filter_write_the_same() -> None:
    stream, second = Stream(), Stream()
    stream.logger.addHandler(second.handler)
    for handler in stream.logger.handlers:
        handler.addFilter(SanitizingFilter())
    stream.logger.error("dsn %s", DSN, exc_info=chained())
    assert stream.text == second.text
    assert SECRET not in stream.text


def test_a_queue_handler_passes_on_a_clean_record() -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    sender, stream = unshared(), Stream()
    sender.addHandler(handler := logging.handlers.QueueHandler(records))
    handler.addFilter(SanitizingFilter())
    sender.error("dsn %s", DSN, exc_info=chained(), extra={"detail": f"token={TOKEN}"})
    record = records.get_nowait()
    assert SECRET not in repr(vars(record))
    assert TOKEN not in repr(vars(record))
    listener = logging.handlers.QueueListener(records, stream.handler)
    listener.handle(record)
    assert stream.text.startswith("ERROR dsn postgresql://***@db.example.com:5432/app\nTraceback")


def test_a_child_logger_needs_the_filter_on_the_handler() -> None:
    root, child, stream = unshared(), unshared("app.db"), Stream()
    child.parent = root
    root.addHandler(stream.handler)
    root.addFilter(SanitizingFilter())
    child.error("password=hunter2")
    assert "hunter2" in stream.text
    stream.handler.addFilter(SanitizingFilter())
    child.error("password=hunter3")
    assert "hunter3" not in stream.text


def test_the_filter_can_be_configured_by_its_name() -> None:
    name = "test_the_filter_can_be_configured_by_its_name"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"clean": {"()": "omnibase_infra.utils.SanitizingFilter", "allow_internal_ips": True}},
            "handlers": {"out": {"class": "logging.handlers.BufferingHandler", "capacity": 9, "filters": ["clean"]}},
            "loggers": {name: {"handlers": ["out"], "propagate": False}},
        }
    )
    logger = logging.getLogger(name)
    logger.error("password=hunter2 at 10.0.0.1")
    (handler,) = logger.handlers
    assert isinstance(handler, logging.handlers.BufferingHandler)
    assert [record.getMessage() for record in handler.buffer] == ["password=*** at 10.0.0.1"]


@dataclass
class Settings:
    host: str
    password: str


class Request:
    def __repr__(self) -> str:
        return "<Request GET /v1/items>"


REQUEST = Request()


class Connection:
    """Shows more in its `repr` than in its `str`."""

    def __str__(self) -> str:
        return "connection 7"

    def __repr__(self) -> str:
        return f"<Connection to {DSN}>"


class Broken:
    def __repr__(self) -> str:
        raise ValueError(SECRET)


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        (DSN, "postgresql://***@db.example.com:5432/app"),
        (f"Bearer {TOKEN}".encode(), "Bearer ***"),
        ({"api_key": SECRET, "port": 5432}, {"api_key": "***", "port": 5432}),
        ([("X-Vault-Token", SECRET)], [["X-Vault-Token", "***"]]),
        (ValueError(f"invalid dsn {DSN}"), "ValueError: invalid dsn postgresql://***@db.example.com:5432/app"),
        (Settings("db", SECRET), "Settings(host='db', password='***')"),
        (Connection(), "connection 7"),
        (Broken(), "Broken"),
        ((1, DSN), [1, "postgresql://***@db.example.com:5432/app"]),
    ],
)
def test_an_extra_is_cleaned_whatever_its_type(detail: object, shown: object) -> None:
    stream, seen = Stream(), Seen()
    stream.logger.addFilter(SanitizingFilter())
    stream.logger.addHandler(seen)
    stream.logger.error("failed", extra={"detail": detail})
    assert vars(seen.records[0])["detail"] == shown


@pytest.mark.parametrize("key", ["password", "X-Api-Key", "db_password", "refresh_token"])
@pytest.mark.parametrize("value", ["hunter2", 4711, REQUEST], ids=["text", "number", "object"])
def test_an_extra_whose_key_names_a_secret_is_masked(key: str, value: object) -> None:
    record = logging.makeLogRecord({"msg": "failed", key: value})
    SanitizingFilter().filter(record)
    assert vars(record)[key] == "***"


@pytest.mark.parametrize(
    "detail",
    [
        *("orders-db", "tokenizer", "", str(ONE), ONE, 5432, 4111111111111111, 2.5, True, None, REQUEST),
        *({"host": "db.example.com", "port": 5432}, ["a", 1], float("nan"), EnumFailureKind.TIMEOUT),
    ],
)
def test_an_innocent_extra_stays_the_very_same_object(detail: object) -> None:
    record = logging.makeLogRecord({"msg": "failed", "detail": detail, "correlation_id": ONE})
    SanitizingFilter().filter(record)
    assert vars(record)["detail"] is detail
    assert vars(record)["correlation_id"] is ONE


@pytest.mark.parametrize(
    ("template", "args"),
    [
        ("connected to %s:%d in %.3f s", ("db.example.com", 5432, 0.25)),
        ("100% done", ()),
        ("author %(author)s wrote a tokenizer", ({"author": "Kim"},)),
        ("correlation id %s", (str(ONE),)),
        ("wrong password for user %s", ("svc",)),
        ("%s after %s", (OSError(111, "refused"), (1, 2))),
        ("%(error)s after %(waits)s", ({"error": OSError(111, "refused"), "waits": (1, 2)},)),
        ("%d of %.1f", (4711, float("inf"))),
    ],
)
def test_an_innocent_record_is_written_as_without_the_filter(template: str, args: tuple[object, ...]) -> None:
    plain, filtered = Stream(), Stream()
    filtered.handler.addFilter(SanitizingFilter())
    error = raised(lambda: _from(LookupError("no row for order 4711"), raised(lambda: OSError(111, "refused"))))
    for stream in (plain, filtered):
        stream.logger.error(template, *args, exc_info=error)
    assert filtered.text == plain.text
    assert "Traceback" in plain.text


def test_a_record_without_an_exception_but_with_exc_info_is_written_as_ever(stream: Stream) -> None:
    stream.logger.error("failed", exc_info=True)  # noqa: LOG014 - that is the point
    assert stream.text == "ERROR failed\nNoneType: None\n"


class Unspeakable(Exception):  # noqa: N818 - it is what it says
    def __str__(self) -> str:
        raise ValueError(SECRET)

    __repr__ = __str__


@pytest.mark.parametrize(
    ("template", "args", "shown"),
    [
        ("%d tokens", (SECRET,), "%d tokens (could not be formatted: TypeError)"),
        ("two: %s %s", (SECRET,), "two: %s %s (could not be formatted: TypeError)"),
        ("password=hunter2 %s", (Unspeakable(),), "password=*** %s (could not be formatted: ValueError)"),
        (Unspeakable(), (), "Unspeakable (could not be formatted: ValueError)"),
    ],
)
def test_what_cannot_be_formatted_is_said_without_its_arguments(
    stream: Stream, template: str, args: tuple[object, ...], shown: str
) -> None:
    stream.logger.error(template, *args)
    assert stream.text == f"ERROR {shown}\n"


def test_nothing_that_is_logged_makes_the_filter_raise() -> None:
    stream = Stream(EXTRA)
    stream.handler.addFilter(SanitizingFilter())
    error = raised(Unspeakable)
    stream.logger.error("failed", exc_info=error, extra={"detail": error})
    assert stream.text.startswith("failed|Unspeakable\nTraceback")
    assert SECRET not in stream.text


@pytest.mark.parametrize(
    "exc_info", [True, (), ("a", "b", "c"), (ValueError, Unspeakable(), None), (1, 2), "text", ValueError(DSN)]
)
def test_a_malformed_exc_info_is_no_reason_to_raise(exc_info: object) -> None:
    record = logging.makeLogRecord({"msg": "failed", "exc_info": exc_info})
    assert SanitizingFilter().filter(record)
    assert logging.Formatter().format(record).startswith("failed")
    assert SECRET not in repr(vars(record))


@pytest.mark.parametrize("allowed", [False, True])
def test_internal_addresses_stay_when_they_are_allowed(allowed: bool) -> None:
    stream, seen = Stream("%(message)s %(detail)s %(address)s"), Seen()
    stream.handler.addFilter(SanitizingFilter(allow_internal_ips=allowed))
    stream.logger.addHandler(seen)
    address = ip_address("10.0.0.4")
    extra = {"detail": "10.0.0.3", "address": address}
    stream.logger.error("%s refused", "10.0.0.1", exc_info=OSError("10.0.0.2"), extra=extra)
    if allowed:
        assert stream.text == "10.0.0.1 refused 10.0.0.3 10.0.0.4\nOSError: 10.0.0.2\n"
        assert seen.records[0].args == ("10.0.0.1",)
        assert vars(seen.records[0])["address"] is address
    else:
        assert stream.text == "*** refused *** ***\nOSError: ***\n"


@pytest.mark.parametrize("allowed", [False, True])
def test_what_an_earlier_formatter_left_in_the_record_is_cleaned(allowed: bool) -> None:
    record = logging.makeLogRecord(
        {
            "msg": "x",
            "message": f"{DSN} at 10.0.0.1",
            "exc_text": f"OSError: {DSN}",
            "exc_info": (OSError, OSError(), None),
        }
    )
    SanitizingFilter(allow_internal_ips=allowed).filter(record)
    assert record.message == f"postgresql://***@db.example.com:5432/app at {'10.0.0.1' if allowed else '***'}"
    assert record.exc_text == "OSError: postgresql://***@db.example.com:5432/app"
    assert record.exc_info is None


def test_the_processor_cleans_an_event_without_structlog() -> None:
    event = {
        "event": f"cannot reach {DSN}",
        "exc_info": chained(),
        "stack": f"Stack:\n  connect(password={SECRET!r})",
        "password": 4711,
        "headers": {"Authorization": f"Bearer {TOKEN}", "Accept": "*/*"},
        "error": OSError(f"bad DSN {DSN}"),
        "correlation_id": ONE,
        "attempt": 3,
        "author": "Kim",
    }
    cleaned = sanitize_processor(None, "error", dict(event))
    assert cleaned.pop("exception") != ""
    assert cleaned == {
        "event": "cannot reach postgresql://***@db.example.com:5432/app",
        "stack": "Stack:\n  connect(password='***')",
        "password": "***",
        "headers": {"Authorization": "***", "Accept": "*/*"},
        "error": "OSError: bad DSN postgresql://***@db.example.com:5432/app",
        "correlation_id": str(ONE),
        "attempt": 3,
        "author": "Kim",
    }
    assert event["headers"] == {"Authorization": f"Bearer {TOKEN}", "Accept": "*/*"}


@pytest.mark.parametrize("how", ["the exception", "its triple", "True", "formatted"])
def test_every_form_of_exc_info_becomes_the_clean_exception(how: str) -> None:
    try:
        raise chained()
    except BaseException as error:
        triple = type(error), error, error.__traceback__
        event: dict[str, object] = {"event": "failed", "password_for": "svc"}
        match how:
            case "formatted":
                event["exception"] = logging.Formatter().formatException(triple)
            case _:
                event["exc_info"] = {"the exception": error, "its triple": triple, "True": True}[how]
        cleaned = sanitize_processor(None, "error", event)
    assert "exc_info" not in cleaned
    text = str(cleaned["exception"])
    assert "RuntimeError: gave up, Authorization: ***" in text
    assert "ConnectionError: cannot reach postgresql://***@db.example.com:5432/app" in text
    assert SECRET not in text


def test_an_exception_group_is_cleaned_in_an_event_too() -> None:
    group = ExceptionGroup("all failed", [ValueError(f"syntax error\nLINE 1: select '{SECRET}' fromm t")])
    formatted = logging.Formatter().formatException((type(group), group, None))
    for event in ({"exc_info": group}, {"exception": formatted}, {"exc_info": group, "exception": "another"}):
        assert "    | LINE 1: ***\n" in str(sanitize_processor(None, "error", dict(event))["exception"])


@pytest.mark.parametrize("exc_info", [True, 1, None, False, ()])
def test_exc_info_without_an_exception_adds_nothing_to_an_event(exc_info: object) -> None:
    assert sanitize_processor(None, "error", {"event": "failed", "exc_info": exc_info}) == {"event": "failed"}


def test_an_event_that_asks_for_no_traceback_gets_none_while_an_exception_is_handled() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        assert sanitize_processor(None, "error", {"event": "failed", "exc_info": False}) == {"event": "failed"}


def test_the_processor_never_raises() -> None:
    unspeakable = Unspeakable()
    cleaned = sanitize_processor(None, "error", {"event": unspeakable, "exc_info": unspeakable, "error": unspeakable})
    assert cleaned["event"] == cleaned["error"] == "Unspeakable"
    assert SECRET not in repr(cleaned)


def test_a_structlog_application_writes_no_secret() -> None:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed: its processor is not tested")
    out = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            sanitize_processor,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    ).bind(correlation_id=str(ONE), dsn=DSN)
    try:
        raise chained()
    except RuntimeError:
        log.exception("query %s failed", "orders", token=TOKEN, user="svc")
    shown = json.loads(out.getvalue())
    assert SECRET not in out.getvalue()
    assert TOKEN not in out.getvalue()
    assert shown["correlation_id"] == str(ONE)
    assert shown["event"] == "query orders failed"
    assert shown["level"] == "error"
    assert shown["dsn"] == "postgresql://***@db.example.com:5432/app"
    assert "RuntimeError: gave up, Authorization: ***" in shown["exception"]


def test_structured_tracebacks_of_structlog_are_cleaned_with_their_local_variables() -> None:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed: its processor is not tested")
    password = SECRET
    event: dict[str, object] = {"event": "failed"}
    try:
        raise ValueError(f"invalid dsn {DSN} {len(password)}")
    except ValueError as error:
        event["exc_info"] = error
    formatter = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=True))
    raw = formatter(None, "error", event)
    assert SECRET in json.dumps(raw)
    cleaned = sanitize_processor(None, "error", raw)
    assert SECRET not in json.dumps(cleaned)
    assert "postgresql://***@db.example.com:5432/app" in json.dumps(cleaned)


@pytest.fixture
def through_structlog() -> tuple[logging.Logger, io.StringIO]:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed: its processor is not tested")
    stream = Stream()
    stream.handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                sanitize_processor,
                structlog.processors.JSONRenderer(),
            ]
        )
    )
    return stream.logger, stream.out


def test_foreign_records_through_structlogs_formatter_keep_a_clean_traceback(
    through_structlog: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, out = through_structlog
    logger.error("dsn %s", DSN, exc_info=chained())
    shown = json.loads(out.getvalue())
    assert SECRET not in out.getvalue()
    assert "RuntimeError: gave up, Authorization: ***" in shown["exception"]


def test_the_filter_keeps_an_event_of_structlog_structured(
    through_structlog: tuple[logging.Logger, io.StringIO],
) -> None:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed: its processor is not tested")
    logger, out = through_structlog
    seen = Seen()
    logger.addFilter(SanitizingFilter())
    logger.addHandler(seen)
    log = structlog.wrap_logger(logger, processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter])
    log.error("failed", dsn=DSN, request=REQUEST, exc_info=chained())
    (record,) = seen.records
    assert isinstance(record.msg, dict)
    assert record.msg["request"] is REQUEST
    assert SECRET not in repr(record.msg)
    shown = json.loads(out.getvalue())
    assert shown["dsn"] == "postgresql://***@db.example.com:5432/app"
    assert "KeyError: " in shown["exception"]
