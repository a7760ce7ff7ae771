"""One circuit for each key, such as a host or a tenant: one that is down takes no other with it.

A closed circuit without failures knows nothing that a new one would not know. So forgetting the key that was longest
out of use loses nothing, and memory is kept for the circuits that have something to remember.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from omnibase_infra.enums import EnumCircuitState, EnumPolicyKind
from omnibase_infra.infrastructure.resilience import registry
from omnibase_infra.infrastructure.resilience.arguments import checked_count, checked_name, refused, require_flag
from omnibase_infra.infrastructure.resilience.decorate import (
    IS_DEFERRED,
    NamedByUse,
    is_async,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.utils.util_ambient import adopt
from omnibase_infra.utils.util_show_value import short_hash

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
    from omnibase_infra.infrastructure.resilience.keyed_sharing import KeyedSharing
    from omnibase_infra.infrastructure.resilience.rules.circuit import Generation
    from omnibase_infra.models.resilience import ModelPolicySnapshot, ModelSharedCircuitConfig

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

MAX_KEYS: Final = 10_000
"""Keys remembered unless the user says otherwise, at some 300 bytes each."""

_LOOKS: Final = 8
"""Circuits looked at for one to forget: a new key waits for so many, not for all."""

_LONGEST_SHOWN: Final = 100


class KeyedCircuitBreaker(NamedByUse):
    """A circuit for each key that is asked for, all with the same settings.

    Use it as a decorator, through `call`, or as ``with breaker.for_key(key):``, from any number of tasks, event loops
    and threads.

    At most `max_keys` circuits are remembered. Forgotten are first those that are closed without failures, the longest
    unused first; then those with fewer failures than the threshold, and those that are due for a probe, the longest
    unchanged first. A circuit that is open, isolated or disabled is never forgotten, nor is one while a call through it
    is under way. While only such ones are left, all new keys share one more circuit: they are guarded, and take no
    memory.

    With `shared`, workers share the circuit of each key, and `trip` and `reset` of the whole. All keys have the one
    connection of this process to the store; a circuit that is closed everywhere has no part in what goes over it. The
    store knows a key by a hash; it must be of a kind that looks the same in every process.

    Args:
        template: Has the settings of all; guards nothing itself.
        key: Called with the arguments of each call, `self` included; gives something hashable. What it raises, the
            caller gets, before anything is counted.
        name: Shown in errors. An unnamed breaker takes its transport and the first function it guards.
        max_keys: Circuits remembered, 1 or more; those of calls under way may come on top.
        show_keys: Show the keys in errors, events and snapshots, as is right for hosts. Else a short hash stands for
            them, for a key may be a person's name or address.
        shared: Where and how workers share the circuits, by `name`, which is needed then; None, or one without a URL,
            for circuits of this process.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    default_name: ClassVar[str] = "circuit_breaker"
    policy_kind: ClassVar[EnumPolicyKind] = EnumPolicyKind.CIRCUIT_BREAKER

    def __init__(
        self,
        template: InfrastructureCircuitBreaker,
        *,
        key: Callable[..., Hashable],
        name: str | None = None,
        max_keys: int = MAX_KEYS,
        show_keys: bool = False,
        shared: ModelSharedCircuitConfig | None = None,
    ) -> None:
        if isinstance(key, type) or not callable(key) or is_async(key):
            raise refused("key", key, "a plain function of the call's arguments")
        require_flag(show_keys=show_keys)
        self.max_keys = checked_count("max_keys", max_keys)
        if template.config.shared is not None and template.config.shared.url is not None:
            raise refused("template", template, "a breaker that is not shared itself: give shared to the one with keys")
        is_shared = shared is not None and shared.url is not None
        if is_shared and name is None:
            raise refused("name", None, "text, by which workers share the circuits")
        self.config = template.config if shared is None else template.config.model_copy(update={"shared": shared})
        self.transport = template.transport
        self.settings: dict[str, object] = {
            **template.settings,
            "shared": shared,
            "key": key,
            "max_keys": max_keys,
            "show_keys": show_keys,
        }
        self._name = checked_name(name)
        self._template = template
        self._key = key
        self._show_keys = show_keys
        # Re-entrant: a garbage collection in here may close a generator that this breaker guards.
        self._lock = threading.RLock()
        self._blank: OrderedDict[Hashable, rule.Circuit] = OrderedDict()
        self._kept: OrderedDict[Hashable, rule.Circuit] = OrderedDict()
        self._forgotten: WeakValueDictionary[Hashable, rule.Circuit] = WeakValueDictionary()
        """Circuits without a place that calls under way still hold: their key finds them again."""
        self._overflow = rule.Circuit(self.config)
        self._whole = rule.Circuit(self.config)
        self._commanded = False
        self._sharing = self._shared(shared) if shared is not None and is_shared else None
        adopt(self)
        if name is not None:
            registry.enlist(self, self._name)

    @property
    def state(self) -> EnumCircuitState:
        """The state of the whole: closed, unless a command says otherwise. For one key, ask `for_key`."""
        return self._of_whole().state

    def __len__(self) -> int:
        """Circuits remembered now."""
        return len(self._blank) + len(self._kept)

    def for_key(self, key: Hashable) -> InfrastructureCircuitBreaker:
        """The breaker that decides about this key now; ask anew for each call.

        That is the key's own, save while the whole is tripped, isolated or disabled.
        """
        return self._breaker(key, self._find(key))

    def troubled(self) -> list[ModelPolicySnapshot]:
        """The circuits that are not closed or have counted failures, the longest unchanged first."""
        with self._lock:
            kept = list(self._kept.items())
        return [self._breaker(key, circuit).snapshot() for key, circuit in kept]

    def trip(self) -> None:
        """Open the whole, all keys in one circuit, for its recovery time; a good probe gives it back to the keys."""
        self._of_whole().trip()

    def isolate(self) -> None:
        """Refuse every call of every key until `reset`."""
        self._of_whole().isolate()

    def disable(self) -> None:
        """Let every call pass and count nothing until `reset`."""
        self._of_whole().disable()

    def reset(self) -> None:
        """Close the whole and the circuit of each key, and forget every count."""
        with self._lock:
            circuits = [*self._kept.items(), *self._forgotten.items()]
        for key, circuit in circuits:
            self._breaker(key, circuit).reset()
        self._breaker(None, self._overflow).reset()
        self._of_whole().reset()
        if self._sharing is not None:
            self._sharing.reset()

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now: `keys` that are remembered, and how many in which state."""
        from omnibase_infra.models.resilience import ModelPolicySnapshot

        with self._lock:
            states = [circuit.generation.state for circuit in self._kept.values()]
            keys = len(self)
        return ModelPolicySnapshot(
            kind=self.policy_kind,
            name=self.name,
            transport=self.transport,
            state=self.state,
            numbers={
                "keys": keys,
                "max_keys": self.max_keys,
                "open": states.count(rule.OPEN),
                "half_open": states.count(rule.HALF_OPEN),
                "isolated": states.count(rule.ISOLATED),
                "disabled": states.count(rule.DISABLED),
            },
        )

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function; while its circuit is closed, a call asks for nothing but the key."""
        operation = self._introduce(fn)
        key_of, find = self._key, self._find

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            key = key_of(*args, **kwargs)
            circuit = find(key)
            admitted = circuit.passing or self._let_pass(key, circuit)
            if admitted is None:
                return await self._breaker(key, circuit).around_async(fn)(*args, **kwargs)
            try:
                result = await fn(*args, **kwargs)
            except BaseException as exc:
                error = self._breaker(key, circuit).record_failure(admitted, exc, 0.0, operation)
                try:
                    if error is exc:
                        raise
                    raise error from exc
                finally:
                    del error  # else it and this frame would hold each other until a garbage collection
            if admitted.listening:
                self._breaker(key, circuit).record_success(admitted, 0.0)
            return result

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function.

        Raises:
            TypeError: When the fallback is async: a plain function cannot await it.
        """
        operation = self._introduce(fn)
        self._of_whole().around_sync(fn)  # refuses now what it would refuse at the first rejection
        key_of, find = self._key, self._find

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            key = key_of(*args, **kwargs)
            circuit = find(key)
            admitted = circuit.passing or self._let_pass(key, circuit)
            if admitted is None:
                return self._breaker(key, circuit).around_sync(fn)(*args, **kwargs)
            try:
                result = fn(*args, **kwargs)
                if IS_DEFERRED[type(result)]:
                    refuse_deferred(fn, result)
            except BaseException as exc:
                error = self._breaker(key, circuit).record_failure(admitted, exc, 0.0, operation)
                try:
                    if error is exc:
                        raise
                    raise error from exc
                finally:
                    del error  # else it and this frame would hold each other until a garbage collection
            if admitted.listening:
                self._breaker(key, circuit).record_success(admitted, 0.0)
            return result

        return call

    def _named(self) -> None:
        registry.enlist(self, None)

    def _breaker(self, key: Hashable, circuit: rule.Circuit) -> InfrastructureCircuitBreaker:
        """All faces of one circuit; made when there is something to decide."""
        if circuit is self._whole:
            return self._of_whole()
        if circuit is self._overflow:
            return self._template.over(circuit, f"{self.name} (further keys)", _nothing)
        if self._sharing is not None:
            return self._sharing.breaker(key, circuit, self._shown(key) if self._show_keys else None)
        return self._template.over(circuit, f"{self.name} {self._shown(key)}", partial(self._file, key, circuit))

    def _of_whole(self) -> InfrastructureCircuitBreaker:
        if self._sharing is not None:
            return self._sharing.whole
        return self._template.over(self._whole, self.name, self._note_command)

    def _shared(self, shared: ModelSharedCircuitConfig) -> KeyedSharing:
        from omnibase_infra.infrastructure.resilience.keyed_sharing import KeyedSharing

        return KeyedSharing(
            self._template,
            shared,
            self.config,
            name=self.name,
            most=self.max_keys,
            whole=self._whole,
            commanded=self._note_command,
            file=self._file,
            circuits=self._remembered,
        )

    def _remembered(self) -> list[rule.Circuit]:
        with self._lock:
            return [*self._blank.values(), *self._kept.values(), *self._forgotten.values()]

    def _let_pass(self, key: Hashable, circuit: rule.Circuit) -> Generation | None:
        """What a call belongs to that need not ask, though its circuit has no say from other workers yet."""
        if self._sharing is None or circuit is self._whole or circuit is self._overflow:
            return None
        return self._sharing.let_pass(key, circuit)

    def _shown(self, key: Hashable) -> str:
        if not self._show_keys:
            return f"#{short_hash(key)}"
        from omnibase_infra.utils.util_sanitize import sanitize

        return sanitize(str(key)[:_LONGEST_SHOWN])

    def _find(self, key: Hashable) -> rule.Circuit:
        with self._lock:
            if self._commanded:
                return self._whole
            circuit = self._blank.get(key)
            if circuit is not None:
                self._blank.move_to_end(key)
                return circuit
            return self._kept.get(key) or self._place(key)

    def _place(self, key: Hashable) -> rule.Circuit:
        """Give a key its circuit; the caller holds the lock."""
        has_room = self._make_room()
        circuit = self._forgotten.get(key)
        if not has_room:
            return circuit or self._overflow
        if circuit is None:
            circuit = rule.Circuit(self.config)
            if self._sharing is not None:
                rule.ask_first(circuit)
        else:
            del self._forgotten[key]
        (self._blank if rule.is_blank(circuit) else self._kept)[key] = circuit
        return circuit

    def _file(self, key: Hashable, circuit: rule.Circuit) -> None:
        """Put a circuit that may have changed where it now belongs."""
        with self._lock:
            is_blank = rule.is_blank(circuit)
            if self._blank.pop(key, None) is None and self._kept.pop(key, None) is None:
                # Forgotten while a call was under way. What it now has to remember is not to be lost, room or not.
                if is_blank:
                    return
                self._forgotten.pop(key, None)
                self._make_room()
            (self._blank if is_blank else self._kept)[key] = circuit
            if is_blank and self._sharing is not None:
                self._sharing.settled(key)

    def _make_room(self) -> bool:
        """Forget as many circuits as it takes to have room for one; the caller holds the lock."""
        blank, kept = self._blank, self._kept
        looks = _LOOKS
        while len(blank) + len(kept) >= self.max_keys:
            if blank:
                key, circuit = blank.popitem(last=False)
                may_go = rule.is_blank(circuit)  # else its change is just being recorded
            elif kept and looks:
                looks -= 1
                key, circuit = kept.popitem(last=False)
                may_go = self._template.may_forget(circuit)
            else:
                return False
            if may_go:
                self._forgotten[key] = circuit
                if self._sharing is not None:
                    self._sharing.forget(key)
            else:
                kept[key] = circuit
        return True

    def _note_command(self) -> None:
        with self._lock:
            self._commanded = self._whole.generation.state is not rule.CLOSED


def _nothing() -> None:
    """The circuit of the further keys has no place that it could change."""
