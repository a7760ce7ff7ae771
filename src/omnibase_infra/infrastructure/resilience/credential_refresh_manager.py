"""Credentials that an issuer hands out for a time: kept, replaced before they end, and when they are refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, Protocol, TypeVar, cast

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused, require, require_callable
from omnibase_infra.infrastructure.resilience.credential_events import announce_refresh, refresh_failed
from omnibase_infra.infrastructure.resilience.decorate import is_async, refuse_deferred
from omnibase_infra.infrastructure.resilience.single_flight import SingleFlight
from omnibase_infra.infrastructure.resilience.substitution import announce
from omnibase_infra.infrastructure.resilience.transports import classify
from omnibase_infra.utils.util_ambient import clock_for

C = TypeVar("C", bound=Mapping[str, object])
C_co = TypeVar("C_co", bound=Mapping[str, object], covariant=True)
R = TypeVar("R")


class CredentialProvider(Protocol[C_co]):
    """An issuer of credentials."""

    def refresh_credential(self) -> C_co:
        """A new credential; its ``ttl_seconds``, when it has one, is how long it is good for."""
        ...


class CredentialRefreshManager(Generic[C]):
    """Keeps one credential valid for any number of threads.

    A credential is replaced at the first use at which less than the threshold is left of its lifetime, and the
    threshold is never more than half of that (``max_threshold_share`` in the preset): a credential that lives shorter
    than the threshold still serves for a while. One replacement is under way at a time; other threads wait for it and
    share its outcome. When it fails, a credential that has not ended yet serves on.

    Args:
        credential_provider: Its ``refresh_credential()`` returns a mapping with the credential, and ``ttl_seconds``.
        refresh_threshold_seconds: Seconds, 0 or more; 300 by the preset ``[defaults.credential_refresh]``.
        name: Shown in errors and events; by default the class of the provider.
        transport: Transport of the provider, shown in errors and events.
        service: Read ``[services.<service>]`` over the preset.
        profile: Read ``[profiles.<profile>.defaults]`` over the preset, and under the service's.
        clock: Monotonic time in seconds.

    Raises:
        ProtocolConfigurationError: When an argument is not usable.
    """

    def __init__(
        self,
        credential_provider: CredentialProvider[C],
        refresh_threshold_seconds: float | None = None,
        *,
        name: str | None = None,
        transport: EnumInfraTransportType | None = EnumInfraTransportType.VAULT,
        service: str | None = None,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from omnibase_infra.models.resilience import ModelCredentialRefreshConfig
        from omnibase_infra.presets import resolve

        refresh = getattr(credential_provider, "refresh_credential", None)
        if not callable(refresh) or is_async(refresh):
            raise refused(
                "credential_provider", credential_provider, "an object whose refresh_credential is a plain function"
            )
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        require_callable(clock=clock)
        given = {"refresh_threshold_seconds": refresh_threshold_seconds}
        self.config: Final = resolve(
            "defaults",
            "credential_refresh",
            ModelCredentialRefreshConfig,
            service=service,
            profile=profile,
            overrides={setting: value for setting, value in given.items() if value is not None},
        )
        self.provider: Final = credential_provider
        self.name: Final = checked_name(name) or service or type(credential_provider).__name__
        self.transport: Final = transport
        self._clock = clock_for(self, clock)
        self._held: _Held[C] | None = None
        self._flights = SingleFlight[_Held[C]]()

    def get_valid_credential(self) -> C:
        """The credential, replaced when it is near its end.

        Raises:
            InfraAuthenticationError: When there is none that is still good and the provider failed; chained from its
                failure.
        """
        return self._valid().credential

    def reset(self) -> None:
        """Forget the credential: the next use asks the provider."""
        self._held = None

    def call_with_auth(self, func: Callable[..., R], /, *args: object, **kwargs: object) -> R:
        """Call a plain function with ``credential=`` added; once more, with a new one, when that was refused.

        Refused is what `classify` calls AUTHENTICATION: an `InfraAuthenticationError`, a 401, a wrong password.

        Raises:
            InfraAuthenticationError: When the provider failed; chained from its failure.
            Exception: What `func` raises, at its second call when the first was refused for its credential.
            TypeError: When `func` is async.
        """
        held = self._valid()
        try:
            result = func(*args, credential=held.credential, **kwargs)
        except Exception as exc:
            if classify(exc, self.transport) is not EnumFailureKind.AUTHENTICATION:
                raise
            result = func(*args, credential=self._replaced(held).credential, **kwargs)
        refuse_deferred(func, result)
        return result

    def _valid(self) -> _Held[C]:
        held = self._held
        if held is None:
            return self._replaced(None)
        if self._clock() < held.refresh_at:
            return held
        return self._replaced(held, or_else=held)

    def _replaced(self, former: _Held[C] | None, *, or_else: _Held[C] | None = None) -> _Held[C]:
        """What is held in place of `former`, which another thread may have replaced already."""

        def refresh() -> _Held[C]:
            held = self._held
            if held is not None and held is not former:
                return held
            self._held = held = self._issued()
            announce_refresh(self.name, self.transport)
            return held

        landed = self._flights.join(id(former), refresh)
        try:
            if landed.error is None:
                return landed.result()
            if or_else is not None and self._clock() < or_else.ends_at:
                kind = classify(landed.error, self.transport)
                announce(
                    "credential_refresh", self.name, self.transport, "credential_refresh", kind=kind, exc=landed.error
                )
                return or_else
            raise refresh_failed(landed.error, self.name, self.transport) from landed.error
        finally:
            del landed  # its error's traceback holds this frame

    def _issued(self) -> _Held[C]:
        asked_at = self._clock()  # the lifetime began at some time after this
        credential = self.provider.refresh_credential()
        if not isinstance(cast("object", credential), Mapping):
            raise refused("refresh_credential()", credential, "a mapping")
        ttl = credential.get("ttl_seconds")
        if ttl is None:
            ttl = self.config.ttl_seconds
        if not isinstance(ttl, int | float) or isinstance(ttl, bool) or not ttl >= 0:
            raise refused("ttl_seconds", ttl, "a number of seconds, 0 or more")
        threshold = min(self.config.refresh_threshold_seconds, self.config.max_threshold_share * ttl)
        return _Held(credential, asked_at + ttl - threshold, asked_at + ttl)


class _Held(NamedTuple, Generic[C]):
    credential: C
    refresh_at: float
    ends_at: float
