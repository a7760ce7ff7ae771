"""Which place of a pipeline a policy has, and which orders and settings make no sense."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import inf
from typing import Final, TypeAlias

from omnibase_infra.enums import EnumOnLimit, EnumPipelineStage
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.adaptive_throttle import AdaptiveThrottle
from omnibase_infra.infrastructure.resilience.arguments import refused
from omnibase_infra.infrastructure.resilience.bulkhead import Bulkhead
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
from omnibase_infra.infrastructure.resilience.credential_refresh import CredentialRefresh
from omnibase_infra.infrastructure.resilience.fallback import Fallback
from omnibase_infra.infrastructure.resilience.hedging import Hedge
from omnibase_infra.infrastructure.resilience.keyed_circuit_breaker import KeyedCircuitBreaker
from omnibase_infra.infrastructure.resilience.rate_limiter import TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy
from omnibase_infra.infrastructure.resilience.stale_cache import StaleCache
from omnibase_infra.infrastructure.resilience.timeout import Timeout
from omnibase_infra.infrastructure.resilience.worst_case import longest_waits, most_attempts

Policy: TypeAlias = (
    Fallback
    | StaleCache
    | Timeout
    | InfrastructureRetryPolicy
    | Hedge
    | AdaptiveThrottle
    | InfrastructureCircuitBreaker
    | KeyedCircuitBreaker
    | TokenBucketLimiter
    | Bulkhead
    | CredentialRefresh
)
Stage = EnumPipelineStage

_STAGES: Final[dict[type[object], EnumPipelineStage]] = {
    Fallback: Stage.FALLBACK,
    StaleCache: Stage.FALLBACK,
    InfrastructureRetryPolicy: Stage.RETRY,
    Hedge: Stage.HEDGE,
    AdaptiveThrottle: Stage.ADAPTIVE_THROTTLE,
    InfrastructureCircuitBreaker: Stage.CIRCUIT_BREAKER,
    KeyedCircuitBreaker: Stage.CIRCUIT_BREAKER,
    TokenBucketLimiter: Stage.RATE_LIMITER,
    Bulkhead: Stage.BULKHEAD,
    CredentialRefresh: Stage.CREDENTIAL_REFRESH,
}

_ACTS_WITHOUT_FAILURES: Final = frozenset({Stage.TOTAL_TIMEOUT, Stage.RATE_LIMITER, Stage.BULKHEAD})
"""Outside a fallback these still do what they are for."""


class ResilienceWarning(UserWarning):
    """A pipeline was built with settings that work, but waste what they were meant for."""


def stages_of(policies: Sequence[object]) -> tuple[EnumPipelineStage, ...]:
    """The place of each policy, outermost first.

    A timeout bounds one attempt when it stands inside a retry, or has at most a credential refresh inside it; else it
    bounds the whole. A circuit breaker outside a retry counts calls, not attempts.

    Raises:
        ProtocolConfigurationError: When something is no policy, or is given twice.
    """
    retry = next((place for place, policy in enumerate(policies) if isinstance(policy, InfrastructureRetryPolicy)), -1)
    stages: list[EnumPipelineStage] = []
    for place, policy in enumerate(policies):
        if any(policy is other for other in policies[:place]):
            raise ProtocolConfigurationError(
                f"policies: the {type(policy).__name__} is given twice; one place is enough", parameter="policies"
            )
        if isinstance(policy, Timeout):
            inside = policies[place + 1 :]
            of_attempt = -1 < retry < place or all(isinstance(other, CredentialRefresh) for other in inside)
            stages.append(Stage.ATTEMPT_TIMEOUT if of_attempt else Stage.TOTAL_TIMEOUT)
            continue
        stage = next((stage for cls, stage in _STAGES.items() if isinstance(policy, cls)), None)
        if stage is None:
            raise _no_policy(policy)
        stages.append(Stage.CALL_BREAKER if stage is Stage.CIRCUIT_BREAKER and place < retry else stage)
    return tuple(stages)


def check_order(stages: Sequence[EnumPipelineStage]) -> None:
    """Refuse orders in which a policy can do nothing; warn of those in which it costs more than it gives.

    Raises:
        ProtocolConfigurationError: When a policy could never act.
    """
    for stage in (Stage.RETRY, Stage.FALLBACK, Stage.HEDGE):
        if stages.count(stage) > 1:
            raise ProtocolConfigurationError(
                f"policies: two of {stage}, whose attempts or answers would multiply; give one", parameter="policies"
            )
    outside = stages[: stages.index(Stage.FALLBACK)] if Stage.FALLBACK in stages else ()
    if hidden := [stage for stage in outside if stage not in _ACTS_WITHOUT_FAILURES]:
        raise ProtocolConfigurationError(
            f"policies: the fallback answers before {_listed(hidden)} can see the failure; give it first",
            parameter="policies",
        )
    if Stage.RETRY not in stages:
        return
    outside = stages[: stages.index(Stage.RETRY)]
    if Stage.BULKHEAD in outside:
        _warn("the bulkhead stands outside the retry: its places are held through the waits between attempts")
    if Stage.HEDGE in outside:
        _warn("the hedge stands outside the retry: each of its requests would be retried by itself")


def check_settings(policies: Sequence[Policy], stages: Sequence[EnumPipelineStage]) -> None:
    """Refuse settings that contradict each other, and warn of wasteful ones, with the arithmetic.

    Raises:
        ProtocolConfigurationError: When a setting could never take effect.
    """
    total = _seconds(policies, stages, Stage.TOTAL_TIMEOUT)
    attempt = _seconds(policies, stages, Stage.ATTEMPT_TIMEOUT)
    retry = next((policy for policy in policies if isinstance(policy, InfrastructureRetryPolicy)), None)
    if total < attempt < inf:
        raise ProtocolConfigurationError(
            f"attempt timeout = {attempt:g} s: must be at most the total timeout = {total:g} s, or it ends nothing",
            parameter="attempt_timeout",
        )
    if retry is not None:
        _check_retry(retry, attempt, total)
        hedge = next((policy for policy in policies if isinstance(policy, Hedge)), None)
        if hedge is not None and hedge.budget is not None and hedge.budget is retry.budget and hedge.counts_calls:
            _warn("the hedge counts calls on a budget that counts them for the retry: give it counts_calls=False")
    longest_attempt = total if attempt == inf and retry is None else attempt
    limiters = [policy for policy in policies if isinstance(policy, TokenBucketLimiter)]
    for policy in policies:
        if isinstance(policy, InfrastructureCircuitBreaker | KeyedCircuitBreaker):
            _check_breaker(policy, longest_attempt, limiters)
    _check_patience(policies, stages)


def _check_retry(retry: InfrastructureRetryPolicy, attempt: float, total: float) -> None:
    bound, name = total, "the total timeout"
    if retry.max_elapsed is not None:
        if retry.max_elapsed > total:
            _warn(f"max_elapsed = {retry.max_elapsed:g} s ends nothing: the total timeout does after {total:g} s")
        else:
            bound, name = retry.max_elapsed, "max_elapsed"
    attempts, waits = most_attempts(retry), longest_waits(retry)
    if attempts is None or attempts == 1:
        return
    if waits < inf and retry.min_wait >= bound:
        raise ProtocolConfigurationError(
            f"min_wait = {retry.min_wait:g} s: must be below {name} = {bound:g} s, or no second attempt ever begins",
            parameter="min_wait",
        )
    if bound < attempts * attempt + waits < inf:
        _warn(
            f"{attempts} attempts × {attempt:g} s + waits of up to {waits:g} s = {attempts * attempt + waits:g} s "
            f"exceed {name} of {bound:g} s: the last attempts are cut short"
        )
    budget = retry.budget.config if retry.budget is not None else None
    if budget is not None and not budget.ratio and budget.min_per_second * budget.window < 1:
        _warn(
            f"the retry budget never grants a retry: ratio = 0, and min_per_second = {budget.min_per_second:g} × "
            f"{budget.window:g} s is below 1"
        )


def _check_breaker(
    breaker: InfrastructureCircuitBreaker | KeyedCircuitBreaker,
    attempt: float,
    limiters: Sequence[TokenBucketLimiter],
) -> None:
    config = breaker.config
    # A recovery time that grows has waited for the last calls after a probe or two.
    if 0 < config.recovery_timeout < attempt < inf and config.recovery_multiplier == 1:
        _warn(
            f"recovery_timeout = {config.recovery_timeout:g} s is shorter than an attempt of {attempt:g} s: "
            "the circuit probes again before it knows what the last calls came to"
        )
    if config.failure_rate is None and config.slow_call_rate is None:
        return
    for limiter in limiters:
        most = limiter.rate * config.window + limiter.capacity
        if most < config.minimum_calls:
            _warn(
                f"the rate window is never judged: {limiter.rate:g}/s × {config.window:g} s + a burst of "
                f"{limiter.capacity:g} = {most:g} calls at most, below minimum_calls = {config.minimum_calls}"
            )


def _check_patience(policies: Sequence[Policy], stages: Sequence[EnumPipelineStage]) -> None:
    """Warn of what waits, or may run, for longer than a timeout around it."""
    bound, bounded_by = inf, ""
    outer: Policy | None = None
    for policy, stage in zip(policies, stages, strict=True):
        patience = 0.0
        if isinstance(policy, Timeout):
            if stage == bounded_by and (policy.seconds >= bound or isinstance(outer, Timeout)):
                _warn(f"of two {stage}s, {bound:g} s and {policy.seconds:g} s inside it, the longer one ends nothing")
            if policy.seconds < bound:
                bound, bounded_by = policy.seconds, stage
        elif isinstance(policy, Bulkhead) and policy.max_queue:
            patience = policy.max_wait
        elif isinstance(policy, TokenBucketLimiter) and policy.on_limit is EnumOnLimit.WAIT:
            patience = inf if policy.timeout is None else policy.timeout
        if patience and patience >= bound:
            waits = "without end" if patience == inf else f"up to {patience:g} s"
            _warn(f"the {stage} lets a call wait {waits}, but the {bounded_by} ends it after {bound:g} s")
        outer = policy


def _seconds(policies: Sequence[Policy], stages: Sequence[EnumPipelineStage], wanted: EnumPipelineStage) -> float:
    """The shortest timeout at a place; infinite when there is none."""
    found = [
        policy.seconds
        for policy, stage in zip(policies, stages, strict=True)
        if stage is wanted and isinstance(policy, Timeout)
    ]
    return min(found, default=inf)


def _no_policy(given: object) -> ProtocolConfigurationError:
    known: tuple[type[object], ...] = (*_STAGES, Timeout)
    allowed = ", ".join(cls.__name__ for cls in known)
    if type(given).__name__.endswith("Factory"):
        allowed += "; call the factory, and give what it returns"
    return refused("policies", given, f"made of policies: {allowed}")


def _listed(stages: Sequence[EnumPipelineStage]) -> str:
    return ", ".join(f"the {stage}" for stage in stages)


def _warn(message: str) -> None:
    # Up to the line that builds the pipeline is not a fixed number of frames: the package's own are skipped.
    warnings.warn(message, ResilienceWarning, stacklevel=_frames_of_ours())


def _frames_of_ours() -> int:
    import inspect

    frame, depth = inspect.currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("omnibase_infra."):
        frame, depth = frame.f_back, depth + 1
    return depth
