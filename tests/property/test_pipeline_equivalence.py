"""The pipeline's one wrapper does, to the last number, what the stack of the policies' own wrappers does."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st
from tests.support import virtual_time
from tests.support.virtual_time import run

from omnibase_infra.errors import InfraRateLimitedError, ModelOnexError
from omnibase_infra.infrastructure.resilience import (
    Bulkhead,
    InfrastructureCircuitBreaker,
    InfrastructureRetryPolicy,
    ResiliencePipeline,
    ResilienceWarning,
    RetryBudget,
    Timeout,
    TokenBucketLimiter,
    pipeline,
    resilience,
)
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelRetryBudgetConfig, ModelRetryConfig

POLICIES = ("breaker of calls", "total", "retry", "breaker", "limiter", "bulkhead", "attempt")
FAILURES = (ConnectionError, TimeoutError, ValueError, InfraRateLimitedError, PermissionError)


def seconds(prime: int, longest: float = 4.0) -> st.SearchStrategy[float]:
    """A prime for each quantity, so that no two events fall on one instant, where their order would be chance."""
    return st.integers(1, int(longest * prime)).map(lambda part: part / prime)


def clock() -> float:
    """The loop's clock, without the last digits, which depend on how many timers it has jumped to."""
    return round(virtual_time.clock(), 9)


@dataclass(frozen=True)
class Call:
    begins: float
    attempts: Sequence[tuple[float, type[Exception] | None]]
    cancelled_after: float | None


@dataclass(frozen=True)
class Course:
    names: frozenset[str]
    attempts: int
    threshold: int
    recovery: float
    rate: float
    capacity: int
    places: int
    queue: int
    total: float
    attempt: float
    budget: int
    calls: Sequence[Call]


calls = st.builds(
    Call,
    begins=seconds(1009),
    attempts=st.lists(st.tuples(seconds(1013, 2.0), st.none() | st.sampled_from(FAILURES)), min_size=1, max_size=3),
    cancelled_after=st.none() | st.none() | seconds(1019),
)
courses = st.builds(
    Course,
    names=st.sets(st.sampled_from(POLICIES), min_size=1).map(
        lambda names: frozenset(names - {"breaker of calls"} if "breaker" in names else names)
    ),
    attempts=st.integers(1, 3),
    threshold=st.integers(1, 4),
    recovery=seconds(1021),
    rate=seconds(1031),
    capacity=st.integers(1, 8),
    places=st.integers(1, 4),
    queue=st.integers(0, 3),
    total=seconds(1033).map(lambda value: value + 1),
    attempt=seconds(1039, 1.0),
    budget=st.integers(0, 4),
    calls=st.lists(calls, min_size=1, max_size=12),
)


def built(course: Course) -> tuple[ResiliencePipeline, dict[str, object]]:
    breaker = InfrastructureCircuitBreaker(
        ModelCircuitBreakerConfig(
            failure_threshold=course.threshold,
            recovery_timeout=course.recovery,
            max_recovery_timeout=600,
            success_threshold=1,
        ),
        name="breaker",
        clock=clock,
        rng=lambda: 0.5,
    )
    retry = InfrastructureRetryPolicy(
        ModelRetryConfig(max_attempts=course.attempts, min_wait=0.05, max_wait=0.7),
        budget=RetryBudget(ModelRetryBudgetConfig(ratio=0.1, min_per_second=course.budget, window=2.0), clock=clock),
        clock=clock,
        rng=random.Random(7).random,
    )
    policies = {
        "breaker of calls": breaker,
        "total": Timeout(course.total, name="total"),
        "retry": retry,
        "breaker": breaker,
        "limiter": TokenBucketLimiter(course.rate, course.capacity, "limiter", clock=clock),
        "bulkhead": Bulkhead(course.places, course.queue, 0.3, "bulkhead"),
        "attempt": Timeout(course.attempt, name="attempt"),
    }
    chosen = {name: policy for name, policy in policies.items() if name in course.names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResilienceWarning)
        return resilience(*chosen.values(), name="target"), chosen


def held_by(policy: object) -> object:
    """What a policy holds once all calls have ended: no place, and no probe."""
    match policy:
        case InfrastructureCircuitBreaker():
            assert policy.circuit.generation.probes == 0
            return policy.state, policy.failure_count
        case InfrastructureRetryPolicy():
            return policy.budget and policy.budget.balance
        case TokenBucketLimiter():
            return policy.tokens
        case Bulkhead():
            assert (policy.in_flight, policy.waiting) == (0, 0)
    return None


