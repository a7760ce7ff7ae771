"""A rate limit that lies in Redis or Valkey, where many workers share it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from omnibase_infra.enums import EnumInfraTransportType, EnumOnLimit, EnumRateLimitStrategy
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import FOREVER, checked_name, checked_seconds, refused
from omnibase_infra.infrastructure.resilience.decorate import refuse_deferred
from omnibase_infra.infrastructure.resilience.token_bucket_limiter import TokenBucketLimiter, checked_tokens
from omnibase_infra.infrastructure.resilience.translate import translate, translating_async, translating_sync
from omnibase_infra.utils.util_ambient import clock_of
from omnibase_infra.utils.util_show_value import show_value

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.shared_state.shared_limit import Grant
    from omnibase_infra.models.resilience import ModelPolicySnapshot, ModelRateLimitConfig

P = ParamSpec("P")
T = TypeVar("T")


class SharedRateLimiter(TokenBucketLimiter):
    """A limit that the workers of a service share over Redis or Valkey; used as a `TokenBucketLimiter`.

    Each decision is one round trip, atomic on the server and by its clock. While the store is out of reach the limiter
    goes on as `on_store_failure` says; it never raises what the store's client does, but for `reset`.

    With ``on_limit="wait"`` a call books its place on the server and sleeps until exactly then: workers are served in
    the order in which they came, and a cancelled call gives its place back unless somebody stands behind it.

    `acquire`, `check_limit` and `wait` block their thread for the round trip: on an event loop's thread, decorate a
    coroutine function or use `acquire_async`, with ``timeout=0`` for one that does not wait.

    Args:
        config: The limit, with the `storage_uri` of a server.
        name: By which the workers share it, and which is shown in errors.
        transport: Transport of the guarded calls.
        on_limit: As a decorator, reject a call beyond the limit, or have it wait in order.
        timeout: With ``on_limit="wait"``, the longest wait in seconds; None for no bound.
        translate: Raise the function's own failures as ONEX errors too.
        clock: Monotonic time in seconds, of this worker's own part.
        sleep: Replaces `time.sleep` in `wait`.

    Raises:
        ProtocolConfigurationError: When an argument is not usable, or the client for the URI is not installed.
    """

    def __init__(
        self,
        config: ModelRateLimitConfig,
        name: str,
        *,
        transport: EnumInfraTransportType | None = None,
        on_limit: EnumOnLimit | str = EnumOnLimit.REJECT,
        timeout: float | None = None,
        translate: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # `limits` and the client of the store are slow to import, and not needed for a limit of one process.
        from omnibase_infra.infrastructure.resilience.shared_state.shared_limit import SharedLimit

        shown = checked_name(name)
        if shown is None:
            raise refused("name", name, "text that is not blank: by it the workers know the limit that they share")
        self._shared = SharedLimit(config, shown, transport, clock)
        super().__init__(
            config.rate,
            config.capacity,
            name,
            transport=transport,
            on_limit=on_limit,
            timeout=timeout,
            translate=translate,
            clock=clock_of(clock),  # what lies in the store is not made new for a test
            sleep=sleep,
        )
        if self._on_limit is EnumOnLimit.WAIT and config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET:
            raise ProtocolConfigurationError(
                f"on_limit: a call can wait in order for a token bucket only, not with strategy '{config.strategy}'",
                parameter="on_limit",
            )
        self._config = config

    @property
    def config(self) -> ModelRateLimitConfig:
        """The settings."""
        return self._config

    @property
    def tokens(self) -> float:
        """Tokens in the shared bucket, as this worker last heard of it: no round trip. A window does not tell."""
        return self._shared.level

    @property
    def store_is_up(self) -> bool:
        """Whether the last that was heard of the store was an answer."""
        return self._shared.store_is_up

    def reset(self) -> None:
        """Fill the bucket, for every worker.

        Raises:
            InfraConnectionError, InfraTimeoutError, InfraUnavailableError: When the store cannot be reached.
        """
        try:
            self._shared.reset()
        except Exception as exc:
            valkey = EnumInfraTransportType.VALKEY
            raise translate(exc, transport=valkey, operation="reset", target_name=self._name) from exc

    def close(self) -> None:
        """Close the connections that threads have made; those of an event loop are closed with it."""
        self._shared.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and those that threads have made."""
        await self._shared.aclose()

    def snapshot(self) -> ModelPolicySnapshot:
        """State and numbers as this worker knows them."""
        shown = super().snapshot()
        return shown.model_copy(update={"numbers": {**shown.numbers, "store_is_up": float(self.store_is_up)}})

    def acquire(self, tokens: float = 1) -> bool:
        """Take tokens if they are there and nobody waits for them; blocks for the round trip.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        return self._shared.take(self._whole(tokens)).granted

    def check_limit(self, tokens: float = 1) -> None:
        """Take tokens, or raise.

        Raises:
            InfraRateLimitedError: When they are not there; `retry_after_seconds` says when they are.
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity.
        """
        grant = self._shared.take(self._whole(tokens))
        if not grant.granted:
            raise self._rejection("check_limit", grant.wait)

    def wait(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Block until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        grant = self._shared.take(self._whole(tokens), self._patience(timeout))
        if grant.granted and grant.wait:
            self._sleep_until(grant)
        return grant.granted

    async def acquire_async(self, tokens: float = 1, timeout: float | None = None) -> bool:
        """Wait until the tokens are taken, in order of arrival; False when `timeout` seconds cannot be enough.

        Raises:
            ProtocolConfigurationError: When `tokens` is below 1 or beyond the capacity, or `timeout` is negative.
        """
        grant = await self._shared.take_async(self._whole(tokens), self._patience(timeout))
        if grant.granted and grant.wait:
            await self._sleep_until_async(grant)
        return grant.granted

    def quick_take(self) -> Callable[[], bool]:
        """As `acquire`: there is no quicker way than one round trip."""
        return self.acquire

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Limit a coroutine function."""
        operation = self._introduce(fn)
        work = translating_async(fn, partial(self._becomes, operation)) if self._translate else fn
        take, patience = self._shared.take_async, self._patience_of_calls()

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            grant = await take(1, patience)
            if not grant.granted:
                raise self._rejection(operation, grant.wait)
            if grant.wait:
                await self._sleep_until_async(grant)
            return await work(*args, **kwargs)

        return call

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Limit a plain function."""
        operation = self._introduce(fn)
        work = translating_sync(fn, partial(self._becomes, operation)) if self._translate else fn
        take, patience = self._shared.take, self._patience_of_calls()

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            grant = take(1, patience)
            if not grant.granted:
                raise self._rejection(operation, grant.wait)
            if grant.wait:
                self._sleep_until(grant)
            result = work(*args, **kwargs)
            refuse_deferred(fn, result)
            return result

        return call

    def _whole(self, tokens: object) -> float:
        checked = checked_tokens(tokens, self.capacity)
        if checked % 1 and self._config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET:
            raise ProtocolConfigurationError(
                f"tokens must be a whole number with strategy '{self._config.strategy}', not {show_value(tokens)}",
                parameter="tokens",
            )
        return checked

    def _patience(self, timeout: float | None) -> float:
        if self._config.strategy is not EnumRateLimitStrategy.TOKEN_BUCKET and timeout != 0:
            raise refused("timeout", timeout, f"0 with strategy '{self._config.strategy}', which keeps no order")
        checked = checked_seconds("timeout", timeout)
        return FOREVER if checked is None else checked

    def _patience_of_calls(self) -> float:
        return self._patience(self._timeout) if self._on_limit is EnumOnLimit.WAIT else 0.0

    def _sleep_until(self, grant: Grant) -> None:
        try:
            self._sleep(grant.wait)
        except BaseException:
            self._shared.give_back(grant)
            raise

    async def _sleep_until_async(self, grant: Grant) -> None:
        try:
            await asyncio.sleep(grant.wait)
        except asyncio.CancelledError:
            await self._shared.give_back_async(grant)
            raise
