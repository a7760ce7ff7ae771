"""What a pipeline's settings come to, by arithmetic on the very numbers and rules that its policies use."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, TypeVar

from omnibase_infra.enums import EnumBreakerScope, EnumFailureKind, EnumOnLimit, EnumPipelineStage
from omnibase_infra.infrastructure.resilience.adaptive_throttle import AdaptiveThrottle
from omnibase_infra.infrastructure.resilience.bulkhead import Bulkhead
from omnibase_infra.infrastructure.resilience.circuit_breaker_factory import InfrastructureCircuitBreaker
from omnibase_infra.infrastructure.resilience.credential_refresh import CredentialRefresh
from omnibase_infra.infrastructure.resilience.fallback import Fallback
from omnibase_infra.infrastructure.resilience.hedging import Hedge
from omnibase_infra.infrastructure.resilience.keyed_circuit_breaker import KeyedCircuitBreaker
from omnibase_infra.infrastructure.resilience.rate_limiter import TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy
from omnibase_infra.infrastructure.resilience.rules import backoff, circuit
from omnibase_infra.infrastructure.resilience.stale_cache import StaleCache
from omnibase_infra.infrastructure.resilience.timeout import Timeout
from omnibase_infra.infrastructure.resilience.translate import BECOMES
from omnibase_infra.infrastructure.resilience.worst_case import longest_call, most_attempts, most_requests
from omnibase_infra.models.resilience.model_kind_explanation import ModelKindExplanation
from omnibase_infra.models.resilience.model_pipeline_explanation import ModelPipelineExplanation

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.pipeline import ResiliencePipeline
    from omnibase_infra.infrastructure.resilience.pipeline_order import Policy
    from omnibase_infra.infrastructure.resilience.retry_budget import RetryBudget

T = TypeVar("T")

_NEVER_COUNTED = frozenset({EnumFailureKind.REJECTED, EnumFailureKind.ABANDONED})


def explain(pipeline: ResiliencePipeline) -> ModelPipelineExplanation:
    """The longest a call can take, the load in an outage, when the circuit opens, and what each failure becomes."""
    policies, stages = pipeline.policies, pipeline.stages
    breakers = [policy for policy in policies if isinstance(policy, InfrastructureCircuitBreaker | KeyedCircuitBreaker)]
    place = policies.index(breakers[0]) if breakers else -1
    config = breakers[0].config if breakers else None
    scope = EnumBreakerScope.CALL if stages[place] is EnumPipelineStage.CALL_BREAKER else EnumBreakerScope.ATTEMPT
    windowed = config is not None and (config.failure_rate is not None or config.slow_call_rate is not None)
    longest = longest_call(policies, stages)
    plain = longest_call(policies, stages, interruptible=False)
    load, floor = _load(_first(InfrastructureRetryPolicy, policies), _first(Hedge, policies))
    a_probe = most_requests(policies[place + 1 :])
    return ModelPipelineExplanation(
        name=pipeline.name,
        transport=pipeline.transport,
        order=tuple((stage, in_words(policy)) for stage, policy in zip(stages, policies, strict=True)),
        worst_case_seconds=None if longest.seconds == inf else longest.seconds,
        worst_case_because=longest.because,
        plain_worst_case_seconds=None if plain.seconds == inf else plain.seconds,
        plain_worst_case_because=plain.because,
        most_calls=most_requests(policies),
        amplification=None if load is None else round(load, 6),
        amplification_floor=floor,
        breaker_scope=None if config is None else scope,
        requests_while_open=None
        if config is None or not config.recovery_timeout or a_probe is None
        else config.half_open_max_calls * a_probe / config.recovery_timeout,
        failures_to_open=None if config is None else config.failure_threshold,
        lowest_rate_to_open=config.minimum_calls / config.window if config is not None and windowed else None,
        kinds=tuple(_kind(kind, policies) for kind in EnumFailureKind),
    )


def in_words(policy: Policy) -> str:  # noqa: PLR0911 - a line a policy
    """The settings of a policy, a short line."""
    match policy:
        case Timeout():
            return f"{policy.seconds:g} s" + (", left behind when late" if policy.abandon else "")
        case InfrastructureRetryPolicy():
            return _retry_in_words(policy)
        case InfrastructureCircuitBreaker():
            return _breaker_in_words(policy)
        case KeyedCircuitBreaker():
            return f"for each key: {_breaker_in_words(policy)}"
        case TokenBucketLimiter():
            waits = "" if policy.timeout is None else f" for up to {policy.timeout:g} s"
            beyond = f", waits{waits}" if policy.on_limit is EnumOnLimit.WAIT else ""
            return f"{policy.rate:g}/s, bursts of {policy.capacity:g}{beyond}"
        case Bulkhead():
            queues = policy.max_queue and policy.max_wait
            return f"{policy.max_concurrent} at once" + (
                f", queue of {policy.max_queue} for up to {policy.max_wait:g} s" if queues else ""
            )
        case Hedge():
            return _hedge_in_words(policy)
        case AdaptiveThrottle():
            return f"lets {policy.config.multiplier:g} × the accepted calls of {policy.config.window:g} s pass"
        case Fallback():
            return f"answers {', '.join(sorted(policy.on))}"
        case StaleCache():
            return f"keeps answers for {policy.config.ttl:g} s; a stale one answers {', '.join(sorted(policy.on))}"
        case CredentialRefresh():
            return "one renewal and one more try when the credentials are refused"


def _retry_in_words(retry: InfrastructureRetryPolicy) -> str:
    if retry.max_attempts == 1 and not retry.has_own_strategies:
        return "1 attempt: no retry"
    text = f"{retry.max_attempts} attempts, {retry.min_wait:g} to {retry.max_wait:g} s apart"
    if retry.has_own_strategies:
        text = "by your own strategies"
    if retry.max_elapsed is not None:
        text += f", within {retry.max_elapsed:g} s"
    if not (retry.config.retry_unsafe if retry.idempotent is None else retry.idempotent):
        text += ", not of what may have taken effect"
    if retry.budget is None:
        return f"{text}, no budget"
    config = retry.budget.config
    return f"{text}, budget {config.ratio:.0%} of the calls and {config.min_per_second:g}/s"


def _breaker_in_words(breaker: InfrastructureCircuitBreaker | KeyedCircuitBreaker) -> str:
    config = breaker.config
    text = f"opens after {config.failure_threshold} failures in a row"
    if config.connection_weight != 1:
        text += f", of which a lost connection counts {config.connection_weight:g}"
    if config.failure_rate is not None:
        text += f", or {config.failure_rate:.0%} failed"
    if config.slow_call_rate is not None and config.slow_call_seconds is not None:
        text += f", or {config.slow_call_rate:.0%} slower than {config.slow_call_seconds:g} s"
    if config.failure_rate is not None or config.slow_call_rate is not None:
        text += f", of {config.minimum_calls} and more in {config.window:g} s"
    successes = "success" if config.success_threshold == 1 else "successes"
    recovery = f"{config.recovery_timeout:g} s"
    if config.recovery_multiplier > 1 and config.max_recovery_timeout > config.recovery_timeout:
        recovery += f", growing to {config.max_recovery_timeout:g} s"
    return f"{text}; probes after {recovery}, closes after {config.success_threshold} {successes}"


def _hedge_in_words(hedge: Hedge) -> str:
    config = hedge.config
    text = f"{config.max_hedges} more"
    if config.quantile is None:
        return f"{text} after {config.delay:g} s"
    until = "none" if config.delay is None else f"after {config.delay:g} s"
    return f"{text} when slower than {100 * config.quantile:g}% of the calls; until that is known, {until}"


def _load(retry: InfrastructureRetryPolicy | None, hedge: Hedge | None) -> tuple[float | None, float]:
    """Requests for each call while all fail, beyond the budgets' floors, and these floors together, a second."""
    attempts = 1 if retry is None else most_attempts(retry)
    budget = None if retry is None or attempts == 1 else retry.budget
    again = None if attempts is None else attempts - 1.0
    if budget is not None:
        again = budget.config.ratio if again is None else min(again, budget.config.ratio)
    floor = _floor(budget)
    if again is None or hedge is None:
        return (None if again is None else 1 + again), floor
    hedges: float = hedge.config.max_hedges
    if budget is not None and hedge.budget is budget:
        ratio = budget.config.ratio
        if hedge.counts_calls:  # on top of the retry's count, for each attempt
            ratio = 2 * ratio / (1 - ratio) if ratio < 1 else inf
        most = inf if attempts is None else attempts * (1 + hedges) - 1
        return (None if min(most, ratio) == inf else 1 + min(most, ratio)), floor
    if hedge.budget is not None:
        hedges = min(hedges, hedge.budget.config.ratio)
    return (1 + again) * (1 + hedges), floor + _floor(hedge.budget)


