"""What is written into a carrier is read from it again, and no input whatever makes reading fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnibase_infra.models.envelope import ModelEnvelope
from omnibase_infra.utils import extract_grpc, extract_http, extract_kafka, inject_grpc, inject_http, inject_kafka

ids = st.uuids().filter(lambda value: value.int != 0)
flags = st.none() | st.booleans()
names = st.sampled_from(["x-correlation-id", "X-Correlation-ID", "correlation_id", "traceparent", "TraceParent"])
scalars = st.none() | st.text() | st.binary() | st.integers() | st.floats() | st.uuids()
near_misses = st.from_regex(r"\A[0-9a-fA-F]{2}-[0-9a-f]{30,34}-[0-9a-f]{14,18}-[0-9a-f]{1,3}(-.*)?\Z") | st.uuids().map(
    str
)
values = scalars | near_misses | near_misses.map(str.encode)
entries = st.tuples(names | scalars, values) | scalars | st.lists(scalars, max_size=3)
hostile = st.lists(entries, max_size=8) | st.dictionaries(names | st.text(), values, max_size=8) | st.none()
readers = pytest.mark.parametrize("extract", [extract_http, extract_kafka, extract_grpc])


@readers
@given(carrier=hostile)
def test_reading_gives_a_usable_id_whatever_comes_in(extract, carrier) -> None:
    found = extract(carrier)
    assert isinstance(found, UUID)
    assert found.int != 0


@given(ids, flags, st.lists(st.tuples(st.text(), st.text())))
def test_http_headers_go_round(value: UUID, sampled: bool | None, others: list[tuple[str, str]]) -> None:
    written = inject_http(others, value, sampled=sampled)
    assert extract_http(written) == value
    assert extract_http([(name.encode(), text.encode()) for name, text in written]) == value


@given(ids, flags)
def test_a_traceparent_alone_carries_the_id(value: UUID, sampled: bool) -> None:
    written = inject_http(None, value, sampled=bool(sampled))
    del written["X-Correlation-ID"]
    assert extract_http(written) == value


@given(ids, flags, st.lists(st.tuples(st.text(), st.binary())))
def test_kafka_headers_go_round(value: UUID, sampled: bool | None, others: list[tuple[str, bytes]]) -> None:
    before = list(others)
    assert extract_kafka(inject_kafka(others, value, sampled=sampled)) == value
    assert others == before


@given(ids, flags, st.lists(st.tuples(st.text(), st.text() | st.binary())))
def test_grpc_metadata_goes_round(value: UUID, sampled: bool | None, others: list[tuple[str, str | bytes]]) -> None:
    assert extract_grpc(inject_grpc(others, value, sampled=sampled)) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)
zones = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(timezone)
moments = st.datetimes(timezones=zones)


@given(json_values, ids, ids | st.none(), moments.filter(lambda moment: 2 < moment.year < 9998))
def test_an_envelope_goes_round_through_kafka_and_through_json(payload, value, cause, moment) -> None:
    envelope = ModelEnvelope[object](
        correlation_id=value, causation_id=cause, occurred_at=moment, source="shop", event_type="a.b", payload=payload
    )
    headers, body = envelope.to_kafka()
    assert json.loads(body) == payload
    assert ModelEnvelope[object].from_kafka(headers, body) == envelope
    assert ModelEnvelope[object].model_validate_json(envelope.model_dump_json()) == envelope
    assert envelope.occurred_at == moment
    assert envelope.occurred_at.tzinfo is UTC
    assert extract_kafka(headers) == value


@given(moments)
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))))
def test_a_moment_is_taken_or_refused_but_never_breaks_out(moment: datetime) -> None:
    def make() -> ModelEnvelope[int]:
        return ModelEnvelope(occurred_at=moment, source="shop", event_type="a", payload=1)

    try:
        moment.astimezone(UTC)
    except OverflowError:
        with pytest.raises(ValueError, match="years 1 to 9999"):
            make()
    else:
        assert make().occurred_at == moment


fields = st.sampled_from([*ModelEnvelope.model_fields, "other"])
texts = st.text() | st.binary() | st.none() | st.just("shop") | st.uuids().map(str) | moments.map(datetime.isoformat)


@given(st.lists(st.tuples(fields, texts), max_size=10), st.binary() | st.text().map(json.dumps).map(str.encode))
def test_a_hostile_message_is_refused_as_a_value_error(headers, body: bytes) -> None:
    try:
        read = ModelEnvelope[str].from_kafka(headers, body)
    except ValueError:
        return
    assert read.payload == json.loads(body)


@given(st.text(max_size=30))
def test_no_value_can_write_a_field_of_the_envelope(tail: str) -> None:
    headers, _ = ModelEnvelope(source="shop", event_type="a", payload=1).to_kafka()
    with pytest.raises(ValueError):  # noqa: PT011 - each parser has its own sentence
        ModelEnvelope[int].from_kafka(headers, f'1,"source":"evil{tail}"'.encode(errors="replace"))
