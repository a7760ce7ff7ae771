"""Traces: what is read of them, and what is said of the rest."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.simulator.driver_errors import CATALOGUE
from omnibase_infra.simulator.model_scenario import ModelScenario
from omnibase_infra.simulator.scenario_files import TRANSPORTS, load_scenario
from omnibase_infra.simulator.trace import MOST_SAMPLES, Trace, TraceWarning, from_trace, read_trace
from omnibase_infra.simulator.trace_errors import catalogue_name

Write = Callable[..., Path]
Span = dict[str, object]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, name: str = "trace") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def failing(**changed: object) -> ModelScenario:
    return load_scenario("failover", "database").model_copy(update=changed)


def refused(path: Path, transport: str = "database") -> str:
    with pytest.raises(ProtocolConfigurationError) as caught:
        read_trace(path, transport)
    assert caught.value.message.startswith(f"{path}: ")
    return caught.value.message.removeprefix(f"{path}: ")


def span(start: float, seconds: float, error: str | None = None, kind: object = 3, **attributes: str) -> Span:
    """A span as OpenTelemetry's JSON has it; in a name, two underscores stand for a point."""
    known = {**attributes, **({} if error is None else {"error__type": error})}
    return {
        "name": "call",
        "kind": kind,
        "startTimeUnixNano": str(round(start * 1e9)),
        "endTimeUnixNano": str(round((start + seconds) * 1e9)),
        "attributes": [
            {"key": name.replace("__", "."), "value": {"stringValue": value}} for name, value in known.items()
        ],
        "status": {} if error is None else {"code": 2},
    }


def exported(*spans: Span) -> dict[str, object]:
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


HEADER = "header: must have one of duration_seconds and duration_ms, with error and timestamp if known: "

# CSV


def test_a_csv_gives_latencies_in_order_errors_by_their_share_and_the_rate(write: Write) -> None:
    trace = read_trace(
        write(
            "timestamp,duration_seconds,error\n"
            "100.0,0.03,\n"
            "100.5,0.01,\n"
            "101.0,5,asyncpg.exceptions.ConnectionDoesNotExistError\n"
            "102.0,0.02,\n"
        ),
        "database",
    )
    assert trace == Trace((0.01, 0.02, 0.03), 0.25, {"asyncpg.ConnectionDoesNotExistError": 1}, 1.5, ())


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("duration_ms\n10\n20\n", (0.01, 0.02)),
        ("duration_ms , other\n 10 , x\n", (0.01,)),
        ('"duration_seconds","error"\n"0.5",""\n', (0.5,)),
        ("\ufeffduration_seconds\n0\n\n", (0.0,)),
        ("duration_seconds\r\n1e-3\r\n", (0.001,)),
    ],
)
def test_a_csv_may_be_in_milliseconds_quoted_spaced_and_have_further_columns(
    write: Write, text: str, samples: tuple[float, ...]
) -> None:
    trace = read_trace(write(text), "database")
    assert (trace.samples, trace.rate) == (pytest.approx(samples), None)


@pytest.mark.parametrize(
    "moments", [("0", "2"), ("1700000000000", "1700000002000"), ("2023-11-14T22:13:20Z", "2023-11-14 22:13:22")]
)
def test_a_time_of_day_is_seconds_milliseconds_or_iso_8601(write: Write, moments: tuple[str, str]) -> None:
    rows = "\n".join(f"{moment},1" for moment in moments)
    assert read_trace(write(f"timestamp,duration_seconds\n{rows}\n"), "database").rate == 0.5


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the process cannot be changed here")
def test_a_time_of_day_without_a_zone_is_utc_wherever_the_process_runs(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("timestamp,duration_ms\n2023-11-14T22:13:20Z,1\n2023-11-14T22:13:24,1\n")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/New_York")
        time.tzset()
        rate = read_trace(path, "database").rate
    time.tzset()
    assert rate == 0.25


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"{HEADER}is empty"),
        (
            "duration_second\n1\n",
            f"{HEADER}duration_second: unknown; did you mean duration_seconds?",
        ),
        (
            "0.1,0.2\n",
            f"{HEADER}its first line is no header",
        ),
        (
            "duration_seconds,duration_ms\n1,1\n",
            f"{HEADER}has both",
        ),
        ("duration_ms\n1\nhunter2\n", "line 3: duration_ms: must be a number, 0 or more"),
        ("duration_ms\n-1\n", "line 2: duration_ms: must be a number, 0 or more"),
        ("duration_ms\nnan\n", "line 2: duration_ms: must be a number, 0 or more"),
        ("duration_ms,error\n1,,\n", "line 2: a cell: must be one of 2, as many as the header has"),
        (
            "timestamp,duration_ms\nyesterday,1\n",
            "line 2: timestamp: must be seconds or milliseconds since 1970, or as ISO 8601 has it",
        ),
        ("duration_ms,error\n1,timeout\n", "has no answered call to take times from"),
        ("duration_ms\n", "has no answered call to take times from"),
    ],
)
def test_a_bad_csv_is_refused_with_the_place_and_what_is_allowed(write: Write, text: str, sentence: str) -> None:
    assert refused(write(text)) == sentence


