"""The id in and out of HTTP headers, Kafka headers and gRPC metadata; nothing that comes in is trusted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import pytest

from omnibase_infra.utils import (
    CorrelationContext,
    extract_grpc,
    extract_http,
    extract_kafka,
    inject_grpc,
    inject_http,
    inject_kafka,
)
from omnibase_infra.utils import util_correlation_carriers as carriers

ONE = UUID("11111111-1111-4111-8111-111111111111")
TWO = UUID("22222222-2222-4222-8222-222222222222")
NIL = UUID(int=0)
TRACE = UUID("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
VALID_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")
every_carrier = pytest.mark.parametrize("extract", [extract_http, extract_kafka, extract_grpc])


def test_the_digits_of_an_id_may_be_of_either_case() -> None:
    assert extract_http({"x-correlation-id": str(TRACE).upper()}) == TRACE
    assert extract_kafka([("correlation_id", TRACE.hex.upper().encode())]) == TRACE


def is_new(found: UUID) -> bool:
    return found.version == 4 and found not in {ONE, TWO, TRACE, NIL}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Correlation-ID": str(ONE)},
        {"x-correlation-id": ONE.hex},
        {"X-CORRELATION-ID": str(ONE).upper()},
        {b"X-Correlation-Id": str(ONE).encode()},
        [("x-correlation-id", str(ONE))],
        [(b"accept", b"*/*"), (b"x-correlation-id", str(ONE).encode())],
        [["x-correlation-id", f" \t{ONE} "]],
        (("x-correlation-id", str(ONE)), ("x-correlation-id", str(ONE).upper())),
        iter([("x-correlation-id", str(ONE))]),
        {"traceparent": TRACEPARENT, "x-correlation-id": str(ONE)},
    ],
)
def test_http_headers_are_read_in_every_form_that_clients_and_servers_give_them(headers) -> None:
    assert extract_http(headers) == ONE


@every_carrier
def test_without_a_carrier_or_without_an_id_a_new_one_begins(extract: Callable[[object], UUID]) -> None:
    found = {extract(None), extract({}), extract([]), extract({"accept": "*/*"})}
    assert len(found) == 4
    assert all(map(is_new, found))


HOSTILE = [
    "",
    " ",
    "hunter2",
    str(NIL),
    NIL.hex,
    f"{{{ONE}}}",
    ONE.urn,
    f"{ONE}x",
    f"{ONE}\n",
    f"{ONE}, {TWO}",
    str(ONE)[:-1],
    ONE.hex[:16] + "-" + ONE.hex[16:],
    "1" * 31 + "\u0661",  # a digit, but not one of ASCII
    "\uff11" * 32,
    "0x" + ONE.hex[2:],
    "1_" * 16,
    "1" * 33,
    " " * 600 + str(ONE),
    "1" * 1_000_000,
    b"\xff\xfe" * 16,
    b"\x00" * 16,
    ONE.bytes,
    None,
    7,
    [str(ONE)],
]


@every_carrier
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_that_is_no_uuid_is_ignored(extract: Callable[[object], UUID], value: object) -> None:
    assert is_new(extract([("x-correlation-id", value)]))
    assert extract([("x-correlation-id", value), ("traceparent", TRACEPARENT)]) == TRACE


@every_carrier
def test_an_id_that_is_given_twice_with_two_meanings_is_ignored(extract: Callable[[object], UUID]) -> None:
    assert is_new(extract([("x-correlation-id", str(ONE)), ("X-Correlation-ID", str(TWO))]))
    assert is_new(extract([("x-correlation-id", str(ONE)), ("X-Correlation-ID", "hunter2")]))
    assert is_new(extract([("traceparent", TRACEPARENT), ("Traceparent", f"00-{ONE.hex}-00f067aa0ba902b7-01")]))


@every_carrier
def test_entries_that_are_no_pair_of_texts_are_passed_over(extract: Callable[[object], UUID]) -> None:
    entries = ["ab", b"ab", None, 7, (), ("x-correlation-id",), (1, 2), (None, None), ("a", "b", "c"), {"a": "b"}]
    assert extract([*entries, ("x-correlation-id", str(ONE))]) == ONE


@pytest.mark.parametrize(
    "value",
    [
        TRACEPARENT,
        TRACEPARENT[:-1] + "0",
        TRACEPARENT[:-2] + "ff",
        f"  {TRACEPARENT}\t",
        "01" + TRACEPARENT[2:],
        "fe" + TRACEPARENT[2:] + "-what-the-future-will-be-like",
        "cc" + TRACEPARENT[2:] + "-",
    ],
)
@every_carrier
def test_the_trace_id_of_a_traceparent_is_the_id(extract: Callable[[object], UUID], value: str) -> None:
    assert extract({"traceparent": value}) == TRACE
    assert extract([("Traceparent", value.encode())]) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "ff" + TRACEPARENT[2:],
        "0" + TRACEPARENT,
        "0G" + TRACEPARENT[2:],
        TRACEPARENT + "-",
        TRACEPARENT + "-more",
        TRACEPARENT + ".",
        "cc" + TRACEPARENT[2:] + ".more",
        "cc" + TRACEPARENT[2:] + "0",
        TRACEPARENT.upper(),
        TRACEPARENT.replace("-", "_"),
        TRACEPARENT[:-1],
        TRACEPARENT[:-3],
        TRACEPARENT[3:],
        f"00-{NIL.hex}-00f067aa0ba902b7-01",
        f"00-{TRACE.hex}-0000000000000000-01",
        f"00-{TRACE.hex[1:]}-00f067aa0ba902b7-01",
        f"00-{TRACE.hex}-0f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01",
        f"{TRACEPARENT}\n",
        f"{TRACEPARENT}, {TRACEPARENT}",
        "cc" + TRACEPARENT[2:] + "-" + "a" * 600,
    ],
)
@every_carrier
def test_a_traceparent_that_breaks_the_recommendation_is_ignored(extract: Callable[[object], UUID], value: str) -> None:
    assert is_new(extract({"traceparent": value}))


@pytest.mark.parametrize(
    "headers",
    [
        [("correlation_id", str(ONE).encode())],
        [("Correlation_Id", ONE.hex.encode()), ("x-correlation-id", str(TWO).encode())],
        (("X-Correlation-ID", str(ONE).encode()), ("empty", None)),
        {"correlation_id": str(ONE)},
        [("correlation_id", b"hunter2"), ("x-correlation-id", str(ONE).encode()), ("traceparent", TRACEPARENT)],
    ],
)
def test_kafka_headers_are_read_under_both_names(headers) -> None:
    assert extract_kafka(headers) == ONE


def test_http_headers_are_written_as_a_new_mapping_or_a_new_list() -> None:
    given = {"accept": "*/*"}
    pairs = [("accept", "*/*"), ("accept", "text/html")]
    with CorrelationContext(ONE):
        assert inject_http() == {"X-Correlation-ID": str(ONE)}
        assert inject_http(given) == {"accept": "*/*", "X-Correlation-ID": str(ONE)}
        assert inject_http(pairs) == [*pairs, ("X-Correlation-ID", str(ONE))]
    assert given == {"accept": "*/*"}
    assert len(pairs) == 2


def test_an_id_that_was_there_is_replaced_whatever_its_case() -> None:
    assert inject_http({"x-CORRELATION-id": str(TWO), "a": "b"}, ONE) == {"a": "b", "X-Correlation-ID": str(ONE)}
    assert inject_kafka([("Correlation_ID", b"x"), ("a", b"b"), ("correlation_id", b"y")], ONE) == [
        ("a", b"b"),
        ("correlation_id", str(ONE).encode()),
    ]
    assert inject_grpc((("x-correlation-id", str(TWO)), ("a-bin", b"\x00")), str(ONE)) == (
        ("a-bin", b"\x00"),
        ("x-correlation-id", str(ONE)),
    )


def test_without_a_current_id_nothing_is_added() -> None:
    assert inject_http({"a": "b"}, sampled=True) == {"a": "b"}
    assert inject_kafka() == []
    pairs = [("a", "b")]
    assert inject_http(pairs) == pairs
    assert inject_http(pairs) is not pairs
    assert inject_grpc() == ()


@pytest.mark.parametrize("inject", [inject_http, inject_kafka, inject_grpc])
def test_a_malformed_id_is_refused_without_being_echoed(inject: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="correlation_id must be a UUID") as caught:
        inject(None, "hunter2")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="nil UUID, which no traceparent can hold"):
        inject(None, NIL, sampled=True)


@pytest.mark.parametrize(("sampled", "flags"), [(True, "01"), (False, "00")])
def test_a_traceparent_is_written_on_demand_with_the_flag_that_was_asked_for(*, sampled: bool, flags: str) -> None:
    http = inject_http(None, ONE, sampled=sampled)["traceparent"]
    kafka = dict(inject_kafka(None, ONE, sampled=sampled))["traceparent"].decode()
    grpc = str(dict(inject_grpc(None, ONE, sampled=sampled))["traceparent"])
    assert len({http, kafka, grpc}) == 3  # each message is a span of its own
    for value in (http, kafka, grpc):
        assert VALID_TRACEPARENT.fullmatch(value)
        assert value.split("-")[1] == ONE.hex
        assert value.endswith(flags)
        assert extract_http({"traceparent": value}) == ONE


def test_a_parent_id_is_never_all_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([0, 0, 7])
    monkeypatch.setattr(carriers.secrets, "randbits", lambda bits: next(drawn))
    assert inject_http(None, ONE, sampled=True)["traceparent"] == f"00-{ONE.hex}-0000000000000007-01"


def test_a_traceparent_that_a_tracer_has_written_stays() -> None:
    assert inject_http({"Traceparent": TRACEPARENT}, ONE, sampled=False) == {
        "Traceparent": TRACEPARENT,
        "X-Correlation-ID": str(ONE),
    }


def test_importing_the_helpers_imports_no_pydantic_and_no_framework() -> None:
    code = "import sys; from omnibase_infra.utils import *; print({'pydantic', 'structlog', 'httpx'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
