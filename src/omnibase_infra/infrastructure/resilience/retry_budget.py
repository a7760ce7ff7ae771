"""The state around `rules/budget.py`: a clock, a lock, and a count of calls that takes none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from omnibase_infra.enums import EnumPolicyKind
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require, require_callable
from omnibase_infra.infrastructure.resilience.rules import budget
from omnibase_infra.infrastructure.resilience.tally import Tally
from omnibase_infra.utils.util_ambient import clock_for

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelPolicySnapshot, ModelRetryBudgetConfig


class RetryBudget:
    """Keeps retries and hedges within a share of the calls, from any number of tasks, event loops and threads.

    Made once for each target and given as ``retry_budget=`` to every retry policy and hedge of it, it bounds what they
    add together. A hedge within a retry of the same budget takes ``counts_calls=False``, lest each call count twice.

    Args:
        config: Share, floor and window; those of the ``[defaults]`` preset when None.
        name: Whose budget it is, such as the target; None for no name.
        clock: Monotonic time in seconds.

    Attributes:
        granted: Retries and hedges allowed so far.
        refused: Those refused so far.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.RETRY_BUDGET

    def __init__(
        self,
        config: ModelRetryBudgetConfig | None = None,
        *,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from omnibase_infra.models.resilience import ModelRetryBudgetConfig

        require(ModelRetryBudgetConfig, "a ModelRetryBudgetConfig", config=config)
        require_callable(clock=clock)
        config = config or ModelRetryBudgetConfig()
        self.config = config
        self.name = checked_name(name)
        self.granted = 0
        self.refused = 0
        self._clock = clock_for(self, clock)
        self._state = self._fresh()
        # Re-entrant: a garbage collection in here may close a coroutine whose end makes a guarded call.
        self._lock = threading.RLock()
        self._calls = Tally()
        self.count_call: Final = self._calls.tick
        """Count one call. A single C call, hence atomic: the successful path takes no lock."""
        if name is not None:
            registry.enlist(self, self.name)

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        return ModelPolicySnapshot(
            kind=self.policy_kind,
            name=self.name or "retry_budget",
            numbers={
                "balance": self.balance,
                "granted": self.granted,
                "refused": self.refused,
                "ratio": self.config.ratio,
                "min_per_second": self.config.min_per_second,
                "window": self.config.window,
            },
        )

    def reset(self) -> None:
        """Begin anew, with nothing counted. In a service a budget is to outlast an outage: this is for tests."""
        with self._lock:
            self._calls.new()
            self._state = self._fresh()
            self.granted = self.refused = 0

    def spend(self) -> bool:
        """Take one retry; False when the budget is spent."""
        with self._lock:
            granted = budget.spend(self._state, self._calls.new(), self._clock())
            if granted:
                self.granted += 1
            else:
                self.refused += 1
            return granted

    @property
    def balance(self) -> float:
        """Retries that are left just now."""
        with self._lock:
            return budget.balance(self._state, self._calls.new(), self._clock())

    @property
    def calls(self) -> int:
        """Calls within the window that ends now."""
        return self._totals()[0]

    @property
    def retries(self) -> int:
        """Retries and hedges within the window that ends now."""
        return self._totals()[1]

    def _fresh(self) -> budget.Budget:
        config = self.config
        return budget.Budget(config.ratio, config.min_per_second, config.window, asked_at=self._clock())

    def _totals(self) -> list[int]:
        with self._lock:
            budget.balance(self._state, self._calls.new(), self._clock())
            return [*self._state.counts.totals]
