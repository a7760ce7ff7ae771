"""What the policies did, as a list."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from omnibase_infra.infrastructure.resilience.observers import add_observer

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent


@contextmanager
def recorded_events() -> Generator[list[ModelResilienceEvent]]:
    """A list to which every event within this block is added at once, in the order in which they happen."""
    events: list[ModelResilienceEvent] = []
    remove = add_observer(events.append, inline=True)
    try:
        yield events
    finally:
        remove()
