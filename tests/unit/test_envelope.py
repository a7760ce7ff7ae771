"""Messages of one chain share the correlation id, and each names the one that caused it."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from omnibase_infra.models.envelope import ModelEnvelope
from omnibase_infra.utils import CorrelationContext, extract_kafka, inject_kafka

ONE = UUID("11111111-1111-4111-8111-111111111111")
TWO = UUID("22222222-2222-4222-8222-222222222222")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class OrderPlaced(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    order_id: UUID
    placed_at: datetime
    tags: set[str]


class OrderShipped(BaseModel):
    parcels: int


ORDER = OrderPlaced(order_id=TWO, placed_at=NOON, tags={"new"})


def placed(**fields: object) -> ModelEnvelope[OrderPlaced]:
    given = {"source": "shop", "event_type": "order.placed", "payload": ORDER, **fields}
    return ModelEnvelope[OrderPlaced].model_validate(given)


def test_a_first_message_takes_the_current_correlation_id_and_has_no_cause() -> None:
    with CorrelationContext(ONE):
        envelope = placed()
    assert envelope.correlation_id == ONE
    assert envelope.causation_id is None
    assert envelope.payload is ORDER


def test_without_a_current_id_each_first_message_begins_a_call_of_its_own() -> None:
    one, two = placed(), placed()
    assert one.correlation_id.version == one.envelope_id.version == 4
    assert len({one.correlation_id, two.correlation_id, one.envelope_id, two.envelope_id}) == 4


def test_what_a_message_causes_keeps_its_correlation_id_and_names_it_as_the_cause() -> None:
    first = placed(correlation_id=ONE)
    with CorrelationContext(TWO):  # the chain goes on, whatever is current
        second = first.caused(OrderShipped(parcels=2), event_type="order.shipped", source="depot", occurred_at=NOON)
        third = second.caused("thanks", event_type="mail.sent")
    assert [message.correlation_id for message in (second, third)] == [ONE, ONE]
    assert [message.causation_id for message in (second, third)] == [first.envelope_id, second.envelope_id]
    assert len({first.envelope_id, second.envelope_id, third.envelope_id}) == 3
    assert (second.source, second.event_type, second.occurred_at) == ("depot", "order.shipped", NOON)
    assert (third.source, third.payload) == ("depot", "thanks")


def test_the_time_is_kept_in_utc_and_one_without_a_zone_is_refused() -> None:
    before = datetime.now(UTC)
    assert before <= placed().occurred_at <= datetime.now(UTC)
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert placed(occurred_at=east).occurred_at == NOON
    assert placed(occurred_at=east).occurred_at.tzinfo is UTC
    with pytest.raises(ValidationError, match="timezone"):
        placed(occurred_at=NOON.replace(tzinfo=None))
    with pytest.raises(ValidationError, match="timezone"):
        placed().caused(1, event_type="a", occurred_at=NOON.replace(tzinfo=None))


def test_it_is_frozen_and_knows_no_other_fields() -> None:
    envelope = placed()
    with pytest.raises(ValidationError, match="frozen"):
        envelope.source = "other"
    with pytest.raises(ValidationError, match="Extra inputs"):
        placed(retries=1)


@pytest.mark.parametrize("field", ["source", "event_type"])
@pytest.mark.parametrize("bad", ["", " ", "a b", "a\nb", "a\x00", "x" * 256, None, 7])
def test_a_name_is_one_word_of_letters_digits_and_separators(field: str, bad: object) -> None:
    with pytest.raises(ValidationError, match=field):
        placed(**{field: bad})


@pytest.mark.parametrize("good", ["a", "order.placed", "größe", "urn:shop/orders-eu_1", "x" * 255])
def test_usual_names_are_taken(good: str) -> None:
    assert placed(source=good, event_type=good).source == good


def test_no_input_is_shown_when_it_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        placed(source="pass word hunter2", payload={"order_id": "hunter2", "placed_at": "hunter2", "tags": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_kafka_message_holds_the_payload_as_its_value_and_all_else_as_headers() -> None:
    first = placed(correlation_id=ONE, occurred_at=NOON)
    headers, value = first.to_kafka()
    assert json.loads(value) == {"order_id": str(TWO), "placed_at": "2026-11-22T12:00:00Z", "tags": ["new"]}
    assert dict(headers) == {
        "envelope_id": str(first.envelope_id).encode(),
        "correlation_id": str(ONE).encode(),
        "occurred_at": b"2026-11-22T12:00:00Z",
        "source": b"shop",
        "event_type": b"order.placed",
    }
    assert extract_kafka(headers) == ONE
    caused, _ = first.caused(None, event_type="a").to_kafka()
    assert dict(caused)["causation_id"] == str(first.envelope_id).encode()


def test_a_kafka_message_goes_round_with_a_strict_payload_among_foreign_headers() -> None:
    envelope = placed().caused(ORDER, event_type="order.seen")
    headers, value = envelope.to_kafka()
    foreign = [("traceparent", b"\xff"), ("payload", b"{}"), *inject_kafka(headers, envelope.correlation_id)]
    read = ModelEnvelope[OrderPlaced].from_kafka(foreign, value)
    assert read == ModelEnvelope[OrderPlaced].model_validate(envelope.model_dump())
    assert read.payload == ORDER
    assert ModelEnvelope[None].from_kafka(*placed().caused(None, event_type="a").to_kafka()).payload is None


def test_json_holds_the_whole_and_goes_round() -> None:
    envelope = placed()
    assert ModelEnvelope[OrderPlaced].model_validate_json(envelope.model_dump_json()) == envelope


@pytest.mark.parametrize("missing", ["envelope_id", "correlation_id", "occurred_at", "source", "event_type"])
def test_an_id_that_is_missing_is_not_made_up_by_the_reader(missing: str) -> None:
    headers, value = placed().to_kafka()
    fields = placed().model_dump(mode="json")
    del fields[missing]
    with CorrelationContext(ONE):
        with pytest.raises(ValidationError, match=missing):
            ModelEnvelope[OrderPlaced].from_kafka([pair for pair in headers if pair[0] != missing], value)
        with pytest.raises(ValidationError, match=missing):
            ModelEnvelope[OrderPlaced].model_validate_json(json.dumps(fields))


@pytest.mark.parametrize(
    "changed",
    [
        ("correlation_id", b"hunter2"),
        ("envelope_id", b"\xff"),
        ("source", b"\xff"),
        ("occurred_at", b"2026-11-22T12:00:00"),
        ("causation_id", b""),
        ("event_type", "a b"),
    ],
)
def test_a_malformed_header_is_refused_by_its_name(changed: tuple[str, str | bytes]) -> None:
    headers, value = placed().to_kafka()
    others: list[tuple[str, str | bytes]] = [pair for pair in headers if pair[0] != changed[0]]
    with pytest.raises(ValidationError, match=changed[0]) as caught:
        ModelEnvelope[OrderPlaced].from_kafka([*others, changed], value)
    assert "hunter2" not in str(caught.value)


def test_a_header_that_is_there_twice_must_say_the_same() -> None:
    headers, value = placed().to_kafka()
    assert ModelEnvelope[OrderPlaced].from_kafka([*headers, *headers], value).payload == ORDER
    with pytest.raises(ValueError, match="the header source is there twice"):
        ModelEnvelope[OrderPlaced].from_kafka([*headers, ("source", b"evil")], value)


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"\xff", b"1 2", b'1,"source":"evil"', b'1}, {"x":1', b"[" * 10_000]
)
def test_a_value_that_is_not_one_json_document_is_refused(value: bytes | None) -> None:
    headers, _ = placed().to_kafka()
    with pytest.raises(ValueError):  # noqa: PT011 - the parser has a sentence for each
        ModelEnvelope[object].from_kafka(headers, value)


def test_a_payload_of_another_shape_is_refused() -> None:
    headers, _ = placed().to_kafka()
    with pytest.raises(ValidationError, match=r"payload\.order_id"):
        ModelEnvelope[OrderPlaced].from_kafka(headers, b'{"parcels": 2}')


def test_an_envelope_pickles() -> None:
    envelope = ModelEnvelope(source="shop", event_type="a", payload=ORDER)
    assert pickle.loads(pickle.dumps(envelope)) == envelope