def _floor(budget: RetryBudget | None) -> float:
    return 0.0 if budget is None else budget.config.min_per_second


def _kind(kind: EnumFailureKind, policies: tuple[Policy, ...]) -> ModelKindExplanation:
    becomes = BECOMES.get(kind)
    fallbacks = [policy for policy in policies if isinstance(policy, Fallback | StaleCache)]
    # A rejection falls back as what its error says; an open circuit says unavailable.
    answered = EnumFailureKind.UNAVAILABLE if kind is EnumFailureKind.REJECTED else kind
    return ModelKindExplanation(
        kind=kind,
        retried=_retried(kind, policies),
        counted=_counted(kind, policies),
        falls_back=any(answered in fallback.on for fallback in fallbacks),
        becomes=None if becomes is None else becomes[0].__name__,
    )


def _retried(kind: EnumFailureKind, policies: tuple[Policy, ...]) -> bool | None:
    retry = _first(InfrastructureRetryPolicy, policies)
    if kind is EnumFailureKind.AUTHENTICATION and _first(CredentialRefresh, policies) is not None:
        return True
    if retry is None or most_attempts(retry) == 1 or kind is EnumFailureKind.ABANDONED:
        return False
    if kind is EnumFailureKind.REJECTED and retry.retry_open_circuit:
        return True
    return None if retry.has_own_predicate else kind in backoff.RETRIED


def _counted(kind: EnumFailureKind, policies: tuple[Policy, ...]) -> bool | None:
    breaker = _first(InfrastructureCircuitBreaker, policies) or _first(KeyedCircuitBreaker, policies)
    if breaker is None or kind in _NEVER_COUNTED:
        return False
    if breaker.settings["expected_exception"] is not None:
        return None
    in_a_row = kind in circuit.COUNTED
    if kind is EnumFailureKind.CONNECTION:
        in_a_row = breaker.config.connection_weight > 0
    of_a_window = kind in circuit.COUNTED or kind is EnumFailureKind.THROTTLED
    return in_a_row or (of_a_window and breaker.config.failure_rate is not None)


def _first(cls: type[T], policies: tuple[Policy, ...]) -> T | None:
    return next((policy for policy in policies if isinstance(policy, cls)), None)
