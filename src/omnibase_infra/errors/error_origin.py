"""What the errors of one place have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

    from omnibase_infra.enums import EnumCircuitState
    from omnibase_infra.errors.error_onex import ModelOnexError
    from omnibase_infra.errors.model_infra_error_context import ModelInfraErrorContext


@dataclass(slots=True, eq=False)
class ErrorOrigin:
    """Where errors come from, made once: each of them stores this, and what is its own."""

    describe: Callable[[ModelOnexError], str] | None = None
    """Makes an error's message out of our own words and names that are already clean, when somebody reads it."""
    context: ModelInfraErrorContext | None = None
    circuit_state: EnumCircuitState | None = None
    """The state of the circuit that refused the call."""
    rejected_by: str | None = None
    """Name of our own policy that refused the call; None when the failure came from outside."""
    details: dict[str, JsonValue] | None = None
    """Anything else worth recording; clean already."""
    cause: BaseException | None = None
    """What they are raised from. It is never raised itself, so that one serves them all."""