def test_a_file_that_cannot_be_read_or_is_no_text_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent.csv") == "cannot be read: No such file or directory"
    (tmp_path / "binary.csv").write_bytes(b"duration_ms\n\xff\n")
    assert refused(tmp_path / "binary.csv") == "is not UTF-8 text"


def test_calls_without_a_time_of_day_are_left_out_of_the_rate_and_told_of(write: Write) -> None:
    trace = read_trace(write("timestamp,duration_ms\n0,1\n,1\n4,1\n"), "database")
    assert (trace.rate, trace.notes) == (0.25, ("1 call without a time of day, left out of the rate",))


# OpenTelemetry


def as_document(*spans: Span) -> str:
    return json.dumps(exported(*spans))


def as_indented_document(*spans: Span) -> str:
    return json.dumps(exported(*spans), indent=1)


def as_document_broken_after_a_span(*spans: Span) -> str:
    return json.dumps(exported(*spans)).replace("}, {", "},\n{")


def as_lines(*spans: Span) -> str:
    return "\n\n".join(json.dumps(exported(one)) for one in spans) + "\n"


@pytest.mark.parametrize("text", [as_document, as_indented_document, as_document_broken_after_a_span, as_lines])
def test_an_export_is_read_whole_or_a_document_a_line(write: Write, text: Callable[..., str]) -> None:
    spans = [span(10, 0.02), span(11, 0.01), span(12, 3, "asyncpg.exceptions.TooManyConnectionsError"), span(14, 0.03)]
    trace = read_trace(write(text(*spans)), "database")
    assert trace.samples == pytest.approx((0.01, 0.02, 0.03))
    assert (trace.error_share, trace.errors) == (0.25, {"asyncpg.TooManyConnectionsError": 1})
    assert (trace.rate, trace.notes) == (0.75, ())


def test_an_error_s_type_is_found_in_the_attributes_in_the_exception_s_event_and_by_its_status(write: Write) -> None:
    raised = span(2, 1) | {
        "status": {"code": "STATUS_CODE_ERROR"},
        "events": [
            {
                "name": "exception",
                "timeUnixNano": "1",
                "attributes": [{"key": "exception.type", "value": {"stringValue": "httpx.ReadTimeout"}}],
            }
        ],
    }
    spans = [
        span(0, 1),
        span(1, 1, "503"),
        raised,
        span(3, 1, "_OTHER", http__response__status_code="429"),
        span(4, 1, "timeout"),
        span(5, 1) | {"status": {"code": 2}},
        span(6, 1) | {"status": {"code": 2}, "attributes": [{"key": "http.status_code", "value": {"intValue": 504}}]},
    ]
    trace = read_trace(write(as_document(*spans)), "network")
    expected = (
        "httpx.503",
        "httpx.ReadTimeout",
        "httpx.429",
        "httpx.504",
        "builtin.TimeoutError",
        "builtin.RuntimeError",
    )
    assert trace.errors == dict.fromkeys(sorted(expected), 1)
    assert trace.notes == ("1 error of the unknown type _OTHER, as builtin.RuntimeError",)


