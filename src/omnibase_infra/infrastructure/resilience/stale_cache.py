"""The last good answer, kept for a while: fresh it saves the call, stale it stands in for a failed one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, ParamSpec, TypeVar, cast

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused, require, require_callable
from omnibase_infra.infrastructure.resilience.decorate import (
    NamedByUse,
    is_async,
    is_stream,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.single_flight import SingleFlight
from omnibase_infra.infrastructure.resilience.substitution import UNANSWERED, announce, checked_kinds, kind_to_answer
from omnibase_infra.utils.util_ambient import clock_for

if TYPE_CHECKING:
    from omnibase_infra.models.resilience import ModelStaleCacheConfig

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class StaleCache(NamedByUse):
    """Keeps the last good answer to each call, and serves it, stale, when the next call fails.

    For `ttl` seconds an answer is fresh, and no call is made. After that one call for each key is under way at a
    time, however many ask: they share its outcome. When it fails, the old answer is served for another `max_stale`
    seconds, the ``stale-if-error`` of RFC 5861; without one the failure is raised. Failures are not kept.

    Every caller gets the same object: treat it as read-only. Tasks share a call with those of their event loop,
    threads with threads; the kept answers serve all of them.

    Args:
        config: The numbers.
        key: What tells calls apart, a hashable value made of their arguments; by default all of the arguments, a
            method's object included, which then lives as long as its answers.
        on: The kinds of failure that a stale answer stands in for; by default those of `Fallback`.
        name: Shown in events. An unnamed cache takes its transport and the first function it guards.
        transport: Transport of the guarded calls.
        clock: Monotonic time in seconds.

    Raises:
        ProtocolConfigurationError: When an argument is not usable; at a call, when its key cannot be hashed.
    """

    default_name: ClassVar[str] = "stale_cache"

    def __init__(
        self,
        config: ModelStaleCacheConfig | None = None,
        *,
        key: Callable[..., Hashable] | None = None,
        on: EnumFailureKind | Collection[EnumFailureKind] = UNANSWERED,
        name: str | None = None,
        transport: EnumInfraTransportType | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from omnibase_infra.models.resilience import ModelStaleCacheConfig

        require(ModelStaleCacheConfig, "a ModelStaleCacheConfig", config=config)
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_callable("a plain function of the call's arguments", key=key)
        require_callable(clock=clock)
        if key is not None and is_async(key):
            raise refused("key", key, "a plain function of the call's arguments")
        self.config: Final = config or ModelStaleCacheConfig()
        self.on: Final = checked_kinds(on)
        self.transport = transport
        self._key: Final = key or _all_arguments
        self._name = checked_name(name)
        self._clock = clock_for(self, clock)
        self._answers = _Answers(self.config.max_entries)
        self._flights = SingleFlight[object]()

    @property
    def entries(self) -> int:
        """Answers that are kept just now."""
        return len(self._answers.kept)

    def clear(self) -> None:
        """Forget every answer, that of a call under way too."""
        self._answers = _Answers(self.config.max_entries)

    reset = clear

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """Guard a function; it keeps its name, signature and type.

        Raises:
            TypeError: When `fn` cannot be guarded, as a generator function: its items can be read only once.
        """
        _refuse_stream(fn)
        return super().__call__(fn)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one guarded call; await what it returns when `fn` is a coroutine function."""
        _refuse_stream(fn)
        return super().call(fn, *args, **kwargs)

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function."""
        operation = self._introduce(fn)

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            answers, key = self._answers, (fn, self._key(*args, **kwargs))
            known = answers.find(key)
            if known is not None and self._clock() < known.fresh_until:
                return cast("T", known.value)

            async def refresh() -> object:
                value = await cast("Awaitable[object]", fn(*args, **kwargs))
                self._keep(answers, key, value)
                return value

            landed = await self._flights.join_async((answers, key), refresh)
            try:
                stale = self._stale(answers.find(key) or known, landed.error, operation)
                return cast("T", landed.result() if stale is None else stale.value)
            finally:
                del landed  # its error's traceback holds this frame

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function."""
        operation = self._introduce(fn)

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            answers, key = self._answers, (fn, self._key(*args, **kwargs))
            known = answers.find(key)
            if known is not None and self._clock() < known.fresh_until:
                return cast("T", known.value)

            def refresh() -> object:
                value = fn(*args, **kwargs)
                refuse_deferred(fn, value)
                self._keep(answers, key, value)
                return value

            landed = self._flights.join((answers, key), refresh)
            try:
                stale = self._stale(answers.find(key) or known, landed.error, operation)
                return cast("T", landed.result() if stale is None else stale.value)
            finally:
                del landed

        return call

    def _keep(self, answers: _Answers, key: Hashable, value: object) -> None:
        fresh_until = self._clock() + self.config.ttl
        answers.keep(key, _Answer(value, fresh_until, fresh_until + self.config.max_stale))

    def _stale(self, kept: _Answer | None, error: Exception | None, operation: str) -> _Answer | None:
        """The answer to serve in place of an error, if there is one that may."""
        if error is None or kept is None or self._clock() >= kept.stale_until:
            return None
        kind = kind_to_answer(error, self.transport)
        if kind not in self.on:
            return None
        announce("stale_cache", self.name, self.transport, operation, kind=kind, exc=error)
        return kept


