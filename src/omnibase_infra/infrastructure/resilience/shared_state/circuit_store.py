"""Shared circuits in a store: the one script that reads and changes them, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, cast

from omnibase_infra.enums import EnumCircuitState

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.shared_state.clients import BlockingClient
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig

CHANNEL: Final = "onex:circuits"
"""Where the name of each circuit that changes is published."""

_LAYOUT: Final = "pybreaker"
"""pybreaker's part of every key: `<name>:pybreaker:state`."""

_KEYS: Final = ("state", "fail_counter", "success_counter", "opened_at", "onex", "reports", "leases")

_OF_A_KEY: Final = re.compile(r"(.+) #[0-9a-f]{16}", re.DOTALL)
_TAGGED: Final = re.compile(r"[^{]*\{[^}]+\}")
_TAG: Final = re.compile(r"^\{([^}]+)\}( #[0-9a-f]{16})?$")

_STATES: Final = {"open": EnumCircuitState.OPEN, "half-open": EnumCircuitState.HALF_OPEN}

_UNKNOWN_SCRIPT: Final = "NoScriptError"
"""The class in both packages; they take the server's own word out of the text."""

_MILLISECONDS: Final = 1000.0


@dataclass(slots=True, frozen=True)
class Reading:
    """A shared circuit as it was after a step. Times are seconds."""

    state: EnumCircuitState
    opened_at: float
    """When it opened, by the store's clock; 0 when it never did."""
    left: float
    """Until it may be probed."""
    recovery: float
    """The recovery time of this opening, without jitter."""
    granted: bool = False
    """Whether the step got a probe its place."""
    wait: float = 0.0
    """Until a place that another probe has would be free without its holder."""
    reports: int = 0
    """Workers whose report of a trip, or of a failed probe, counts now."""
    leases: int = 0
    """Probes under way."""
    resets: int = 0
    """How often it was reset by hand."""


@dataclass(slots=True, frozen=True)
class Step:
    """What a worker does to a shared circuit: one run of the script."""

    name: str
    config: ModelCircuitBreakerConfig
    step: str = "read"
    worker: str = ""
    token: str = ""
    recovery: float | None = None
    """Recovery time of an opening, seconds; the configured one when None."""
    hold: float | None = None
    """The same with its jitter."""
    failures: int = 0

    def arguments(self, now: float | None = None) -> tuple[str, ...]:
        """What the script is told beside the keys; `now` replaces the store's clock, in seconds."""
        shared = self.config.shared
        if shared is None:
            raise LookupError(f"{self.name!r} is not shared")
        recovery = self.config.recovery_timeout if self.recovery is None else self.recovery
        hold = recovery if self.hold is None else self.hold
        return (
            self.step,
            self.worker,
            self.token,
            _ms(recovery),
            _ms(hold),
            str(shared.quorum),
            str(self.config.success_threshold),
            str(self.config.half_open_max_calls),
            _ms(shared.lease),
            _ms(shared.expiry + hold),
            str(self.failures),
            CHANNEL,
            self.name,
            *(() if now is None else (_ms(now),)),
        )