async def carried_out(course: Course) -> dict[str, object]:
    """Everything that can be seen of a course: each call's end, each request, and what the policies hold afterwards."""
    guard, policies = built(course)
    requests: list[tuple[int, float]] = []

    async def request(number: int) -> str:
        made = sum(known == number for known, _ in requests)
        requests.append((number, clock()))
        duration, failure = course.calls[number].attempts[min(made, len(course.calls[number].attempts) - 1)]
        await asyncio.sleep(duration)
        if failure is not None:
            raise failure("as planned")
        return f"answer {number}"

    guarded = guard(request)

    async def one(number: int, call: Call) -> tuple[object, ...]:
        await asyncio.sleep(call.begins + number / 7_919)
        task = asyncio.ensure_future(guarded(number))
        if call.cancelled_after is not None:
            asyncio.get_running_loop().call_later(call.cancelled_after, task.cancel)
        try:
            return (await task, clock())
        except asyncio.CancelledError:
            return ("cancelled", clock())
        except ModelOnexError as exc:
            told = exc.model_dump()
            told.pop("correlation_id", None)
            return (type(exc), exc.message, exc.retry_after_seconds, exc.rejected_by, type(exc.__cause__), clock())
        except Exception as exc:
            return (type(exc), clock())

    ends = await asyncio.gather(*(one(number, call) for number, call in enumerate(course.calls)))
    left = [
        policy.budget.balance
        for policy in guard.policies
        if isinstance(policy, InfrastructureRetryPolicy) and policy.budget
    ]
    await asyncio.sleep(30)
    return {
        "ends": ends,
        "left": left,
        "requests": requests,
        "held": {name: held_by(policy) for name, policy in policies.items()},
    }


@settings(max_examples=200, deadline=None, phases=set(Phase) - {Phase.explain})
@given(courses)
@example(
    Course(
        names=frozenset({"total", "breaker of calls", "retry"}),
        attempts=2,
        threshold=1,
        recovery=1.5,
        rate=1,
        capacity=1,
        places=1,
        queue=1,
        total=1.01,
        attempt=0.5,
        budget=1,
        calls=[Call(0.1, [(1.9, None)], None)],
    )
)
def test_one_wrapper_and_the_stack_end_every_call_alike_and_at_the_same_time(course: Course) -> None:
    as_one = run(carried_out(course))
    with patch.object(pipeline, "usual_order", lambda *_: None):
        as_stack = run(carried_out(course))
    for end in as_one["ends"]:
        event(str(end[0]) if isinstance(end[0], type) else str(end[0]).split()[0])
    assert as_one == as_stack


def test_the_usual_order_is_flattened() -> None:
    """Else the comparison above would compare the stack with itself."""
    flattened_by: list[object] = []

    def seen(usual: object, *_: object, **__: object) -> object:
        flattened_by.append(usual)
        raise LookupError

    async def decorate() -> None:
        for names in (frozenset(POLICIES) - {"breaker of calls"}, frozenset(POLICIES) - {"breaker"}):
            guard, _ = built(Course(names, 2, 1, 1, 1, 1, 1, 1, 9, 1, 1, ()))

            async def request() -> None: ...

            with pytest.raises(LookupError):
                guard(request)

    with patch.object(pipeline, "flattened", seen):
        run(decorate())
    assert len(flattened_by) == 2


@pytest.mark.parametrize("apart", ["abandon", "max_elapsed", "own strategies", "translating limiter", "subclass"])
def test_what_does_more_than_let_a_call_pass_is_left_to_the_stack(apart: str) -> None:
    class Own(Bulkhead): ...

    policy = {
        "abandon": Timeout(1.0, abandon=True),
        "max_elapsed": InfrastructureRetryPolicy(ModelRetryConfig(max_elapsed=5.0)),
        "own strategies": InfrastructureRetryPolicy(stop=lambda state: state.attempt_number > 1),
        "translating limiter": TokenBucketLimiter(1, 1, translate=True),
        "subclass": Own(1),
    }[apart]

    def unexpected(*_: object, **__: object) -> object:
        raise AssertionError("flattened")

    with patch.object(pipeline, "flattened", unexpected):

        @resilience(policy)
        async def request() -> str:
            return "answer"

    assert run(request()) == "answer"
