"""Whether a store can be reached, told once: to those who ask before they call it, to the log, and to the observers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from omnibase_infra.enums import EnumResilienceEvent
from omnibase_infra.infrastructure.resilience.observers import emit
from omnibase_infra.infrastructure.resilience.transports import failure_of

if TYPE_CHECKING:
    from omnibase_infra.enums import EnumInfraTransportType


class StoreHealth:
    """Up until a call fails; then down, with one caller let through every `retry_seconds` to see whether it is back.

    Args:
        policy: Kind of the policy that uses the store, for the event.
        name: Name of that policy.
        transport: Transport that it guards.
        retry_seconds: Pause between two looks at a store that is down.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        policy: str,
        name: str,
        transport: EnumInfraTransportType | None,
        retry_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.retry_seconds: Final = retry_seconds
        self._policy = policy
        self._name = name
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._next_try: float | None = None

    @property
    def is_up(self) -> bool:
        """Whether the last that was heard of the store was an answer."""
        return self._next_try is None

    def may_try(self) -> bool:
        """Whether the caller is to call the store."""
        if self.is_up:
            return True
        with self._lock:
            now = self._clock()
            if self._next_try is None:
                return True
            if now < self._next_try:
                return False
            self._next_try = now + self.retry_seconds
            return True

    def lost(self, error: Exception) -> None:
        """A call failed."""
        with self._lock:
            was_up = self._next_try is None
            self._next_try = self._clock() + self.retry_seconds
        if was_up:
            failure = failure_of(error)
            emit(
                EnumResilienceEvent.SHARED_STATE_LOST,
                policy=self._policy,
                name=self._name,
                transport=self._transport,
                failure_kind=failure.kind,
                error_type=type(error).__qualname__,
            )

    def answered(self) -> None:
        """A call was answered."""
        if self.is_up:
            return
        with self._lock:
            was_down, self._next_try = not self.is_up, None
        if was_down:
            emit(EnumResilienceEvent.SHARED_STATE_BACK, policy=self._policy, name=self._name, transport=self._transport)
