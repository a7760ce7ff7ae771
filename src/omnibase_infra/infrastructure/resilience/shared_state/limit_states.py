"""The rate limits in a store, for people to look at: how much of each is taken, and beginning anew."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from omnibase_infra.enums import EnumRateLimitStrategy
from omnibase_infra.infrastructure.resilience.shared_state.limit_storages import KEY_PREFIX
from omnibase_infra.infrastructure.resilience.shared_state.script_buckets import script_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omnibase_infra.infrastructure.resilience.shared_state.clients import BlockingClient

_BUCKET: Final = f"{KEY_PREFIX}:rate-limit:"
_WINDOW: Final = re.compile(
    rf"{KEY_PREFIX}:(?P<sliding>\{{)?LIMITER/rate-limit:(?P<name>.+)/(?P<calls>\d+)/(?P<seconds>\d+)/second(?(sliding)\}})",
    re.DOTALL,
)
_PATTERNS: Final = (f"{_BUCKET}*", f"{KEY_PREFIX}:LIMITER/rate-limit:*", f"{KEY_PREFIX}:{{LIMITER/rate-limit:*}}*")
_WINDOW_BEFORE: Final = "/-1"
_MICROSECONDS: Final = 1e6


@dataclass(slots=True, frozen=True)
class LimitState:
    """One limit as it is now. Times are seconds."""

    name: str
    strategy: EnumRateLimitStrategy
    free: float
    """The share of it that is free, from 0 to 1; below 0 where calls wait in order for more."""
    full_in: float | None = None
    """Until a bucket is full."""
    taken: float | None = None
    """Calls in a window; one that slides counts those of the window before in part."""
    calls: int | None = None
    """Calls that fit a window."""
    window: int | None = None
    """Its length."""
    moves_in: float | None = None
    """Until the first of its calls are forgotten."""


class LimitStates:
    """The limits of a store. For one thread."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client

    def all(self) -> list[LimitState]:
        """Every limit of which anything is taken, by name.

        Raises:
            Exception: Whatever the client raises.
        """
        found = [(key, keys, arguments) for key, keys, arguments in map(_asked, self._keys()) if arguments]
        if not found:
            return []
        sha = self._client.script_load(script_text("limit_state"))
        pipeline = self._client.pipeline(transaction=False)
        for _, keys, arguments in found:
            pipeline.evalsha(sha, len(keys), *keys, *arguments)
        answers = pipeline.execute()
        states = (_state(key, answer) for (key, _, _), answer in zip(found, answers, strict=True) if answer)
        return sorted(states, key=lambda state: (state.name, state.strategy))

    def clear(self, name: str) -> bool:
        """Have the limits of a name begin anew; whether anything was taken of one.

        Raises:
            Exception: Whatever the client raises.
        """
        keys = [key for key in self._keys() if _name(key.removesuffix(_WINDOW_BEFORE)) == name]
        return bool(keys) and self._client.delete(*keys) > 0

    def _keys(self) -> Iterator[str]:
        for pattern in _PATTERNS:
            yield from self._client.scan_iter(pattern, 1000)


def _name(key: str) -> str | None:
    if key.startswith(_BUCKET):
        return key.removeprefix(_BUCKET)
    found = _WINDOW.fullmatch(key)
    return None if found is None else found["name"]


def _asked(key: str) -> tuple[str, Sequence[str], Sequence[str]]:
    if key.startswith(_BUCKET):
        return key, (key,), ("bucket",)
    found = _WINDOW.fullmatch(key)
    if found is None:
        return key, (key,), ()
    keys = (key, f"{key}{_WINDOW_BEFORE}") if found["sliding"] else (key,)
    return key, keys, (found["calls"], found["seconds"])


def _state(key: str, answer: object) -> LimitState:
    told, until, *entries = cast("list[str]", answer)
    first, second = float(told), float(until)
    window = _WINDOW.fullmatch(key)
    if window is None:
        owed, depth = first, second
        free = 1.0 - owed / depth if depth else 0.0
        name = key.removeprefix(_BUCKET)
        return LimitState(name, EnumRateLimitStrategy.TOKEN_BUCKET, free, full_in=owed / _MICROSECONDS)
    strategy = EnumRateLimitStrategy.SLIDING_WINDOW if window["sliding"] else EnumRateLimitStrategy.FIXED_WINDOW
    calls = int(window["calls"])
    return LimitState(
        window["name"],
        EnumRateLimitStrategy.MOVING_WINDOW if entries else strategy,
        max(0.0, 1.0 - first / calls),
        taken=first,
        calls=calls,
        window=int(window["seconds"]),
        moves_in=second / _MICROSECONDS,
    )