class CircuitStore:
    """Shared circuits behind one client. For one thread.

    Args:
        client: Of the store.
        is_cluster: Whether keys that a script uses must lie together; see `circuit_keys`.
    """

    def __init__(self, client: BlockingClient, *, is_cluster: bool = False) -> None:
        self._client = client
        self._is_cluster = is_cluster
        self._sha = ""

    def run(self, steps: Sequence[Step], now: float | None = None) -> list[Reading]:
        """Take these steps in one round trip, each atomic.

        Raises:
            Exception: Whatever the client raises.
        """
        answers: list[object] = [*self._send(steps, now)] if self._sha else [None] * len(steps)
        undone = [place for place, answer in enumerate(answers) if answer is None or _is_unknown(answer)]
        if undone:
            # A server that has begun anew since, or has become the primary; it has taken none of its steps.
            self._sha = self._client.script_load(_script())
            for place, answer in zip(undone, self._send([steps[place] for place in undone], now), strict=True):
                answers[place] = answer
        return [_reading(answer) for answer in answers]

    def names(self) -> list[str]:
        """The circuits that the store knows, pybreaker's own too."""
        ending = f":{_LAYOUT}:state"
        found = self._client.scan_iter(match=f"*{ending}", count=1000)
        names = (key.removesuffix(ending) for key in found)
        return sorted({_TAG.sub(r"\1\2", name) if self._is_cluster else name for name in names})

    def not_closed(self, family: str, most: int) -> list[tuple[str, float]]:
        """The circuits of a breaker with keys that are not closed, and when they opened; the latest, at most so many.

        Raises:
            Exception: Whatever the client raises.
        """
        key = _index_key(family, is_cluster=self._is_cluster)
        return [
            (str(name), float(opened)) for name, opened in self._client.zrevrange(key, 0, most - 1, withscores=True)
        ]

    def _send(self, steps: Sequence[Step], now: float | None) -> Sequence[object]:
        pipeline = self._client.pipeline(transaction=False)
        for step in steps:
            keys = circuit_keys(step.name, is_cluster=self._is_cluster)
            pipeline.evalsha(self._sha, len(keys), *keys, *step.arguments(now))
        return pipeline.execute(raise_on_error=False)


def circuit_keys(name: str, *, is_cluster: bool = False) -> tuple[str, ...]:
    """The keys of a circuit, and for one of a breaker with keys that of the list it stands in.

    In a cluster the name stands in braces, ``{orders}:pybreaker:state``, which keeps the keys together, and those of
    all circuits of a breaker with keys: ``{orders} #0123456789abcdef:pybreaker:state``. A name with braces of its own
    is left as it is.
    """
    placed = _placed(name, is_cluster=is_cluster)
    keys = tuple(f"{placed}:{_LAYOUT}:{key}" for key in _KEYS)
    family = family_of(name)
    return keys if family is None else (*keys, _index_key(family, is_cluster=is_cluster))


def name_in_family(family: str, key_hash: str) -> str:
    """Under which name a breaker with keys shares the circuit of one of them."""
    return f"{family} #{key_hash}"


def family_of(name: str) -> str | None:
    """The name of the breaker with keys that has a circuit of this name, if one has."""
    found = _OF_A_KEY.fullmatch(name)
    return None if found is None else found[1]


def _index_key(family: str, *, is_cluster: bool) -> str:
    return f"{_placed(family, is_cluster=is_cluster)}:{_LAYOUT}:not_closed"


def _placed(name: str, *, is_cluster: bool) -> str:
    if not is_cluster or _TAGGED.match(name):
        return name
    if name.startswith("}"):
        return f"{{circuit}}{name}"  # {} around it would be empty, and hold nothing together
    together = family_of(name) or name
    return f"{{{together}}}{name.removeprefix(together)}"


def _is_unknown(answer: object) -> bool:
    return type(answer).__name__ == _UNKNOWN_SCRIPT


def _reading(answer: object) -> Reading:
    if isinstance(answer, Exception):
        raise answer
    state, opened, left, recovery, granted, wait, *counts = (str(part) for part in cast("list[object]", answer))
    reports, leases, resets = map(int, counts)
    return Reading(
        state=_STATES.get(state, EnumCircuitState.CLOSED),
        opened_at=float(opened) / _MILLISECONDS,
        left=float(left) / _MILLISECONDS,
        recovery=float(recovery) / _MILLISECONDS,
        granted=granted == "1",
        wait=float(wait) / _MILLISECONDS,
        reports=reports,
        leases=leases,
        resets=resets,
    )


def _ms(seconds: float) -> str:
    return str(round(seconds * _MILLISECONDS))


@cache
def _script() -> str:
    return (files(__package__ or "") / "circuit.lua").read_text(encoding="utf-8")
