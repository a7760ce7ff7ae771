"""Every policy that has a name: listed, looked up, and switched by it.

Entries are weak: a policy that its user drops leaves the registry with its last reference. At most `MOST_LISTED` are
listed; a policy beyond them works as ever but is not shown, and the log says so once.
"""

from __future__ import annotations

import itertools
import logging
import threading
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from omnibase_infra.enums import EnumPolicyKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused

if TYPE_CHECKING:
    from omnibase_infra.models.resilience.model_policy_snapshot import ModelPolicySnapshot

MOST_LISTED: Final = 10_000
"""Far more than a person reads; a program that names more of them means one policy for each key."""

_LOGGER: Final = logging.getLogger("onex.resilience.registry")


class Listed(Protocol):
    """A policy that the registry can show."""

    policy_kind: ClassVar[EnumPolicyKind]

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as they are now."""
        ...


class _Resettable(Listed, Protocol):
    def reset(self) -> None: ...


class _Switchable(_Resettable, Protocol):
    def trip(self) -> None: ...

    def isolate(self) -> None: ...


ListedT = TypeVar("ListedT", bound=Listed)

_ACTIONS: Final = {
    "trip": (EnumPolicyKind.CIRCUIT_BREAKER,),
    "isolate": (EnumPolicyKind.CIRCUIT_BREAKER,),
    "reset": (EnumPolicyKind.CIRCUIT_BREAKER, EnumPolicyKind.RATE_LIMITER),
}
"""Which kinds know which action."""


class _Table:
    """The entries, in the order in which the policies were made."""

    def __init__(self) -> None:
        # Re-entrant: a garbage collection in here may run code that makes a policy.
        self._lock = threading.RLock()
        self._serial = itertools.count()
        self._entries: WeakValueDictionary[tuple[int, str | None], Listed] = WeakValueDictionary()
        self._shared: WeakValueDictionary[tuple[EnumPolicyKind, str], Listed] = WeakValueDictionary()
        self._complained = False

    def add(self, policy: Listed, name: str | None) -> None:
        with self._lock:
            if len(self._entries) < MOST_LISTED:
                self._entries[next(self._serial), name] = policy
                return
            first, self._complained = not self._complained, True
        if first:
            _LOGGER.warning("%d policies are listed; the ones made from now on work but are not listed", MOST_LISTED)

    def share(self, name: str, policy: ListedT) -> ListedT:
        with self._lock:
            return cast("ListedT", self._shared.setdefault((policy.policy_kind, name), policy))

    def all(self) -> list[tuple[str | None, Listed]]:
        with self._lock:
            return [(name, policy) for (_, name), policy in self._entries.items()]


_table: Final = _Table()


def enlist(policy: Listed, name: str | None) -> None:
    """Have a policy listed for as long as it lives; for the policies' own use.

    Args:
        policy: It must be weakly referenceable.
        name: The name its user gave it, by which it can be looked up; None when it took one from what it guards.
    """
    _table.add(policy, name)


def share(name: str, policy: ListedT) -> ListedT:
    """The policy that is to be the only one of its kind with this name: the living one, else the one given."""
    return _table.share(name, policy)


def policies(kind: EnumPolicyKind | str | None = None) -> list[ModelPolicySnapshot]:
    """State and numbers of every policy that has a name, its own or that of the first function it guards.

    Oldest first. Policies of one name and kind are shown each for itself; one whose clock cannot be read here, as that
    of an event loop elsewhere, is shown without numbers.

    Args:
        kind: Only this one, such as ``"circuit_breaker"``.

    Raises:
        ProtocolConfigurationError: When there is no such kind.
    """
    wanted = _kinds(kind)
    return [_shown(name, policy) for name, policy in _table.all() if policy.policy_kind in wanted]


def find(name: str, kind: EnumPolicyKind | str | None = None) -> list[Listed]:
    """The policies that were given this name, oldest first; never an empty list.

    A circuit breaker made by a factory is the only one of its name. Limiters, bulkheads and budgets may share one.

    Args:
        name: As it was given to the policy.
        kind: Only this one, such as ``"circuit_breaker"``.

    Raises:
        ProtocolConfigurationError: When no policy has the name; the nearest is suggested.
    """
    shown = checked_name(name)
    if shown is None:
        raise refused("name", name, "text that is not blank")
    kinds = _kinds(kind)
    entries = [(known, policy) for known, policy in _table.all() if known and policy.policy_kind in kinds]
    found = [policy for known, policy in entries if known == shown]
    if found:
        return found
    what = "policy" if kind is None else EnumPolicyKind(kind)
    near = get_close_matches(shown, {known for known, _ in entries if known}, 1)
    hint = f"did you mean {near[0]!r}?" if near else "policies() lists those there are"
    raise ProtocolConfigurationError(f"name = {shown!r}: no {what} has this name; {hint}", parameter="name")


def trip(name: str) -> None:
    """Open the circuit of this name for its recovery time; a breaker with keys refuses them all meanwhile.

    Raises:
        ProtocolConfigurationError: When no circuit breaker has the name.
    """
    for policy in _able(name, "trip"):
        cast("_Switchable", policy).trip()


def isolate(name: str) -> None:
    """Have the circuit of this name refuse every call until it is reset.

    Raises:
        ProtocolConfigurationError: When no circuit breaker has the name.
    """
    for policy in _able(name, "isolate"):
        cast("_Switchable", policy).isolate()


def reset(name: str, kind: EnumPolicyKind | str | None = None) -> None:
    """Begin anew: the circuit of this name closes, the bucket of a limiter is full.

    A bulkhead is not reset, for calls under way hold its places; nor is a retry budget, whose point is to outlast an
    outage.

    Args:
        name: As it was given to the policy.
        kind: Needed when a circuit breaker and a rate limiter have this name: who closes a circuit may not want the
            burst that a full bucket lets pass.

    Raises:
        ProtocolConfigurationError: When no policy that can be reset has the name, or two kinds have it.
    """
    able = _able(name, "reset", kind)
    kinds = sorted({policy.policy_kind for policy in able})
    if len(kinds) > 1:
        raise ProtocolConfigurationError(
            f"kind: is needed, for a {' and a '.join(kinds)} have the name {checked_name(name)!r}", parameter="kind"
        )
    for policy in able:
        cast("_Resettable", policy).reset()


def _shown(name: str | None, policy: Listed) -> ModelPolicySnapshot:
    from omnibase_infra.models.resilience.model_policy_snapshot import ModelPolicySnapshot

    try:
        return policy.snapshot()
    except Exception:  # its clock's, which must not hide all the others
        return ModelPolicySnapshot(kind=policy.policy_kind, name=name or policy.policy_kind)


def _able(name: str, action: str, kind: EnumPolicyKind | str | None = None) -> list[Listed]:
    found = find(name, kind)
    able = [policy for policy in found if policy.policy_kind in _ACTIONS[action]]
    if not able:
        raise ProtocolConfigurationError(
            f"name = {checked_name(name)!r}: a {found[0].policy_kind} knows no {action}, "
            f"only a {' and a '.join(_ACTIONS[action])} does",
            parameter="name",
        )
    return able


def _kinds(kind: EnumPolicyKind | str | None) -> tuple[EnumPolicyKind, ...]:
    if kind is None:
        return tuple(EnumPolicyKind)
    if kind not in list(EnumPolicyKind):
        raise refused("kind", kind, f"one of {', '.join(EnumPolicyKind)}, or None")
    return (EnumPolicyKind(kind),)
