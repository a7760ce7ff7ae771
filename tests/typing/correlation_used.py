"""What the type checkers see of carriers, log helpers, the ASGI middleware and envelopes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import assert_type
from uuid import UUID

from omnibase_infra.models.envelope import ModelEnvelope
from omnibase_infra.utils import (
    CorrelationContext,
    CorrelationFilter,
    CorrelationMiddleware,
    correlation_processor,
    extract_grpc,
    extract_http,
    extract_kafka,
    get_attempt,
    inject_grpc,
    inject_http,
    inject_kafka,
)


class Placed:
    number: int


class Shipped:
    parcels: int


def reading_http(
    headers: Mapping[str, str],
    mutable: MutableMapping[str, str | bytes],
    raw: list[tuple[bytes, bytes]],
    pairs: Sequence[tuple[str, str]],
) -> None:
    assert_type(extract_http(headers), UUID)
    assert_type(extract_http(mutable), UUID)
    assert_type(extract_http(raw), UUID)
    assert_type(extract_http(pairs), UUID)
    with CorrelationContext(extract_http(headers)) as current:
        assert_type(current, UUID)
    extract_http(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def reading_messages(
    kafka: Sequence[tuple[str, bytes]] | None,
    confluent: list[tuple[str, str | bytes | None]],
    metadata: tuple[tuple[str, str | bytes], ...],
) -> None:
    assert_type(extract_kafka(kafka), UUID)
    assert_type(extract_kafka(confluent), UUID)
    assert_type(extract_grpc(metadata), UUID)


def writing(headers: Mapping[str, str], pairs: list[tuple[str, str]]) -> None:
    assert_type(inject_http(), dict[str, str])
    assert_type(inject_http(headers, sampled=True), dict[str, str])
    assert_type(inject_http(pairs), list[tuple[str, str]])
    assert_type(inject_kafka([("a", b"b")]), list[tuple[str, bytes]])
    assert_type(inject_grpc([("a", "b")]), tuple[tuple[str, str | bytes], ...])
    assert_type(get_attempt(), int)


def logging_it(handler: logging.Handler, event: dict[str, object]) -> None:
    handler.addFilter(CorrelationFilter())
    assert_type(correlation_processor(None, "info", event), MutableMapping[str, object])


def serving(
    app: Callable[
        [
            MutableMapping[str, object],
            Callable[[], Awaitable[MutableMapping[str, object]]],
            Callable[[MutableMapping[str, object]], Awaitable[None]],
        ],
        Awaitable[None],
    ],
) -> None:
    assert_type(CorrelationMiddleware(CorrelationMiddleware(app)), CorrelationMiddleware)


def wrapping(placed: Placed, shipped: Shipped) -> None:
    envelope = ModelEnvelope(source="shop", event_type="order.placed", payload=placed)
    assert_type(envelope, ModelEnvelope[Placed])
    assert_type(envelope.payload.number, int)
    assert_type(envelope.causation_id, UUID | None)
    following = envelope.caused(shipped, event_type="order.shipped")
    assert_type(following, ModelEnvelope[Shipped])
    assert_type(envelope.to_kafka(), tuple[list[tuple[str, bytes]], bytes])
    assert_type(ModelEnvelope[Placed].from_kafka([("a", b"b")], b"{}"), ModelEnvelope[Placed])
