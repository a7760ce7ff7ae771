"""The policies of a process's services, under the rules by which they are trusted.

Code that runs in this process is trusted: it could call anything. What the registry guards against is the mistake: a
policy of another's making, an unversioned change, one part of a program that silently takes the place of another's.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple, TypeVar, cast

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import (
    checked_name,
    refused,
    require,
    require_callable,
    require_flag,
)
from omnibase_infra.infrastructure.resilience.decorate import Guard
from omnibase_infra.runtime.model_policy_allow_list import ModelPolicyAllowList
from omnibase_infra.runtime.model_policy_registration import ModelPolicyRegistration
from omnibase_infra.runtime.semantic_version import Precedence, precedence

T = TypeVar("T")

MOST_POLICIES: Final = 10_000
"""Policies a registry takes; a program that registers more means one for each key of its traffic."""

MOST_RECORDS: Final = 100_000
"""Registrations that `history` remembers, the latest; the log has had every one."""

_LOGGER: Final = logging.getLogger("omnibase_infra.runtime.policies")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


class _Entry(NamedTuple):
    policy: Guard
    registration: ModelPolicyRegistration


class RegistryPolicy:
    """Services' policies by service, name and version. May be used from any task and thread.

    Args:
        allow_list: What may be registered; None for every policy of this package.
        clock: The wall clock, with a time zone, for the record.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    def __init__(
        self,
        *,
        allow_list: ModelPolicyAllowList | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        require(ModelPolicyAllowList, "a ModelPolicyAllowList", allow_list=allow_list)
        require_callable(clock=clock)
        self.allow_list: Final = allow_list
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], dict[Precedence, _Entry]] = {}
        self._history: deque[ModelPolicyRegistration] = deque(maxlen=MOST_RECORDS)
        self._count = 0
        self._sequence = 0

    def register(
        self, policy: Guard, *, service: str, name: str, version: str, registered_by: str, replace: bool = False
    ) -> ModelPolicyRegistration:
        """Register a policy object of this package, such as a breaker or a pipeline; return the line of the record.

        Args:
            policy: The policy.
            service: The service whose policy it is: letters, digits, ``.``, ``_`` and ``-``.
            name: The policy's name within the service, of the same letters.
            version: Its semantic version. The build part is recorded, but does not tell versions apart.
            registered_by: Who registers it, for the record: a module, a team, a deployment.
            replace: Take the place of a policy of this name and version.

        Raises:
            ProtocolConfigurationError: When an argument is not usable, `policy` is none of this package's or not on the
                allow-list, the version is there and `replace` is not said, or the registry is full.
        """
        require_flag(replace=replace)
        key = _checked(service, "service"), _checked(name, "name")
        rank = precedence(version)
        who = checked_name(registered_by, "registered_by")
        if who is None:
            raise refused("registered_by", registered_by, "text that is not blank")
        cls = type(policy)
        if not isinstance(policy, policy_classes()):
            raise refused("policy", policy, f"one of {', '.join(known.__name__ for known in policy_classes())}")
        refusal = self.allow_list.refusal("/".join(key), cls) if self.allow_list else None
        if refusal is not None:
            raise ProtocolConfigurationError(f"policy: {refusal}", parameter="policy")
        now = self._clock()
        if now.tzinfo is None:
            raise refused("clock", now, "a wall clock that tells its time zone")
        with self._lock:
            versions = self._entries.get(key, {})
            replaced = rank in versions
            if replaced and not replace:
                raise ProtocolConfigurationError(
                    f"version: {'/'.join(key)} {versions[rank].registration.version} is registered already; "
                    "say replace=True to take its place, or give another version",
                    parameter="version",
                )
            if not replaced and self._count >= MOST_POLICIES:
                raise ProtocolConfigurationError(
                    f"policy: the registry holds {MOST_POLICIES} policies already; is one registered for each call?",
                    parameter="policy",
                )
            self._sequence += 1
            registration = ModelPolicyRegistration(
                sequence=self._sequence,
                service=key[0],
                name=key[1],
                version=version,
                policy_type=f"{cls.__module__}.{cls.__qualname__}",
                registered_by=who,
                registered_at=now,
                replaced=replaced,
            )
            self._count += not replaced
            # A new table, not a changed one: readers take no lock.
            self._entries[key] = {**versions, rank: _Entry(policy, registration)}
            self._history.append(registration)
        _LOGGER.info(
            "%s/%s %s (%s) was %s by %s",
            *(key[0], key[1], version, registration.policy_type, "replaced" if replaced else "registered", who),
            extra={"policy_registration": registration.model_dump(mode="json")},
        )
        return registration

    def resolve(self, kind: type[T], *, service: str, name: str, version: str | None = None) -> T:
        """Return a registered policy.

        Args:
            kind: Its class, or a base class of it.
            service: The service whose policy it is.
            name: Its name.
            version: Its version; None for the latest release. A pre-release must be asked for.

        Raises:
            ProtocolConfigurationError: When there is none, or it is of another kind. The message lists what there is.
        """
        key = _checked(service, "service"), _checked(name, "name")
        rank = None if version is None else precedence(version)
        versions = self._entries.get(key)
        if versions is None:
            raise ProtocolConfigurationError(self._unknown(*key), parameter="name")
        if rank is None:
            rank = max((known for known in versions if known[1]), default=None)
        entry = None if rank is None else versions.get(rank)
        if entry is None:
            known = ", ".join(versions[rank].registration.version for rank in sorted(versions))
            wanted = "release" if version is None else f"version {version}"
            raise ProtocolConfigurationError(
                f"version: {'/'.join(key)} has no {wanted}, but {known}", parameter="version"
            )
        if not isinstance(entry.policy, kind):
            raise ProtocolConfigurationError(
                f"kind: {'/'.join(key)} is a {type(entry.policy).__qualname__}, not a {kind.__qualname__}",
                parameter="kind",
            )
        return entry.policy

    def registrations(self, service: str | None = None) -> tuple[ModelPolicyRegistration, ...]:
        """What is registered now, of all services or of one, by name and version."""
        with self._lock:
            entries = dict(self._entries)
        return tuple(
            entries[key][rank].registration
            for key in sorted(entries)
            if service is None or key[0] == service
            for rank in sorted(entries[key])
        )

    def history(self) -> tuple[ModelPolicyRegistration, ...]:
        """Every registration there has been, oldest first, those that were replaced included."""
        with self._lock:
            return tuple(self._history)

    def clear(self) -> None:
        """Forget everything, the record too: for tests that share a registry."""
        with self._lock:
            self._entries = {}
            self._history.clear()
            self._count = self._sequence = 0

    def _unknown(self, service: str, name: str) -> str:
        with self._lock:
            known = sorted(known for of, known in self._entries if of == service)
            services = sorted({of for of, _ in self._entries})
        if known:
            return f"name: {service} has no policy {name}, but {', '.join(known)}"
        return f"service: {service} has no policies; those of {', '.join(services) or 'no service'} are registered"


@cache
def policy_classes() -> tuple[type, ...]:
    """The classes of this package that guard functions."""
    from omnibase_infra.infrastructure import resilience

    public = (cast("object", getattr(resilience, name)) for name in resilience.__all__)
    classes = {known for known in public if isinstance(known, type) and hasattr(known, "around_async")}
    return tuple(sorted(classes, key=lambda known: known.__name__))


def _checked(name: object, parameter: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refused(parameter, name, "1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit")
    return name