def create_stale_cache(
    ttl: float | None = None,
    max_stale: float | None = None,
    max_entries: int | None = None,
    *,
    key: Callable[..., Hashable] | None = None,
    on: EnumFailureKind | Collection[EnumFailureKind] = UNANSWERED,
    name: str | None = None,
    transport: EnumInfraTransportType | None = None,
    service: str | None = None,
    profile: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> StaleCache:
    """Build a stale cache from the preset ``[defaults.stale_cache]``; every argument given here wins over it.

    Args:
        ttl: Seconds for which an answer is fresh; 0 makes every call, and shares those under way.
        max_stale: Seconds after that for which it stands in for a failure; 0 for not at all.
        max_entries: Answers kept; the least recently used go first.
        key: What tells calls apart, as `StaleCache` has it.
        on: The kinds of failure that a stale answer stands in for.
        name: Shown in events.
        transport: Transport of the guarded calls.
        service: Read ``[services.<service>]`` over the preset.
        profile: Read ``[profiles.<profile>.defaults]`` over the preset, and under the service's.
        clock: Monotonic time in seconds.

    Raises:
        ProtocolConfigurationError: When a setting is wrong.
    """
    from omnibase_infra.models.resilience import ModelStaleCacheConfig
    from omnibase_infra.presets import resolve

    given = {"ttl": ttl, "max_stale": max_stale, "max_entries": max_entries}
    config = resolve(
        "defaults",
        "stale_cache",
        ModelStaleCacheConfig,
        service=service,
        profile=profile,
        overrides={setting: value for setting, value in given.items() if value is not None},
    )
    return StaleCache(config, key=key, on=on, name=name or service, transport=transport, clock=clock)


class _Answer(NamedTuple):
    value: object
    fresh_until: float
    stale_until: float


class _Answers:
    """Answers by key, the least recently used first."""

    __slots__ = ("_lock", "_most", "kept")

    def __init__(self, most: int) -> None:
        self.kept: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._most = most
        # Re-entrant: an answer that is dropped may run code of its own, which asks again.
        self._lock = threading.RLock()

    def find(self, key: Hashable) -> _Answer | None:
        try:
            with self._lock:
                answer = self.kept.get(key)
                if answer is not None:
                    self.kept.move_to_end(key)
                return answer
        except TypeError as error:
            raise ProtocolConfigurationError(
                "key: must be made of hashable values; give key= for arguments that are none", parameter="key"
            ) from error

    def keep(self, key: Hashable, answer: _Answer) -> None:
        with self._lock:
            self.kept[key] = answer
            if len(self.kept) > self._most:
                self.kept.popitem(last=False)


def _all_arguments(*args: object, **kwargs: object) -> Hashable:
    # With their types, or 1 and True would be one call.
    named = sorted(kwargs.items())
    return args, tuple(named), tuple(map(type, args)), tuple(type(value) for _, value in named)


def _refuse_stream(fn: Callable[..., object]) -> None:
    if is_stream(fn):
        raise TypeError(f"cannot keep the answers of {qualified_name(fn)}: a generator's items can be read only once")
