"""Token buckets on a Redis or Valkey server, over whichever client a storage of `limits` holds."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Awaitable, Callable
from functools import cache, lru_cache
from importlib.resources import files
from struct import pack
from typing import TYPE_CHECKING, Final, Protocol, cast

from omnibase_infra.infrastructure.resilience.rules import token_bucket as rule
from omnibase_infra.infrastructure.resilience.shared_state.booking import Booking, Place, Request
from omnibase_infra.infrastructure.resilience.shared_state.packed_script import Reply, Scripting, script_on
from omnibase_infra.infrastructure.resilience.shared_state.script_flights import async_script_on

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage as AsyncRedisStorage
    from limits.storage import RedisStorage

_FOLDER: Final = "omnibase_infra.infrastructure.resilience.shared_state"
_MICROSECONDS: Final = 1e6
_NANOSECONDS: Final = 1e9


class ScriptBuckets:
    """Buckets that blocking clients of many processes share; one round trip a call."""

    def __init__(self, storage: RedisStorage) -> None:
        client = cast("Scripting", storage.get_connection())
        self._take = script_on(client, script_text("token_bucket"))
        self._give_back = cast("Callable[..., object]", client.register_script(script_text("give_back")))
        self._key = storage.prefixed_key
        self.clear = storage.clear

    def take(self, key: str, request: Request) -> Booking:
        """Take tokens, or book a place for them, or say when to ask again."""
        return _booking(self._take(self._key(key), _argument(request)))

    def take_if_connected(self, key: str, request: Request, timeout: float) -> Booking | None:
        """As `take`, in one round trip over a connection that is at hand; None when that cannot be.

        Raises:
            TimeoutError: When no answer has come after `timeout` seconds.
        """
        reply = self._take.if_connected(self._key(key), _argument(request), timeout)
        return None if reply is None else _booking(reply)

    def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:
        """Give back what was taken, if nobody has taken since; whether it was."""
        return _done(self._give_back([self._key(key)], _returned(cost, depth, place)))


class AsyncScriptBuckets:
    """Buckets that asyncio clients of many processes share; one round trip a call."""

    def __init__(self, storage: AsyncRedisStorage, places: Semaphore | None = None) -> None:
        # Not in the type of a bridge, but in each of them: redis-py's, valkey-py's and coredis'.
        bridge = cast("_Bridge", storage.bridge)
        client = bridge.get_connection()
        self._take = async_script_on(client, script_text("token_bucket"), places)
        self._give_back = cast("Callable[..., Awaitable[object]]", client.register_script(script_text("give_back")))
        self._key = bridge.prefixed_key

    async def take(self, key: str, request: Request) -> Booking:
        """Take tokens, or book a place for them, or say when to ask again."""
        return _booking(await self._take(self._key(key), _argument(request)))

    async def give_back(self, key: str, cost: float, depth: float, place: Place) -> bool:
        """Give back what was taken, if nobody has taken since; whether it was."""
        return _done(await self._give_back([self._key(key)], _returned(cost, depth, place)))


class _Bridge(Protocol):
    def get_connection(self) -> Scripting: ...

    def prefixed_key(self, key: str, /) -> str: ...


@cache
def script_text(name: str) -> str:
    """The source of one of the scripts beside this file."""
    return files(_FOLDER).joinpath(f"{name}.lua").read_text(encoding="utf-8")


@lru_cache
def _argument(request: Request) -> bytes:
    seconds = (request.cost, request.depth, _slack(request.depth), request.patience, request.unit)
    return pack("<6d", *(_MICROSECONDS * value for value in seconds), request.extra)


def _returned(cost: float, depth: float, place: Place) -> list[str]:
    return [repr(_MICROSECONDS * cost), repr(_MICROSECONDS * _slack(depth)), *str(place).split()]


def _slack(depth: float) -> float:
    return rule.reach(depth) - depth


def _booking(reply: Reply) -> Booking:
    granted, wait, extra, place = (reply.decode() if isinstance(reply, bytes) else reply).split(" ", 3)
    owed = int(place.partition(" ")[2])
    return Booking(granted == "1", int(wait) / _NANOSECONDS, owed / _NANOSECONDS, int(extra), place)


def _done(reply: object) -> bool:
    return reply == 1
