"""Who listens to the policies. An observer can neither break nor delay a call."""

from omnibase_infra.infrastructure.resilience.observers.dispatch import (
    Observer,
    add_observer,
    emit,
    flush_observers,
    is_listened_to,
)

__all__ = ["Observer", "add_observer", "emit", "flush_observers", "is_listened_to"]
