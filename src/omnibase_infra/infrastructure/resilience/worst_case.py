"""How long one call under several policies can take, and how many requests it can make, from the inside outwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import tenacity

from omnibase_infra.enums import EnumOnLimit, EnumPipelineStage
from omnibase_infra.infrastructure.resilience.bulkhead import Bulkhead
from omnibase_infra.infrastructure.resilience.credential_refresh import CredentialRefresh
from omnibase_infra.infrastructure.resilience.hedging import Hedge
from omnibase_infra.infrastructure.resilience.rate_limiter import TokenBucketLimiter
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy, WaitWithinBounds
from omnibase_infra.infrastructure.resilience.rules import backoff
from omnibase_infra.infrastructure.resilience.timeout import Timeout

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.pipeline_order import Policy


class Longest(NamedTuple):
    """The longest duration of a call, infinite when nothing bounds it, and its arithmetic."""

    seconds: float
    sum: str
    aside: str = ""
    """What it would be without the timeout that bounds it."""

    @property
    def because(self) -> str:
        """The arithmetic as one line."""
        if self.sum == f"{self.seconds:g} s":
            return "the attempt timeout"
        return f"{self.sum}; {self.aside}" if self.aside else self.sum

    def within(self, seconds: float, bound: str) -> Longest:
        """Cut by a bound, unless it is shorter by itself."""
        if self.seconds <= seconds:
            return self
        return Longest(seconds, bound, "" if self.seconds == inf else f"without it {self.sum} = {self.seconds:g} s")

    def plus(self, seconds: float, what: str) -> Longest:
        """Longer by a wait."""
        if not seconds or self.seconds == inf:
            return self
        return Longest(self.seconds + seconds, f"{self.sum} + {seconds:g} s {what}", self.aside)


def longest_call(
    policies: Sequence[Policy], stages: Sequence[EnumPipelineStage], *, interruptible: bool = True
) -> Longest:
    """The longest that a call takes before it ends, without a fallback's own time.

    Args:
        policies: From the outermost to the innermost.
        stages: Their places.
        interruptible: Whether timeouts can end the function: not a plain one, unless they may leave it behind.
    """
    longest = Longest(inf, "no timeout bounds it" if interruptible else "no timeout can interrupt it")
    for policy, stage in zip(reversed(policies), reversed(stages), strict=True):
        match policy:
            case Timeout():
                of_attempt = stage is EnumPipelineStage.ATTEMPT_TIMEOUT
                if interruptible or policy.abandon:
                    longest = longest.within(policy.seconds, f"{policy.seconds:g} s" if of_attempt else f"the {stage}")
            case InfrastructureRetryPolicy():
                longest = _repeated(longest, policy)
                if interruptible and policy.max_elapsed is not None:
                    longest = longest.within(policy.max_elapsed, "max_elapsed of the retry")
            case Hedge():
                longest = _hedged(longest, policy)
            case TokenBucketLimiter() if policy.on_limit is EnumOnLimit.WAIT:
                if policy.timeout is None:
                    longest = Longest(inf, "the rate limiter lets it wait without end")
                longest = longest.plus(policy.timeout or 0.0, "for the rate limiter")
            case Bulkhead() if policy.max_queue:
                longest = longest.plus(policy.max_wait, "in the queue")
            case CredentialRefresh():
                longest = Longest(inf, "nothing bounds the renewal of the credential")
            case _:
                pass
    return longest


def most_requests(policies: Iterable[Policy]) -> int | None:
    """Requests that one call makes at most; None when strategies of the user's decide."""
    most = 1
    for policy in policies:
        match policy:
            case InfrastructureRetryPolicy():
                attempts = most_attempts(policy)
                if attempts is None:
                    return None
                most *= attempts
            case Hedge():
                most *= 1 + policy.config.max_hedges
            case CredentialRefresh():
                most *= 2
            case _:
                pass
    return most


def most_attempts(retry: InfrastructureRetryPolicy) -> int | None:
    """Attempts made at most; None when a strategy of the user's decides."""
    return retry.stop.max_attempt_number if isinstance(retry.stop, tenacity.stop_after_attempt) else None


def longest_waits(retry: InfrastructureRetryPolicy, at_least: float = 0.0) -> float:
    """The longest that the waits between the attempts can add up to, seconds; infinite when nobody can say.

    Args:
        retry: The policy.
        at_least: What a server may ask for at each wait, should that be longer.
    """
    attempts = most_attempts(retry)
    if attempts is None or not isinstance(retry.wait, WaitWithinBounds):
        return inf
    shortest, longest = retry.wait.min_wait, retry.wait.max_wait
    return sum(max(backoff.ceiling(attempt, shortest, longest), at_least) for attempt in range(1, attempts))


def _repeated(longest: Longest, retry: InfrastructureRetryPolicy) -> Longest:
    attempts = most_attempts(retry)
    waits = longest_waits(retry, retry.config.max_retry_after)
    if attempts is None or waits == inf:
        return Longest(inf, "your own strategies decide")
    if attempts == 1 or longest.seconds == inf:
        return longest
    each = f"({longest.sum})" if " + " in longest.sum else longest.sum
    all_attempts = Longest(attempts * longest.seconds, f"{attempts} attempts × {each}", longest.aside)
    asked = waits > longest_waits(retry)
    return all_attempts.plus(waits, "of waits, should the server ask for them" if asked else "of waits")


def _hedged(longest: Longest, hedge: Hedge) -> Longest:
    """Hedges are sent one after another while the first attempt runs, so the delay is shorter than that."""
    config = hedge.config
    delay = longest.seconds if config.quantile is not None or config.delay is None else config.delay
    if config.quantile is None and delay > longest.seconds:
        return longest
    return longest.plus(config.max_hedges * delay, "until the last hedge is sent")
