"""The other workers' part in a breaker with keys: which of its circuits are followed, and which may pass unasked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from weakref import WeakMethod

from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import CircuitFamily

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
    from omnibase_infra.infrastructure.resilience.rules.circuit import Generation
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

P = ParamSpec("P")
T = TypeVar("T")


class KeyedSharing:
    """Follows the circuits that are not closed, one by one, and hears of the others by a list.

    Args:
        template: Has the settings of all.
        shared: Where and how the circuits are shared.
        config: Settings of each circuit.
        name: Of the breaker with keys, the same in all workers.
        most: Circuits remembered.
        whole: The circuit of all keys together, shared by that name.
        commanded: Called when that one has changed.
        file: Called with a key and its circuit when that may have changed.
        circuits: Those remembered now. The owner of these three holds this object, and is not held by it.
    """

    def __init__(
        self,
        template: InfrastructureCircuitBreaker,
        shared: ModelSharedCircuitConfig,
        config: ModelCircuitBreakerConfig,
        *,
        name: str,
        most: int,
        whole: rule.Circuit,
        commanded: Callable[[], None],
        file: Callable[[Hashable, rule.Circuit], None],
        circuits: Callable[[], Iterable[rule.Circuit]],
    ) -> None:
        self._template = template
        self._name = name
        self._file = _weak(file, None)
        self._circuits = _weak(circuits, ())
        self._lock = threading.RLock()
        self._linked: dict[Hashable, InfrastructureCircuitBreaker] = {}
        self._family = CircuitFamily(name, shared, config, most=most, clock=template.now, ask=self._ask_first)
        self.whole = template.over(whole, name, _weak(commanded, None), shared_as=name)

    def breaker(self, key: Hashable, circuit: rule.Circuit, shown: str | None) -> InfrastructureCircuitBreaker:
        """The breaker of a circuit that may have something to tell other workers, or to hear from them.

        Args:
            key: Whose circuit it is.
            circuit: As it is remembered.
            shown: What stands for the key in errors; None for the hash by which the store knows it.

        Raises:
            ProtocolConfigurationError: When the key might look different in another process.
        """
        linked = self._linked.get(key)
        if linked is not None and linked.circuit is circuit:
            return linked
        shared_as = self._family.name_of(key)
        made = self._template.over(
            circuit,
            shared_as if shown is None else f"{self._name} {shown}",
            partial(self._file, key, circuit),
            shared_as=shared_as,
            family=self._family,
        )
        with self._lock:
            linked = self._linked.get(key)
            if linked is not None and linked.circuit is circuit:
                return linked
            self._linked[key] = made
        made.hear(self._family.reading(shared_as))
        return made

    def let_pass(self, key: Hashable, circuit: rule.Circuit) -> Generation | None:
        """What a call belongs to whose circuit is closed, elsewhere too; None for its breaker to decide.

        Raises:
            ProtocolConfigurationError: When the key might look different in another process.
        """
        self._family.start()
        return self._template.let_pass(circuit, partial(self._family.is_listed, self._family.name_of(key)))

    def settled(self, key: Hashable) -> None:
        """A circuit is closed: no longer follow it, unless others have a say in it still."""
        with self._lock:
            linked = self._linked.get(key)
            if linked is None or linked.is_following:
                return
            del self._linked[key]
        self._family.closed(self._family.name_of(key))

    def forget(self, key: Hashable) -> None:
        """A circuit is no longer remembered."""
        with self._lock:
            self._linked.pop(key, None)

    def reset(self) -> None:
        """Close for all workers what they have open, whether it is remembered here or not."""
        self._family.reset()

    def _ask_first(self) -> None:
        self._template.ask_first(self._circuits())


def _weak(method: Callable[P, T], otherwise: T) -> Callable[P, T]:
    """The method for as long as its object lives."""
    known = WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        living = known()
        return otherwise if living is None else living(*args, **kwargs)

    return call
