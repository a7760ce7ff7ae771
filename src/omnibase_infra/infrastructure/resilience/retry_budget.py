"""The state around `rules/budget.py`: a clock, a lock, and a count of calls that takes none."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from omnibase_infra.infrastructure.resilience.arguments import require, require_callable
from omnibase_infra.infrastructure.resilience.rules import budget

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelRetryBudgetConfig


class RetryBudget:
    """Keeps retries within a share of the calls; give one to several policies to have them share it.

    Args:
        config: Share, floor and window; those of the ``[defaults]`` preset when None.
        clock: Monotonic time in seconds.

    Raises:
        ProtocolConfigurationError: When `config` is something else.
    """

    def __init__(
        self, config: ModelRetryBudgetConfig | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from omnibase_infra.models.resilience import ModelRetryBudgetConfig

        require(ModelRetryBudgetConfig, "a ModelRetryBudgetConfig", config=config)
        require_callable(clock=clock)
        config = config or ModelRetryBudgetConfig()
        self.config = config
        self._state = budget.Budget(config.ratio, config.min_per_second, config.window, asked_at=clock())
        self._clock = clock
        self._lock = threading.Lock()
        self._ticks = itertools.count()
        self._seen = 0
        self.count_call: Final[Callable[[], int]] = self._ticks.__next__
        """Count one call. A single C call, hence atomic: the successful path takes no lock."""

    def spend(self) -> bool:
        """Take one retry; False when the budget is spent."""
        with self._lock:
            return budget.spend(self._state, self._new_calls(), self._clock())

    @property
    def balance(self) -> float:
        """Retries that are left just now."""
        with self._lock:
            return budget.balance(self._state, self._new_calls(), self._clock())

    def _new_calls(self) -> int:
        tick = next(self._ticks)  # a counter can only be read by counting; that tick is left out again
        new = tick - self._seen
        self._seen = tick + 1
        return new
