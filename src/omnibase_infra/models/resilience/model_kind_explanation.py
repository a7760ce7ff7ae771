"""What a pipeline does with one kind of failure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from omnibase_infra.enums import EnumFailureKind


class ModelKindExplanation(BaseModel):
    """What a pipeline does with one kind of failure.

    Attributes:
        kind: The kind, as `classify` gives it.
        retried: Whether another attempt is made, within attempts, time and budget; None when a strategy of the user's
            decides.
        counted: Whether it counts towards opening the circuit; None when the breaker's `expected_exception` decides.
        falls_back: Whether the fallback answers; of the rejections, those that say unavailable, as an open circuit's.
        becomes: The error the caller sees; None when it passes through as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EnumFailureKind
    retried: bool | None
    counted: bool | None
    falls_back: bool
    becomes: str | None
