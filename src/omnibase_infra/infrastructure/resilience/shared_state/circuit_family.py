"""What the workers of a breaker with keys know of each other's circuits.

A closed circuit has nothing to tell. So only those that are open, here or elsewhere, are followed one by one; of the
others a worker hears by one list in the store, which has the circuits that are not closed. However many keys there
are, the success path, the store and the memory have nothing to do with those that work.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from enum import Enum
from hashlib import blake2s
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID
from weakref import WeakMethod

from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.shared_state.circuit_link import link_to
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import Reading, Step, name_in_family

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

_HASH_BYTES: Final = 8

_ALLOWED: Final = (
    "text, bytes, a whole number, a UUID, an enum's member, None, or a tuple of these, where workers share circuits"
)


class CircuitFamily:
    """The circuits of one breaker with keys, as the other workers have them.

    Args:
        name: Of the breaker, the same in all workers.
        shared: Where and how its circuits are shared.
        config: Settings of each circuit.
        most: Circuits remembered.
        clock: Monotonic time in seconds.
        ask: Called to have the next call of every key ask `reading` first.
    """

    def __init__(
        self,
        name: str,
        shared: ModelSharedCircuitConfig,
        config: ModelCircuitBreakerConfig,
        *,
        most: int,
        clock: Callable[[], float],
        ask: Callable[[], None],
    ) -> None:
        self.name = name
        self.most = most
        self._config = config
        self._clock = clock
        self._asking = WeakMethod(ask)  # whose owner holds this family
        self._not_closed: dict[str, tuple[float, float, Reading]] = {}
        """By name: when it opened, when that was heard, and what was read then."""
        self._link = link_to(shared)
        self._link.add_family(self)

    def start(self) -> None:
        """Begin to follow, unless that has been done."""
        self._link.start()

    def name_of(self, key: Hashable) -> str:
        """The name under which all workers share the circuit of a key.

        Raises:
            ProtocolConfigurationError: When the key might look different in another process.
        """
        return name_of_key(self.name, key)

    def is_listed(self, name: str) -> bool:
        """Whether the store has this circuit among those that are not closed."""
        return name in self._not_closed

    def reading(self, name: str) -> Reading | None:
        """What the others have of a circuit that is not closed, as it must be by now."""
        found = self._not_closed.get(name)
        if found is None:
            return None
        _, heard, reading = found
        return replace(reading, left=max(0.0, reading.left - (self._clock() - heard)))

    def reset(self) -> None:
        """Close for all workers what is not closed elsewhere."""
        known, self._not_closed = self._not_closed, {}
        for name in known:
            self._link.post(self.step(name, "reset"), _nothing)

    def closed(self, name: str) -> None:
        """A circuit has closed since the last look."""
        self._not_closed.pop(name, None)

    def step(self, name: str, step: str = "read") -> Step:
        """A step of one of the circuits."""
        return Step(name, self._config, step, self._link.worker)

    def unknown(self, listed: Sequence[tuple[str, float]]) -> list[str]:
        """Which of the circuits that are not closed have opened since the last look."""
        known = self._not_closed
        return [name for name, opened in listed if name not in known or known[name][0] != opened]

    def take(self, listed: Sequence[tuple[str, float]], readings: dict[str, Reading]) -> None:
        """Remember what the store has."""
        now = self._clock()
        known = self._not_closed
        self._not_closed = {
            name: (opened, now, readings[name]) if name in readings else known[name]
            for name, opened in listed
            if name in readings or name in known
        }
        if readings:
            self.sleep()

    def lost(self) -> None:
        """The store cannot be reached: each goes on alone."""
        self._not_closed = {}

    def sleep(self) -> None:
        """Have the next call of every key ask first."""
        ask = self._asking()
        if ask is not None:
            ask()


def name_of_key(family: str, key: Hashable) -> str:
    """The name under which all workers share the circuit of a key: a hash of it, the same in every process.

    Raises:
        ProtocolConfigurationError: When the key might look different in another process.
    """
    text = _text(key).encode(errors="surrogatepass")
    return name_in_family(family, blake2s(text, digest_size=_HASH_BYTES).hexdigest())


def _text(key: Hashable) -> str:
    """What equal keys have in common in every process."""
    if isinstance(key, str):
        return f"t{len(key)}:{str.__str__(key)}"
    if isinstance(key, int):
        return f"n{int(key)}"
    if isinstance(key, tuple):
        return f"({','.join(map(_text, cast('tuple[Hashable, ...]', key)))})"
    if isinstance(key, Enum):
        return f"e{type(key).__qualname__}.{key.name}"
    if key is None or isinstance(key, bytes | UUID):
        return f"o{key!r}"
    raise refused("key", key, _ALLOWED)


def _nothing(_: Reading) -> None:
    """What a reset brings is heard of by the list."""
