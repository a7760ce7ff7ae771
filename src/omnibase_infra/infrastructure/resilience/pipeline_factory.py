"""The whole stack of each transport, from its presets."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from math import inf
from typing import Final

from omnibase_infra.enums import EnumBreakerScope, EnumInfraTransportType, EnumUnset
from omnibase_infra.infrastructure.resilience.adaptive_throttle import AdaptiveThrottle
from omnibase_infra.infrastructure.resilience.arguments import checked_name, refused, require_callable
from omnibase_infra.infrastructure.resilience.bulkhead import Bulkhead, BulkheadFactory
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import (
    CircuitBreakerFactory,
    InfrastructureCircuitBreaker,
)
from omnibase_infra.infrastructure.resilience.credential_refresh import CredentialRefresh
from omnibase_infra.infrastructure.resilience.fallback import Fallback
from omnibase_infra.infrastructure.resilience.hedging import Hedge
from omnibase_infra.infrastructure.resilience.keyed_circuit_breaker import KeyedCircuitBreaker
from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline
from omnibase_infra.infrastructure.resilience.pipeline_order import Policy
from omnibase_infra.infrastructure.resilience.rate_limiter import RateLimiterFactory, TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy, RetryPolicyFactory
from omnibase_infra.infrastructure.resilience.stale_cache import StaleCache
from omnibase_infra.infrastructure.resilience.timeout import Timeout

_FROM_PRESET: Final = EnumUnset.UNSET

_KINDS: Final[dict[str, tuple[type[object], ...]]] = {
    "retry": (InfrastructureRetryPolicy,),
    "hedge": (Hedge,),
    "adaptive_throttle": (AdaptiveThrottle,),
    "circuit_breaker": (InfrastructureCircuitBreaker, KeyedCircuitBreaker),
    "rate_limiter": (TokenBucketLimiter,),
    "bulkhead": (Bulkhead,),
    "credential_refresh": (CredentialRefresh,),
}
_FACTORY_NAMES: Final = {"retry": "retry_policy"}


class ResiliencePipelineFactory:
    """Builds the whole stack for one transport; every ``create_*_resilience`` is one of these."""

    def __init__(self, section: str, transport: EnumInfraTransportType) -> None:
        self.section: Final = section
        self.transport: Final = transport
        self._retry = RetryPolicyFactory(section, transport)
        self._breaker = CircuitBreakerFactory(section, transport)
        self._limiter = RateLimiterFactory(section, transport)
        self._bulkhead = BulkheadFactory(section, transport)

    def __call__(
        self,
        service: str | None = None,
        *,
        name: str | None = None,
        profile: str | None = None,
        breaker_scope: EnumBreakerScope | str = EnumBreakerScope.ATTEMPT,
        fallback: Fallback | StaleCache | Callable[..., object] | None = None,
        total_timeout: Timeout | float | EnumUnset | None = _FROM_PRESET,
        retry: InfrastructureRetryPolicy | EnumUnset | None = _FROM_PRESET,
        hedge: Hedge | None = None,
        adaptive_throttle: AdaptiveThrottle | None = None,
        circuit_breaker: InfrastructureCircuitBreaker | KeyedCircuitBreaker | EnumUnset | None = _FROM_PRESET,
        rate_limiter: TokenBucketLimiter | EnumUnset | None = _FROM_PRESET,
        bulkhead: Bulkhead | EnumUnset | None = _FROM_PRESET,
        attempt_timeout: Timeout | float | EnumUnset | None = _FROM_PRESET,
        credential_refresh: CredentialRefresh | None = None,
        shared: str | EnumUnset | None = _FROM_PRESET,
        quorum: int | None = None,
        idempotent: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Callable[[], float] = random.random,
    ) -> ResiliencePipeline:
        """Build the stack from the preset; a policy given here takes the place of the preset's, None leaves it out.

        Its order, from the outside: fallback, total timeout, retry with its budget, hedge, adaptive throttle, circuit
        breaker, rate limiter, bulkhead, attempt timeout, credential refresh. Fallback, hedge, adaptive throttle and
        credential refresh are there only when given.

        Args:
            service: Read ``[services.<service>]`` over the transport's preset; also the target named in errors.
            profile: Read ``[profiles.<profile>]`` over the transport's preset, and under the service's.
            name: Names the pipeline and its policies, in errors too; circuit breakers of one name are one circuit.
            breaker_scope: ``"attempt"`` has the breaker count each attempt; ``"call"`` puts it outside the total
                timeout and the retry, as the documents stack it: it then counts calls that failed with all their
                attempts, or ran out of time.
            fallback: Answers calls that fail: a `Fallback`, a `StaleCache`, or a function of the call's arguments.
            total_timeout: Bounds the whole call, all attempts and waits included: a `Timeout`, or seconds.
            retry: Makes further attempts.
            hedge: Sends slow calls once more.
            adaptive_throttle: Rejects locally what an overloaded dependency would reject.
            circuit_breaker: Rejects calls while the dependency is down, or one host or tenant of it when keyed.
            rate_limiter: Rejects, or delays, attempts beyond a rate.
            bulkhead: Bounds the attempts under way.
            attempt_timeout: Bounds one attempt: a `Timeout`, or seconds.
            credential_refresh: Refreshes a credential that is refused, and tries once more.
            shared: URL of the Redis or Valkey through which all workers share the circuit of the preset's breaker, by
                `name`, which is needed then; None for one of this process, whatever the preset says.
            quorum: With `shared`, workers that must report a trip before it counts for all, 1 or more.
            idempotent: Whether the calls may be repeated without harm; for the preset's retry.
            clock: Monotonic time in seconds, of the preset's policies.
            rng: Source of jitter, in [0, 1), of the preset's policies.

        Raises:
            ProtocolConfigurationError: When a setting is wrong, or could never take effect.
        """
        from omnibase_infra.models.resilience import ModelTimeoutConfig
        from omnibase_infra.presets import resolve

        checked_name(service, "service")
        if breaker_scope not in list(EnumBreakerScope):
            raise refused("breaker_scope", breaker_scope, "'attempt' or 'call'")
        self._check_policies(
            retry=retry,
            hedge=hedge,
            adaptive_throttle=adaptive_throttle,
            circuit_breaker=circuit_breaker,
            rate_limiter=rate_limiter,
            bulkhead=bulkhead,
            credential_refresh=credential_refresh,
        )
        times = resolve(self.section, "timeout", ModelTimeoutConfig, service=service, profile=profile)
        called = service if name is None else name

        def timeout(parameter: str, given: object, preset: float | None) -> Timeout | None:
            if isinstance(given, EnumUnset):
                given = preset
            if given is None or isinstance(given, Timeout):
                return given
            if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < inf:
                raise refused(parameter, given, "a finite number of seconds, above 0, a Timeout, or None")
            return Timeout(given, name=called, transport=self.transport, abandon=times.abandon)

        if isinstance(retry, EnumUnset):
            retry = self._retry(
                name=name, service=service, profile=profile, idempotent=idempotent, clock=clock, rng=rng
            )
        elif idempotent is not None:
            why = "None, since there is no retry" if retry is None else "given to the retry policy itself"
            raise refused("idempotent", idempotent, why)
        if isinstance(circuit_breaker, EnumUnset):
            circuit_breaker = self._breaker(
                name=name, service=service, profile=profile, shared=shared, quorum=quorum, clock=clock, rng=rng
            )
        else:
            _refuse_sharing(circuit_breaker, shared=shared, quorum=quorum)
        if isinstance(rate_limiter, EnumUnset):
            rate_limiter = self._limiter(name=called, service=service, profile=profile, clock=clock)
        if isinstance(bulkhead, EnumUnset):
            bulkhead = self._bulkhead(name=name, service=service, profile=profile)
        outside = circuit_breaker if breaker_scope == EnumBreakerScope.CALL else None
        order: tuple[Policy | None, ...] = (
            self._fallback(fallback, called),
            outside,
            timeout("total_timeout", total_timeout, times.total),
            retry,
            hedge,
            adaptive_throttle,
            circuit_breaker if outside is None else None,
            rate_limiter,
            bulkhead,
            timeout("attempt_timeout", attempt_timeout, times.attempt),
            credential_refresh,
        )
        given = [policy for policy in order if policy is not None]
        return ResiliencePipeline(*given, name=called, transport=self.transport)

    def _fallback(
        self, given: Fallback | StaleCache | Callable[..., object] | None, called: str | None
    ) -> Fallback | StaleCache | None:
        if given is None or isinstance(given, Fallback | StaleCache):
            return given
        require_callable("a function of the call's arguments, a Fallback, or a StaleCache", fallback=given)
        return Fallback(given, name=called, transport=self.transport)

    def _check_policies(self, **given: object) -> None:
        for parameter, policy in given.items():
            kinds = _KINDS[parameter]
            if policy is not None and not isinstance(policy, (*kinds, EnumUnset)):
                allowed = " or ".join(kind.__name__ for kind in kinds)
                factory = f"create_{self.section}_{_FACTORY_NAMES.get(parameter, parameter)}"
                made = "" if parameter == "credential_refresh" else f", as {factory}() returns"
                raise refused(parameter, policy, f"{allowed}{made}, or None")


def _refuse_sharing(breaker: object, **given: object) -> None:
    why = "None, since there is no circuit breaker" if breaker is None else "given to the circuit breaker itself"
    for parameter, value in given.items():
        if value is not None and not isinstance(value, EnumUnset):
            raise refused(parameter, value, why)


create_database_resilience: Final = ResiliencePipelineFactory("database", EnumInfraTransportType.DATABASE)
create_network_resilience: Final = ResiliencePipelineFactory("network", EnumInfraTransportType.HTTP)
create_kafka_resilience: Final = ResiliencePipelineFactory("kafka", EnumInfraTransportType.KAFKA)
create_vault_resilience: Final = ResiliencePipelineFactory("vault", EnumInfraTransportType.VAULT)
create_consul_resilience: Final = ResiliencePipelineFactory("consul", EnumInfraTransportType.CONSUL)
create_valkey_resilience: Final = ResiliencePipelineFactory("valkey", EnumInfraTransportType.VALKEY)
create_grpc_resilience: Final = ResiliencePipelineFactory("grpc", EnumInfraTransportType.GRPC)

FACTORIES: Final = {
    factory.section: factory
    for factory in (
        create_database_resilience,
        create_network_resilience,
        create_kafka_resilience,
        create_vault_resilience,
        create_consul_resilience,
        create_valkey_resilience,
        create_grpc_resilience,
    )
}
"""By the presets' name of the transport."""
