"""Credentials renewed before they end, and once more when they are refused: one renewal at a time for all callers."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakValueDictionary

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused, require
from omnibase_infra.infrastructure.resilience.credential_events import announce_refresh, refresh_failed
from omnibase_infra.infrastructure.resilience.decorate import (
    Decorating,
    is_async,
    qualified_name,
    refuse_deferred,
)
from omnibase_infra.infrastructure.resilience.single_flight import SingleFlight
from omnibase_infra.infrastructure.resilience.transports import classify
from omnibase_infra.utils.util_correlation import CorrelationContext

if TYPE_CHECKING:
    from uuid import UUID

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Credential(Protocol):
    """A credential that renews itself."""

    @property
    def is_expired(self) -> bool:
        """Whether it has to be renewed before its next use; may be true some time before its end."""
        ...

    async def refresh(self) -> object:
        """Renew it in place."""
        ...


class SyncCredential(Protocol):
    """A credential whose renewal is a plain function."""

    @property
    def is_expired(self) -> bool:
        """Whether it has to be renewed before its next use; may be true some time before its end."""
        ...

    def refresh(self) -> object:
        """Renew it in place."""
        ...


class CredentialRefresh(Decorating):
    """Guards functions that use a credential.

    A call first renews a credential that says it is expired. When the call is refused for its credentials (an
    `InfraAuthenticationError`, a 401, a wrong password: whatever `classify` calls AUTHENTICATION), the credential is
    renewed once and the call made once more; what that raises goes through.

    However many calls need a renewal, one is under way: they wait for it and share its outcome, tasks with those of
    their event loop, threads with threads. A call that was refused with a credential which has been renewed since it
    began is made again without another renewal. Policies of one credential object, and `with_credential_refresh`,
    share all that. A cancelled caller leaves the others their renewal.

    Args:
        credential: Renewed in place; the guarded functions read it themselves.
        name: Shown in errors and events; by default the class of the credential.
        transport: Transport of the guarded calls.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
        InfraAuthenticationError: From a call whose renewal failed, chained from that failure.
    """

    def __init__(
        self,
        credential: Credential | SyncCredential,
        *,
        name: str | None = None,
        transport: EnumInfraTransportType | None = None,
    ) -> None:
        if not callable(getattr(credential, "refresh", None)):
            raise refused("credential", credential, "an object with is_expired and refresh()")
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        self.credential: Final = credential
        self.name: Final = checked_name(name) or type(credential).__name__
        self.transport: Final = transport
        self._renewal = _renewal_of(credential)

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function. A plain `refresh` holds the event loop while it runs."""
        credential, renewal, transport = self.credential, self._renewal, self.transport

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            generation = renewal.generation
            if credential.is_expired:
                await self._renew_async(generation)
                generation = renewal.generation
            try:
                return await fn(*args, **kwargs)
            except Exception as exc:
                if classify(exc, transport) is not EnumFailureKind.AUTHENTICATION:
                    raise
                await self._renew_async(generation)
                return await fn(*args, **kwargs)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function.

        Raises:
            TypeError: When `refresh` of the credential is async: a plain function cannot await it.
        """
        credential, renewal, transport = self.credential, self._renewal, self.transport
        if is_async(credential.refresh):
            raise TypeError(f"{qualified_name(fn)} is a plain function: an async refresh can only serve an async one")

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            generation = renewal.generation
            if credential.is_expired:
                self._renew(generation)
                generation = renewal.generation
            try:
                result = fn(*args, **kwargs)
            except Exception as exc:
                if classify(exc, transport) is not EnumFailureKind.AUTHENTICATION:
                    raise
                self._renew(generation)
                result = fn(*args, **kwargs)
            refuse_deferred(fn, result)
            return result

        return call

    async def _renew_async(self, generation: int) -> None:
        """Renew the credential of that generation, unless somebody has."""

        async def refresh() -> None:
            if self._renewal.generation == generation:
                done = self.credential.refresh()
                if isawaitable(done):
                    await done
                self._renewed()

        landed = await self._renewal.flights.join_async(generation, refresh)
        try:
            if landed.error is not None:
                raise refresh_failed(landed.error, self.name, self.transport) from landed.error
        finally:
            del landed  # its error's traceback holds this frame

    def _renew(self, generation: int) -> None:
        def refresh() -> None:
            if self._renewal.generation == generation:
                refuse_deferred(self.credential.refresh, self.credential.refresh())
                self._renewed()

        landed = self._renewal.flights.join(generation, refresh)
        try:
            if landed.error is not None:
                raise refresh_failed(landed.error, self.name, self.transport) from landed.error
        finally:
            del landed  # its error's traceback holds this frame

    def _renewed(self) -> None:
        self._renewal.generation += 1
        announce_refresh(self.name, self.transport)


@overload
async def with_credential_refresh(
    operation: Callable[[], Awaitable[T]],
    credential: Credential | SyncCredential,
    correlation_id: UUID | str | None = None,
) -> T: ...


@overload
async def with_credential_refresh(
    operation: Callable[[], T],
    credential: Credential | SyncCredential,
    correlation_id: UUID | str | None = None,
) -> T: ...


async def with_credential_refresh(
    operation: Callable[[], Awaitable[T] | T],
    credential: Credential | SyncCredential,
    correlation_id: UUID | str | None = None,
) -> T:
    """Call `operation` with a credential that is renewed before its end, and once more when it is refused.

    As `CredentialRefresh` does it, and together with all others who use this credential object.

    Args:
        operation: An async or plain function that uses the credential; a plain one holds the event loop.
        credential: Renewed in place.
        correlation_id: Current during the calls, and in the errors they make; by default the one that is current,
            else a new one.

    Raises:
        InfraAuthenticationError: When the renewal failed, chained from that failure.
        Exception: What `operation` raises, at its second call when the first was refused for its credentials.
        ValueError: When `correlation_id` is neither a UUID nor a UUID string.
    """

    async def call() -> T:
        result = operation()
        if isawaitable(result):
            return await result
        return result

    with CorrelationContext(correlation_id):
        return await CredentialRefresh(credential).around_async(call)()


class _Renewal:
    """What all users of one credential object share."""

    __slots__ = ("__weakref__", "credential", "flights", "generation")

    def __init__(self, credential: object) -> None:
        self.credential = credential  # as long as it lives, nothing else has its id
        self.flights = SingleFlight[None]()
        self.generation = 0


_renewals: Final[WeakValueDictionary[int, _Renewal]] = WeakValueDictionary()
_renewals_lock: Final = threading.RLock()


def _renewal_of(credential: object) -> _Renewal:
    """By identity: a credential need be neither hashable nor weakly referable."""
    with _renewals_lock:
        renewal = _renewals.get(id(credential))
        if renewal is None:
            renewal = _renewals[id(credential)] = _Renewal(credential)
        return renewal
