"""Shared circuits in a store: the one script that reads and changes them, and what it answers."""

from __future__ import annotations

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

_OWN_KEYS: Final = ("state", "fail_counter", "success_counter", "opened_at", "onex", "reports", "leases")

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

    def words(self, now: float | None = None) -> tuple[str, ...]:
        """Keys and arguments; `now` replaces the store's clock, in seconds."""
        shared = self.config.shared
        if shared is None:
            raise LookupError(f"{self.name!r} is not shared")
        recovery = self.config.recovery_timeout if self.recovery is None else self.recovery
        hold = recovery if self.hold is None else self.hold
        return (
            *circuit_keys(self.name),
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
    """Shared circuits behind one client. For one thread."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
        self._sha = ""

    def run(self, steps: Sequence[Step], now: float | None = None) -> list[Reading]:
        """Take these steps in one round trip, each atomic.

        Raises:
            Exception: Whatever the client raises.
        """
        answers = self._send(steps, now) if self._sha else None
        if answers is None or any(type(answer).__name__ == _UNKNOWN_SCRIPT for answer in answers):
            # A store that has begun anew since; it has taken none of the steps.
            self._sha = self._client.script_load(_script())
            answers = self._send(steps, now)
        return [_reading(answer) for answer in answers]

    def names(self) -> list[str]:
        """The circuits that the store knows, pybreaker's own too."""
        ending = f":{_LAYOUT}:state"
        found = self._client.scan_iter(match=f"*{ending}", count=1000)
        return sorted(key.removesuffix(ending) for key in found)

    def _send(self, steps: Sequence[Step], now: float | None) -> Sequence[object]:
        pipeline = self._client.pipeline(transaction=False)
        for step in steps:
            pipeline.evalsha(self._sha, len(_OWN_KEYS), *step.words(now))
        return pipeline.execute(raise_on_error=False)


def circuit_keys(name: str) -> tuple[str, ...]:
    """The keys of a circuit. Braces in its name keep them together in a cluster: ``{orders}``."""
    return tuple(f"{name}:{_LAYOUT}:{key}" for key in _OWN_KEYS)


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