@pytest.mark.parametrize(
    ("transport", "attributes"),
    [
        ("database", {"db__system": "postgresql"}),
        ("valkey", {"db__system__name": "redis"}),
        ("kafka", {"messaging__system": "kafka"}),
        ("grpc", {"rpc__system": "grpc"}),
        ("network", {"http__request__method": "GET"}),
        ("vault", {"http__method": "GET"}),
        ("consul", {}),
    ],
)
def test_only_calls_to_the_transport_count_and_the_others_are_told_of(
    write: Write, transport: str, attributes: dict[str, str]
) -> None:
    own = span(0, 0.01, kind="SPAN_KIND_CLIENT", **attributes)
    others = [span(0, 1, kind=2), span(0, 1, kind="SPAN_KIND_INTERNAL"), span(0, 1, messaging__system="rabbitmq")]
    trace = read_trace(write(as_document(own, *others)), transport)
    assert trace.samples == (0.01,)
    assert trace.notes == (
        "1 span internal left out",
        "1 span of a server left out",
        "1 span of another transport left out",
    )


def test_a_trace_of_another_transport_s_calls_says_whose_they_are(write: Write) -> None:
    path = write(as_document(span(0, 1, db__system="redis"), span(0, 1, db__system="redis")))
    assert refused(path) == "has no answered call to take times from (2 spans of valkey left out)"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "has no spans: must be OpenTelemetry's resourceSpans, or CSV with a header"),
        ("[1, 2]", "has no spans: must be OpenTelemetry's resourceSpans, or CSV with a header"),
        ("{", "line 1, column 2: is not valid JSON"),
        ('{"a": \n "hunter2}', "line 2, column 2: is not valid JSON"),
        (as_lines(span(0, 1)) + "{", "line 2, column 2: is not valid JSON"),
        (
            as_document(span(1, 1) | {"endTimeUnixNano": "0"}),
            "span 1: startTimeUnixNano and endTimeUnixNano must be nanoseconds, the end not earlier",
        ),
        (
            as_lines(span(1, 1), span(1, 1) | {"startTimeUnixNano": "x"}),
            "span 2: startTimeUnixNano and endTimeUnixNano must be nanoseconds, the end not earlier",
        ),
        ("[" * 100_000, "line 1: is nested too deeply for a trace"),
    ],
)
def test_a_bad_export_is_refused_with_the_place(write: Write, text: str, sentence: str) -> None:
    assert refused(write(text)) == sentence


# What errors become


@pytest.mark.parametrize(
    ("transport", "error", "name"),
    [
        ("database", "psycopg.errors.AdminShutdown", "psycopg.AdminShutdown"),
        ("database", "TooManyConnectionsError", "asyncpg.TooManyConnectionsError"),
        ("database", "53300", "asyncpg.TooManyConnectionsError"),
        ("database", "57P01", "asyncpg.AdminShutdownError"),
        ("database", "ConnectionRefusedError", "builtin.ConnectionRefusedError"),
        ("database", "asyncio.TimeoutError", "builtin.TimeoutError"),
        ("database", "socket.gaierror", "builtin.gaierror"),
        ("kafka", "aiokafka.errors.NotLeaderForPartitionError", "aiokafka.NotLeaderForPartitionError"),
        ("kafka", "_MSG_TIMED_OUT", "confluent_kafka._MSG_TIMED_OUT"),
        ("network", "429", "httpx.429"),
        ("network", "507", "httpx.404"),
        ("network", "599", "httpx.500"),
        ("network", "aiohttp.client_exceptions.ServerDisconnectedError", "aiohttp.ServerDisconnectedError"),
        ("network", "timeout", "builtin.TimeoutError"),
        ("vault", "503", "hvac.VaultDown"),
        ("vault", "hvac.exceptions.Forbidden", "hvac.Forbidden"),
        ("consul", "500", "consul.500"),
        ("consul", "403", "consul.ACLPermissionDenied"),
        ("valkey", "redis.exceptions.ReadOnlyError", "redis.ReadOnlyError"),
        ("valkey", "ReadOnlyError", "valkey.ReadOnlyError"),
        ("grpc", "14", "grpc.UNAVAILABLE"),
        ("grpc", "DEADLINE_EXCEEDED", "grpc.DEADLINE_EXCEEDED"),
        ("grpc", "503", "grpc.503"),
        ("network", "my.own.Error", None),
        ("database", "ZZZZZ", None),
        ("network", "", None),
        ("grpc", "99", None),
    ],
)
def test_an_error_is_found_in_the_catalogue_by_class_code_or_status(
    transport: str, error: str, name: str | None
) -> None:
    assert catalogue_name(error, transport) == name


