"""The observer that is always there: the standard library's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from omnibase_infra.enums import EnumCircuitState, EnumResilienceEvent

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

LOGGER: Final = logging.getLogger("omnibase_infra.resilience")
_SILENT: Final = logging.NullHandler()
LOGGER.addHandler(_SILENT)

LEVELS: Final = {
    EnumResilienceEvent.RETRY: logging.WARNING,
    EnumResilienceEvent.RETRY_GAVE_UP: logging.DEBUG,  # the error itself is raised to the caller
    EnumResilienceEvent.CIRCUIT_STATE: logging.WARNING,
    EnumResilienceEvent.REJECTED: logging.DEBUG,  # one a call while a dependency is down
    EnumResilienceEvent.TIMED_OUT: logging.DEBUG,  # the error itself is raised to the caller
    EnumResilienceEvent.HEDGED: logging.DEBUG,  # a fixed share of the calls, by design
    EnumResilienceEvent.FALLBACK_USED: logging.WARNING,  # nothing else tells that the answer is second best
    EnumResilienceEvent.CREDENTIAL_REFRESHED: logging.INFO,
    EnumResilienceEvent.SHARED_STATE_LOST: logging.WARNING,
    EnumResilienceEvent.SHARED_STATE_BACK: logging.INFO,
}


def is_heard(kind: EnumResilienceEvent) -> bool:
    """Whether any handler would write a record of this kind: an unheard record is not built."""
    return LOGGER.isEnabledFor(LEVELS[kind]) and has_handler()


def has_handler() -> bool:
    """Whether our records reach any handler."""
    logger: logging.Logger | None = LOGGER
    while logger is not None:
        for handler in logger.handlers:
            if handler is not _SILENT:
                return True
        logger = logger.parent if logger.propagate else None
    return False


def log_event(event: ModelResilienceEvent) -> None:
    """Write one record: the sentence as message, every field that is set as an attribute of the record."""
    level = LEVELS[event.kind]
    if event.state is EnumCircuitState.CLOSED:
        level = logging.INFO
    fields = event.model_dump(mode="json", exclude_none=True, exclude={"name"})
    LOGGER.log(level, "%s", _sentence(event), extra={**fields, "policy_name": event.name})


def _sentence(event: ModelResilienceEvent) -> str:  # noqa: PLR0911  # one a kind
    match event.kind:
        case EnumResilienceEvent.RETRY:
            return (
                f"{event.operation}: attempt {event.attempt} failed ({event.failure_kind}, {event.error_type}), "
                f"next in {event.wait_seconds:.3f} s, correlation id {event.correlation_id}"
            )
        case EnumResilienceEvent.RETRY_GAVE_UP:
            return (
                f"{event.operation}: gave up after {event.attempt} attempts ({event.error_type}), "
                f"correlation id {event.correlation_id}"
            )
        case EnumResilienceEvent.CIRCUIT_STATE:
            return f"circuit '{event.name}' went from {event.previous_state} to {event.state}"
        case EnumResilienceEvent.HEDGED:
            return (
                f"{event.operation}: no answer after {event.wait_seconds:.3g} s, attempt {event.attempt} sent beside "
                f"it, correlation id {event.correlation_id}"
            )
        case EnumResilienceEvent.REJECTED:
            return f"{event.policy} '{event.name}' rejected {event.operation}, correlation id {event.correlation_id}"
        case EnumResilienceEvent.TIMED_OUT:
            return (
                f"timeout '{event.name}' ended {event.operation} after {event.timeout_seconds:g} s, "
                f"correlation id {event.correlation_id}"
            )
        case EnumResilienceEvent.FALLBACK_USED:
            return (
                f"{event.operation}: answered by {event.policy} '{event.name}' ({event.failure_kind}, "
                f"{event.error_type}), correlation id {event.correlation_id}"
            )
        case EnumResilienceEvent.SHARED_STATE_LOST:
            return (
                f"{event.policy} '{event.name}': the store cannot be reached ({event.error_type}); "
                "each process goes on alone"
            )
        case EnumResilienceEvent.SHARED_STATE_BACK:
            return f"{event.policy} '{event.name}': the store can be reached again"
        case EnumResilienceEvent.CREDENTIAL_REFRESHED:
            return f"credential '{event.name}' refreshed, correlation id {event.correlation_id}"
