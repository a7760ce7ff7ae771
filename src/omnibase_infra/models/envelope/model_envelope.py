"""A message and the ids by which it is traced."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Self, TypeVar
from uuid import UUID, uuid4

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic_core import from_json, to_json

from omnibase_infra.utils.util_correlation import get_correlation_id

PayloadT = TypeVar("PayloadT")
NextT = TypeVar("NextT")

_LONGEST_NAME: Final = 255
_GIVEN_WHEN_READ: Final = frozenset({"envelope_id", "correlation_id", "occurred_at"})


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie within the years 1 to 9999 in UTC") from None


def _now() -> datetime:
    return datetime.now(UTC)


def _current_id() -> UUID:
    return get_correlation_id() or uuid4()


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
# Names go into headers, logs and topics: letters, digits and a few separators of any language, no white space.
Name = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_NAME, pattern=r"^[\w.:/-]+$")]


class ModelEnvelope(BaseModel, Generic[PayloadT]):
    """One message of a chain: all of them share the correlation id, each names the one that caused it.

    Made in Python, only `source`, `event_type` and `payload` must be given. Read from JSON or from Kafka, every field
    but `causation_id` must be there: an id that a reader makes up would differ at each reading.

    Raises:
        pydantic.ValidationError: When a field is wrong or missing; it is a ``ValueError``, and its text shows no
            input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    envelope_id: UUID = Field(default_factory=uuid4, description="Id of this one message.")
    correlation_id: UUID = Field(
        default_factory=_current_id, description="Id of the logical call; the current one, else a new uuid4."
    )
    causation_id: UUID | None = Field(
        default=None, description="`envelope_id` of the message that caused this one; None for the first."
    )
    occurred_at: Moment = Field(
        default_factory=_now, description="When it happened, in UTC; a time without a zone is refused."
    )
    source: Name = Field(description="Who says it: the service's name.")
    event_type: Name = Field(description="What happened, such as 'order.placed'.")
    payload: PayloadT = Field(description="The message itself.")

    @model_validator(mode="after")
    def _is_complete_when_read(self, info: ValidationInfo) -> Self:
        if info.mode == "json" and (missing := _GIVEN_WHEN_READ - self.model_fields_set):
            raise ValueError(f"{', '.join(sorted(missing))}: required where an envelope is read")
        return self

    def caused(
        self, payload: NextT, *, event_type: str, source: str | None = None, occurred_at: datetime | None = None
    ) -> ModelEnvelope[NextT]:
        """Wrap what this message gave rise to: same correlation id, with this message as the cause.

        Args:
            payload: The new message.
            event_type: What happened.
            source: Who says it; this message's source when None.
            occurred_at: When it happened, with a time zone; now when None.

        Raises:
            pydantic.ValidationError: As the constructor does.
        """
        return ModelEnvelope(
            correlation_id=self.correlation_id,
            causation_id=self.envelope_id,
            occurred_at=_now() if occurred_at is None else occurred_at,
            source=self.source if source is None else source,
            event_type=event_type,
            payload=payload,
        )

    def to_kafka(self) -> tuple[list[tuple[str, bytes]], bytes]:
        """The headers and the value of a Kafka message: the payload as JSON, every other field a header."""
        fields = self.model_dump(mode="json", exclude={"payload"}, exclude_none=True)
        headers = [(name, str(value).encode()) for name, value in fields.items()]
        value = self.model_dump_json(include={"payload"}).removeprefix('{"payload":').removesuffix("}")
        return headers, value.encode()

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, str | bytes | None]] | None, value: bytes | None) -> Self:
        """Read what `to_kafka` made. Headers of other names are left alone.

        On a parametrised class, as ``ModelEnvelope[OrderPlaced]``, the payload is checked as that type.

        Raises:
            ValueError: When a header is missing, malformed, or there twice with two values, or the value is not one
                JSON document, as that of a tombstone; a ``pydantic.ValidationError`` where a field is wrong.
        """
        fields: dict[str, str] = {}
        for name, given in headers or ():
            if name not in cls.model_fields or name == "payload" or given is None:
                continue
            text = given if isinstance(given, str) else given.decode(errors="replace")
            if fields.setdefault(name, text) != text:
                raise ValueError(f"the header {name} is there twice, with different values")
        value = value or b""  # a tombstone
        from_json(value)  # refuses what would not stay within its place in the document below
        head = to_json({"causation_id": None, **fields})  # never empty: a comma follows
        return cls.model_validate_json(head[:-1] + b',"payload":' + value + b"}")