@pytest.mark.parametrize("transport", TRANSPORTS)
@given(error=st.text(max_size=12) | st.integers(100, 599).map(str))
def test_whatever_an_error_is_called_the_name_is_one_of_the_catalogue(transport: str, error: str) -> None:
    assert catalogue_name(error, transport) in (None, *CATALOGUE)


def test_text_that_is_no_name_is_not_shown(write: Write) -> None:
    trace = read_trace(write("duration_ms,error\n1,\n1,password is hunter2!\n"), "database")
    assert trace.notes == ("1 error of the unknown type (text), as builtin.RuntimeError",)


# Into a scenario


def test_a_scenario_takes_latencies_errors_and_rate_and_keeps_what_happens_but_not_its_checks(write: Write) -> None:
    path = write("timestamp,duration_ms,error\n0,1,\n1,2,\n2,3,53300\n")
    before = failing()
    after = from_trace(path, before)
    assert after.dependency.latency.samples == pytest.approx((0.001, 0.002))
    assert after.dependency.error_share == pytest.approx(1 / 3)
    assert after.dependency.errors == {"asyncpg.TooManyConnectionsError": 1.0}
    assert after.load == before.load.model_copy(update={"rate": 1.0})
    assert (after.events, after.seconds, after.dependency.pool) == (
        before.events,
        before.seconds,
        before.dependency.pool,
    )
    assert before.checks
    assert after.checks == ()
    assert ModelScenario.model_validate_json(after.model_dump_json(exclude_defaults=True)) == after


def test_without_times_of_day_the_rate_stays(write: Write) -> None:
    assert from_trace(write("duration_ms\n1\n"), failing()).load == failing().load


def test_a_closed_loop_keeps_its_clients_and_that_is_told(write: Write) -> None:
    path = write("timestamp,duration_ms\n0,1\n1,2\n")
    load = failing().load.model_copy(update={"rate": None, "clients": 3})
    told: list[str] = []
    assert from_trace(path, failing(load=load), tell=told.append).load == load
    assert told == ["the rate is not used: the scenario's load are so many clients"]


def test_what_counts_as_something_else_is_a_warning_unless_somebody_is_to_be_told(write: Write) -> None:
    path = write("duration_ms,error\n1,\n1,my.Error\n")
    with pytest.warns(TraceWarning, match="1 error of the unknown type my.Error, as builtin.RuntimeError"):
        from_trace(path, failing())
    told: list[str] = []
    from_trace(path, failing(), tell=told.append)
    assert told == ["1 error of the unknown type my.Error, as builtin.RuntimeError"]


def test_many_latencies_are_thinned_alike_each_time_and_keep_their_quantiles(write: Write) -> None:
    random = Random(1)
    times = [random.lognormvariate(-4, 1) for _ in range(40_000)]
    path = write("duration_seconds\n" + "\n".join(map(repr, times)))
    thinned = read_trace(path, "database").samples
    assert len(thinned) == MOST_SAMPLES
    assert set(thinned) <= set(times)
    assert list(thinned) == sorted(thinned)
    assert quantiles(thinned, n=1000) == pytest.approx(quantiles(times, n=1000), rel=0.03)
    assert read_trace(path, "database").samples == thinned


@given(st.integers(MOST_SAMPLES + 1, 3 * MOST_SAMPLES))
def test_thinning_takes_evenly_from_first_to_last(count: int) -> None:
    from omnibase_infra.simulator.trace import _thinned

    picked = _thinned(list(range(count)))  # type: ignore[arg-type]
    gaps = {after - before for before, after in pairwise(picked)}
    assert len(picked) == MOST_SAMPLES
    assert gaps <= {count // MOST_SAMPLES, count // MOST_SAMPLES + 1}
    assert picked[0] <= count // MOST_SAMPLES
    assert count - 1 - picked[-1] <= count // MOST_SAMPLES


def _memory(read: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _lines(number: int) -> Iterator[str]:
    return (json.dumps(exported(span(second, 0.01, db__system="postgresql"))) for second in range(number))


def test_a_file_of_a_document_a_line_is_never_held_as_a_whole(write: Write) -> None:
    path = write("\n".join(_lines(5_000)))
    assert _memory(lambda: read_trace(path, "database")) < path.stat().st_size / 3
