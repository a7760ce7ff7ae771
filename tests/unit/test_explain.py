"""What `explain` says, by hand arithmetic and against calls that are made under virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import tenacity
from tests.support.virtual_time import clock, run

from omnibase_infra.enums import EnumBreakerScope, EnumFailureKind
from omnibase_infra.errors import (
    InfraAuthenticationError,
    InfraRateLimitedError,
    ModelInfraErrorContext,
    RuntimeHostError,
)
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    CredentialRefresh,
    Fallback,
    Hedge,
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    RetryBudget,
    Timeout,
    TokenBucketLimiter,
    create_database_adaptive_throttle,
    create_database_circuit_breaker,
    create_database_retry_policy,
    create_stale_cache,
    resilience,
)
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.infrastructure.resilience.pipeline_order import Policy
from omnibase_infra.models.resilience import ModelPipelineExplanation, ModelRetryBudgetConfig

# Most of these settings are odd on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::omnibase_infra.infrastructure.resilience.ResilienceWarning")


class Token:
    is_expired = False

    async def refresh(self) -> None:
        pass


def retry(attempts: int = 3, **settings: object) -> InfrastructureRetryPolicy:
    """Waits of 2 and 4 s at the longest; a server may ask for 10 s."""
    given: dict[str, object] = {"max_retry_after": 10, "rng": lambda: 1 - 1e-12, "clock": clock_or_zero, **settings}
    return create_database_retry_policy(attempts, 1, 8, **given)  # type: ignore[arg-type]


def clock_or_zero() -> float:
    try:
        return clock()
    except RuntimeError:
        return 0.0


def budget(ratio: float = 0.1, min_per_second: float = 10) -> ModelRetryBudgetConfig:
    return ModelRetryBudgetConfig(ratio=ratio, min_per_second=min_per_second, window=10)


def hedge(delay: float | None = 1, quantile: float | None = None, **settings: object) -> Hedge:
    return Hedge(delay, quantile, idempotent=True, **{"retry_budget": None, **settings})  # type: ignore[arg-type]


def breaker(**settings: object) -> InfrastructureCircuitBreaker:
    return create_database_circuit_breaker(**settings)  # type: ignore[arg-type]


def waiting(seconds: float | None) -> TokenBucketLimiter:
    return TokenBucketLimiter(1, 1, on_limit="wait", timeout=seconds)


@pytest.mark.parametrize(
    ("policies", "seconds", "because"),
    [
        ((breaker(),), None, "no timeout bounds it"),
        ((Timeout(5),), 5, "the attempt timeout"),
        ((Timeout(5), breaker()), 5, "the total timeout"),
        ((retry(1), Timeout(5)), 5, "the attempt timeout"),
        ((retry(), Timeout(5)), 35, "3 attempts × 5 s + 20 s of waits, should the server ask for them"),
        ((retry(max_retry_after=1), Timeout(5)), 21, "3 attempts × 5 s + 6 s of waits"),
        ((retry(max_retry_after=3), Timeout(5)), 22, "3 attempts × 5 s + 7 s of waits, should the server ask for them"),
        ((retry(), Bulkhead(1, 1, 2), Timeout(5)), 41, "3 attempts × (5 s + 2 s in the queue) + 20 s of waits, should"),
        ((retry(), Bulkhead(1, 0, 2), Timeout(5)), 35, "3 attempts × 5 s"),
        ((retry(), waiting(3), Timeout(5)), 44, "3 attempts × (5 s + 3 s for the rate limiter)"),
        ((retry(), waiting(None), Timeout(5)), None, "the rate limiter lets it wait without end"),
        ((waiting(3), retry(), Timeout(5)), 38, "20 s of waits, should the server ask for them + 3 s for the rate"),
        ((retry(), TokenBucketLimiter(1, 1), Timeout(5)), 35, "3 attempts × 5 s"),
        ((retry(max_elapsed=21), Timeout(5)), 21, "max_elapsed of the retry; without it 3 attempts × 5 s"),
        ((retry(max_elapsed=21),), 21, "max_elapsed of the retry"),
        ((Timeout(30), retry(), Timeout(5)), 30, "the total timeout; without it 3 attempts × 5 s + 20 s of waits"),
        ((Timeout(36), retry(), Timeout(5)), 35, "3 attempts × 5 s"),
        ((Bulkhead(1, 1, 2), Timeout(30), breaker()), 32, "the total timeout + 2 s in the queue"),
        ((retry(stop=lambda _: True), Timeout(5)), None, "your own strategies decide"),
        ((retry(wait=lambda _: 0.0), Timeout(5)), None, "your own strategies decide"),
        ((Timeout(30), retry(wait=lambda _: 0.0), Timeout(5)), 30, "the total timeout"),
        ((retry(retry=lambda _: True, before_sleep=lambda _: None), Timeout(5)), 35, "3 attempts × 5 s"),
        ((hedge(1), Timeout(5)), 6, "5 s + 1 s until the last hedge is sent"),
        ((hedge(1, max_hedges=3), Timeout(5)), 8, "5 s + 3 s until the last hedge is sent"),
        ((hedge(5.1), Timeout(5)), 5, "the attempt timeout"),
        ((hedge(1, 0.95), Timeout(5)), 10, "5 s + 5 s until the last hedge is sent"),
        ((Timeout(5), CredentialRefresh(Token())), 5, "the attempt timeout"),
        ((CredentialRefresh(Token()), Timeout(5)), None, "nothing bounds the renewal of the credential"),
        ((Timeout(9), CredentialRefresh(Token()), Timeout(5)), 9, "the total timeout"),
    ],
)  # fmt: skip
def test_the_longest_duration_of_a_call_is_told_with_its_arithmetic(
    policies: tuple[Policy, ...], seconds: float | None, because: str
) -> None:
    told = resilience(*policies).explain()
    assert told.worst_case_seconds == seconds
    assert because in told.worst_case_because


@pytest.mark.parametrize(
    ("policies", "seconds"),
    [
        ((Timeout(30), retry(), Timeout(5)), None),
        ((retry(max_elapsed=21),), None),
        ((Timeout(30, abandon=True), retry(), Timeout(5)), 30),
        ((Timeout(30), retry(), Timeout(5, abandon=True)), 35),
    ],
)
def test_a_plain_function_is_only_bounded_by_timeouts_that_may_leave_it_behind(
    policies: tuple[Policy, ...], seconds: float | None
) -> None:
    assert resilience(*policies).explain().plain_worst_case_seconds == seconds


async def hang() -> None:
    await asyncio.sleep(10_000)


class Failing:
    """A dependency that fails every call, and counts them."""

    def __init__(self, failure: Callable[[], Exception] = ConnectionResetError, after: float = 0.0) -> None:
        self.failure = failure
        self.after = after
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        await asyncio.sleep(self.after)
        raise self.failure()


def asks_for_ten_seconds() -> Exception:
    return InfraRateLimitedError("slow down", context=ModelInfraErrorContext(retry_after_seconds=10))


@pytest.mark.parametrize(
    "policies",
    [
        lambda: (retry(max_retry_after=0), Timeout(5)),
        lambda: (Timeout(20), retry(max_retry_after=0), Timeout(5)),
        lambda: (retry(max_retry_after=0, max_elapsed=20), Timeout(5)),
        lambda: (hedge(1, max_hedges=2), Timeout(5)),
        lambda: (hedge(5), Timeout(5)),
        lambda: (hedge(5.1), Timeout(5)),
        lambda: (retry(2, max_retry_after=0), hedge(1), breaker(), Timeout(5)),
        lambda: (Timeout(5), breaker()),
    ],
)
def test_a_call_to_a_dependency_that_hangs_takes_as_long_as_told(policies: Callable[[], tuple[Policy, ...]]) -> None:
    async def main() -> tuple[float | None, float]:
        pipeline = resilience(*policies())
        with pytest.raises(RuntimeHostError):
            await pipeline(hang)()
        return pipeline.explain().worst_case_seconds, clock()

    told, taken = run(main())
    assert told == pytest.approx(taken)


def test_a_call_that_a_server_makes_wait_takes_as_long_as_told() -> None:
    async def main() -> tuple[float | None, float]:
        pipeline = resilience(retry(), Timeout(5))
        with pytest.raises(InfraRateLimitedError):
            await pipeline(Failing(asks_for_ten_seconds, after=4.999))()
        return pipeline.explain().worst_case_seconds, clock()

    told, taken = run(main())
    assert told == pytest.approx(taken, abs=0.01)


def test_a_call_that_waits_in_every_queue_takes_as_long_as_told() -> None:
    async def main() -> tuple[float | None, float]:
        bulkhead = Bulkhead(1, 1, 2)
        pipeline = resilience(retry(2, max_retry_after=0), bulkhead, Timeout(5))

        async def occupy(until: float) -> None:
            async with bulkhead:
                await asyncio.sleep(until - clock())

        async def fill() -> None:
            await occupy(1.999)
            await asyncio.sleep(6)  # the first attempt ends, and its wait begins
            await occupy(10.99)

        occupier = asyncio.create_task(fill())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeHostError):
            await pipeline(hang)()
        await occupier
        return pipeline.explain().worst_case_seconds, clock()

    told, taken = run(main())
    assert told == 2 * (5 + 2) + 2
    assert taken == pytest.approx(told, abs=0.05)


@pytest.mark.parametrize(
    ("policies", "most"),
    [
        (lambda: (breaker(),), 1),
        (lambda: (retry(),), 3),
        (lambda: (retry(stop=tenacity.stop_after_attempt(7), wait=lambda _: 0.0),), 7),
        (lambda: (retry(), hedge(0)), 6),
        (lambda: (retry(), hedge(0, max_hedges=2)), 9),
        (lambda: (breaker(failure_threshold=100), retry(5)), 5),
    ],
)
def test_a_call_to_a_dependency_that_fails_makes_as_many_requests_as_told(
    policies: Callable[[], tuple[Policy, ...]], most: int
) -> None:
    dependency = Failing(after=0.5)

    async def main() -> int | None:
        pipeline = resilience(*policies())
        with pytest.raises(RuntimeHostError):
            await pipeline(dependency)()
        return pipeline.explain().most_calls

    assert run(main()) == most
    assert dependency.calls == most


def test_a_refused_credential_may_double_the_requests() -> None:
    dependency = Failing(lambda: InfraAuthenticationError("refused"))

    async def main() -> ModelPipelineExplanation:
        pipeline = resilience(retry(), CredentialRefresh(Token()))
        with pytest.raises(InfraAuthenticationError):
            await pipeline(dependency)()
        return pipeline.explain()

    told = run(main())
    assert dependency.calls == 2
    assert told.most_calls == 6  # each attempt may be the first that is refused
    assert kinds(told)["authentication"][0] is True


def test_strategies_of_the_user_s_leave_the_most_requests_open() -> None:
    told = resilience(retry(stop=lambda _: False, retry_budget=None)).explain()
    assert (told.most_calls, told.amplification) == (None, None)
    assert "most requests for one call      as your own strategies decide" in str(told)


@pytest.mark.parametrize(
    ("policies", "load", "floor"),
    [
        ((breaker(),), 1, 0),
        ((retry(retry_budget=None),), 3, 0),
        ((retry(retry_budget=budget()),), 1.1, 10),
        ((retry(1, retry_budget=budget()),), 1, 0),
        ((retry(2, retry_budget=budget(1)),), 2, 10),
        ((retry(stop=lambda _: False, retry_budget=budget()),), 1.1, 10),
        ((retry(retry_budget=None), hedge(0)), 6, 0),
        ((retry(retry_budget=budget()), hedge(0, retry_budget=budget(0.05, 2))), 1.1 * 1.05, 12),
    ],
)
def test_the_load_in_an_outage_is_told_as_the_budgets_bound_it(
    policies: tuple[Policy, ...], load: float, floor: float
) -> None:
    told = resilience(*policies).explain()
    assert told.amplification == pytest.approx(load)
    assert told.amplification_floor == floor


@pytest.mark.parametrize(("counts_calls", "load"), [(False, 1.2), (True, 1.5)])
def test_a_budget_that_retries_and_hedges_share_bounds_them_together(counts_calls: bool, load: float) -> None:
    shared = RetryBudget(budget(0.2))
    policies = (retry(retry_budget=shared), hedge(0, retry_budget=shared, counts_calls=counts_calls))
    told = resilience(*policies).explain()
    assert told.amplification == load
    assert told.amplification_floor == 10


@pytest.mark.parametrize("counts_calls", [False, True])
def test_the_load_of_a_run_stays_within_what_is_told(counts_calls: bool) -> None:
    dependency = Failing()

    async def main() -> float:
        shared = RetryBudget(budget(0.2, min_per_second=0), clock=clock)
        hedges = hedge(0, retry_budget=shared, counts_calls=counts_calls)
        pipeline = resilience(retry(retry_budget=shared), hedges)
        guarded = pipeline(dependency)

        async def caller(number: int) -> None:
            await asyncio.sleep(number / 100)
            with pytest.raises(RuntimeHostError):
                await guarded()

        await asyncio.gather(*(caller(number) for number in range(1_000)))
        return pipeline.explain().amplification or 0.0

    told = run(main())
    assert 0.9 * told < dependency.calls / 1_000 <= told


def test_requests_while_the_circuit_is_open_are_bounded_as_told() -> None:
    dependency = Failing()

    async def main() -> float:
        guard = breaker(failure_threshold=1, recovery_timeout=50, clock=clock)
        pipeline = resilience(guard, retry(retry_budget=None))
        guarded = pipeline(dependency)
        with pytest.raises(RuntimeHostError):
            await guarded()
        before, began = dependency.calls, clock()
        for _ in range(10_000):
            with pytest.raises(RuntimeHostError):
                await guarded()
            await asyncio.sleep(0.1)
        told = pipeline.explain().requests_while_open
        assert told == 3 / 50  # a probe of a whole call makes all its attempts
        return (dependency.calls - before) / (clock() - began) / told

    assert 0.8 < run(main()) <= 1


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ((Timeout(5),), "there is no circuit"),
        ((breaker(recovery_timeout=0),), "not bounded"),
        ((breaker(), retry(stop=lambda _: False)), "not bounded"),
        ((breaker(recovery_timeout=4, half_open_max_calls=2),), "0.5 requests a second at most"),
        ((retry(), hedge(1), breaker(recovery_timeout=4)), "0.25 requests a second at most"),
    ],
)
def test_what_reaches_the_dependency_while_the_circuit_is_open_is_told(policies: tuple[Policy, ...], told: str) -> None:
    assert f"load while the circuit is open  {told}" in str(resilience(*policies).explain())


def test_when_the_circuit_opens_is_told_in_what_it_counts() -> None:
    windowed = {"failure_threshold": 7, "failure_rate": 0.5, "window": 10, "minimum_calls": 25}
    attempts = resilience(retry(), breaker(**windowed)).explain()
    calls = resilience(breaker(**windowed), retry()).explain()
    assert (attempts.breaker_scope, calls.breaker_scope) == (EnumBreakerScope.ATTEMPT, EnumBreakerScope.CALL)
    assert attempts.failures_to_open == 7
    assert attempts.lowest_rate_to_open == 2.5
    assert "after 7 failed attempts in a row, at any rate; by its rate window from 2.5 attempts" in str(attempts)
    assert "after 7 failed calls in a row, at any rate; by its rate window from 2.5 calls a second" in str(calls)


def test_a_rate_window_opens_the_circuit_at_the_lowest_rate_told_and_not_below() -> None:
    async def opens(calls_a_second: float) -> bool:
        guard = breaker(failure_threshold=10_000, failure_rate=0.5, window=10, minimum_calls=25, clock=clock)
        assert resilience(guard).explain().lowest_rate_to_open == 2.5
        guarded = resilience(guard)(Failing())
        for _ in range(100):
            with pytest.raises(RuntimeHostError):
                await guarded()
            await asyncio.sleep(1 / calls_a_second)
        return guard.opened

    assert run(opens(2.8))
    assert not run(opens(2.2))


def kinds(told: ModelPipelineExplanation) -> dict[str, tuple[bool | None, bool | None, bool]]:
    return {row.kind.value: (row.retried, row.counted, row.falls_back) for row in told.kinds}


def test_each_kind_of_failure_is_told_with_what_the_policies_do() -> None:
    told = resilience(Fallback(value=None), retry(), breaker()).explain()
    assert kinds(told) == {
        "connection": (True, True, True),
        "timeout": (True, True, True),
        "unavailable": (True, True, True),
        "throttled": (True, False, False),
        "authentication": (False, False, False),
        "caller": (False, False, False),
        "rejected": (False, False, True),
        "abandoned": (False, False, False),
    }
    assert {row.kind: row.becomes for row in told.kinds}[EnumFailureKind.TIMEOUT] == "InfraTimeoutError"


def test_what_settings_change_of_that_is_told() -> None:
    assert kinds(resilience(retry(1)).explain())["timeout"] == (False, False, False)
    assert kinds(resilience(breaker(connection_weight=0)).explain())["connection"] == (False, False, False)
    windowed = kinds(resilience(breaker(connection_weight=0, failure_rate=0.5)).explain())
    assert windowed["connection"] == windowed["throttled"] == (False, True, False)
    assert kinds(resilience(retry(retry_open_circuit=True)).explain())["rejected"] == (True, False, False)
    own = kinds(resilience(retry(retry=lambda _: True), breaker(expected_exception=OSError)).explain())
    assert own["caller"] == (None, None, False)
    assert own["abandoned"] == (False, False, False)
    assert "own rule" in str(resilience(retry(retry=lambda _: True)).explain())


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Timeout(5, abandon=True), "5 s, left behind when late"),
        (retry(retry_budget=None), "3 attempts, 1 to 8 s apart, no budget"),
        (retry(1), "1 attempt: no retry"),
        (retry(before_sleep=lambda _: None, retry_budget=None), "3 attempts, 1 to 8 s apart, no budget"),
        (retry(wait=lambda _: 0.0, retry_budget=None), "by your own strategies, no budget"),
        (retry(max_elapsed=9, idempotent=False), ", within 9 s, not of what may have taken effect, budget 10% of the"),
        (retry(retry_unsafe=False), "not of what may have taken effect"),
        (TokenBucketLimiter(0.5, 2), "0.5/s, bursts of 2"),
        (waiting(3), "1/s, bursts of 1, waits for up to 3 s"),
        (waiting(None), "1/s, bursts of 1, waits"),
        (Bulkhead(2, 3, 4), "2 at once, queue of 3 for up to 4 s"),
        (Bulkhead(2, 3, 0), "2 at once"),
        (hedge(0.5), "1 more after 0.5 s"),
        (hedge(0.5, 0.95), "1 more when slower than 95% of the calls; until that is known, after 0.5 s"),
        (hedge(None, 0.95), "1 more when slower than 95% of the calls; until that is known, none"),
        (
            breaker(connection_weight=0.5, failure_rate=0.5),
            (
                "opens after 5 failures in a row, of which a lost connection counts 0.5, or 50% failed, of 20 and more "
                "in 60 s; probes after 60 s, closes after 1 success"
            ),
        ),
        (
            breaker(slow_call_seconds=2, slow_call_rate=0.8, success_threshold=2),
            (
                "opens after 5 failures in a row, or 80% slower than 2 s, of 20 and more in 60 s; probes after 60 s, "
                "closes after 2 successes"
            ),
        ),
        (
            breaker(recovery_timeout=1, recovery_multiplier=2, max_recovery_timeout=5),
            "opens after 5 failures in a row; probes after 1 s, growing to 5 s, closes after 1 success",
        ),
        (
            breaker(recovery_timeout=5, recovery_multiplier=2, max_recovery_timeout=5),
            "opens after 5 failures in a row; probes after 5 s, closes after 1 success",
        ),
        (breaker(key=lambda: 0), "for each key: opens after 5 failures in a row; probes after 60 s"),
        (create_database_adaptive_throttle(), "lets 1.5 × the accepted calls of 30 s pass"),
        (create_stale_cache(), "keeps answers for 60 s; a stale one answers connection, timeout, unavailable"),
    ],
)
def test_each_policy_is_told_in_words(policy: Policy, words: str) -> None:
    told = resilience(policy).explain().order[0][1]
    assert told == words if not words.startswith((",", "not", "for")) else words in told


@pytest.mark.parametrize("section", FACTORIES)
def test_the_explanation_of_each_transport_survives_json(section: str) -> None:
    told = FACTORIES[section]().explain()
    assert ModelPipelineExplanation.model_validate_json(json.dumps(told.model_dump(mode="json"))) == told
    assert told.worst_case_seconds is not None
