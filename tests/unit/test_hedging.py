"""Hedges: when the second request is sent, which answer counts, and what becomes of the loser."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable

import pytest
from tests.support.garbage import garbage_of_async
from tests.support.virtual_time import clock, run

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import Hedge, add_observer, classify, create_network_hedge
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.utils import CorrelationContext, get_attempt, get_correlation_id, set_correlation_id


class Server:
    """Answers its n-th call as the n-th plan says: after so many seconds, with a value or an error."""

    def __init__(self, *plans: tuple[float, object]) -> None:
        self.plans = plans
        self.begun: list[float] = []
        self.ended: list[str] = []

    async def __call__(self) -> object:
        seconds, outcome = self.plans[min(len(self.begun), len(self.plans) - 1)]
        self.begun.append(clock())
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a driver's own clean-up
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def hedge(delay: float | None = 1.0, quantile: float | None = None, **settings: object) -> Hedge:
    build: Callable[..., Hedge] = Hedge
    return build(delay, quantile, **{"idempotent": True, "retry_budget": None, "clock": clock, **settings})


async def lonely() -> None:
    """Nothing but the caller is left."""
    assert asyncio.all_tasks() == {asyncio.current_task()}


def outcome_of(policy: Hedge, server: Server) -> tuple[object, float]:
    """The result, and when it came; no task is left."""

    async def main() -> tuple[object, float]:
        result = await policy(server)()
        await lonely()
        return result, clock()

    return run(main())


def error_of(policy: Hedge, server: Server) -> tuple[BaseException, float]:
    async def main() -> tuple[BaseException, float]:
        try:
            await policy(server)()
        except Exception as error:
            await lonely()
            return error, clock()
        raise AssertionError("the call succeeded")

    return run(main())


# Which answer counts


def test_a_call_that_answers_within_the_delay_is_made_once():
    policy, server = hedge(), Server((0.9, "rows"))
    assert outcome_of(policy, server) == ("rows", 0.9)
    assert server.begun == [0]
    assert (policy.hedged, policy.won) == (0, 0)


def test_a_call_that_takes_longer_is_sent_again_after_the_delay_and_the_second_may_win():
    policy, server = hedge(), Server((100, "late"), (0.5, "hedge"))
    assert outcome_of(policy, server) == ("hedge", 1.5)
    assert server.begun == [0, 1]
    assert server.ended == ["done", "cancelled"]
    assert (policy.hedged, policy.won) == (1, 1)


def test_the_first_may_win_after_all_and_the_hedge_is_cancelled_and_awaited():
    policy, server = hedge(), Server((1.2, "first"), (100, "late"))
    assert outcome_of(policy, server) == ("first", 1.2)
    assert server.ended == ["done", "cancelled"]
    assert (policy.hedged, policy.won) == (1, 0)


def test_of_two_that_answer_at_once_the_first_wins():
    policy = hedge()
    assert outcome_of(policy, Server((2, "first"), (1, "hedge"))) == ("first", 2)
    assert policy.won == 0


def test_a_call_that_fails_before_the_delay_fails_at_once_and_is_not_hedged():
    policy, server = hedge(), Server((0.5, ConnectionError("refused")))
    error, when = error_of(policy, server)
    assert error is server.plans[0][1]
    assert (when, len(server.begun), policy.hedged) == (0.5, 1, 0)


@pytest.mark.parametrize(("first", "second"), [(1.5, 100), (100, 1.5)])
def test_when_all_fail_the_error_is_the_first_attempts(first, second):
    server = Server((first, ConnectionError("first")), (second, TimeoutError("second")))
    error, when = error_of(hedge(), server)
    assert error is server.plans[0][1]
    assert when == max(first, 1 + second)


@pytest.mark.parametrize(
    ("plans", "when"),
    [
        ([(1.5, ConnectionError()), (3, "rows")], 4),  # the first fails while the hedge is under way
        ([(5, "rows"), (1, ConnectionError())], 5),  # the hedge fails, and the first succeeds
    ],
)
def test_one_success_is_enough(plans, when):
    assert outcome_of(hedge(), Server(*plans)) == ("rows", when)


def test_each_further_hedge_waits_for_another_delay():
    policy, server = hedge(max_hedges=3), Server((100, ""), (100, ""), (100, ""), (0.5, "fourth"))
    assert outcome_of(policy, server) == ("fourth", 3.5)
    assert server.begun == [0, 1, 2, 3]
    assert server.ended == ["done", *["cancelled"] * 3]
    assert (policy.hedged, policy.won) == (3, 1)


def test_a_failed_attempt_does_not_put_off_the_next_hedge():
    server = Server((100, ""), (0.5, ConnectionError()), (0.1, "third"))
    assert outcome_of(hedge(max_hedges=2), server) == ("third", pytest.approx(2.1))
    assert server.begun == [0, 1, 2]


def test_a_delay_of_nothing_sends_both_at_once():
    server = Server((2, "first"), (1, "hedge"))
    assert outcome_of(hedge(0), server) == ("hedge", 1)
    assert server.begun == [0, 0]


def test_arguments_reach_every_attempt():
    seen: list[object] = []

    @hedge()
    async def query(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))
        await asyncio.sleep(2)

    run(query(1, key="value"))
    assert seen == [((1,), {"key": "value"})] * 2


def test_a_function_that_cancels_itself_is_not_waited_for():
    async def query() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        task = asyncio.create_task(hedge()(query)())
        with pytest.raises(asyncio.CancelledError):
            await task
        await lonely()

    run(main())


# The moving quantile


def test_without_a_delay_no_call_is_hedged_until_enough_are_known():
    policy = hedge(None, 0.5, minimum_calls=3)
    assert policy.current_delay is None
    assert outcome_of(policy, Server((100, "slow"))) == ("slow", 100)
    for _ in range(2):
        assert policy.current_delay is None
        outcome_of(policy, Server((1, "rows")))
    assert policy.current_delay == 1
    assert outcome_of(policy, Server((100, "slow"), (1, "hedge"))) == ("hedge", 2)


def test_the_delay_counts_until_enough_is_known_and_the_quantile_from_then_on():
    policy = hedge(10, 0.5, minimum_calls=2)
    for delay in (10, 10, 3):
        assert policy.current_delay == delay
        outcome_of(policy, Server((3, "rows")))


def test_the_quantile_moves_with_the_last_calls():
    policy = hedge(None, 0.5, minimum_calls=1, samples=3)
    delays = []
    for seconds in (1, 1, 1, 0.5, 0.5):
        outcome_of(policy, Server((seconds, "rows")))
        delays.append(policy.current_delay)
    assert delays == [1, 1, 1, 1, 0.5]


def test_failed_calls_tell_nothing_about_latency():
    policy = hedge(1, 0.5, minimum_calls=1)
    error_of(policy, Server((0.5, ConnectionError())))
    outcome_of(policy, Server((2, ConnectionError()), (2, "rows")))
    assert policy.current_delay == 1


def test_a_first_attempt_that_lost_counts_as_slow_so_that_hedges_do_not_breed_hedges():
    policy = hedge(None, 0.8, minimum_calls=10, samples=20)
    for _ in range(6):
        for tenths in range(1, 9):
            outcome_of(policy, Server((tenths / 10, "rows")))
        for _ in range(2):
            outcome_of(policy, Server((5, "slow"), (0.01, "hedge")))
        assert policy.current_delay == 0.8
    assert policy.won == 10


# The loser


def test_a_loser_that_swallows_its_cancellation_does_not_hold_the_caller():
    async def main() -> None:
        ended = asyncio.Event()
        calls = 0

        @hedge()
        async def query() -> str:
            nonlocal calls
            calls += 1
            if calls == 2:
                return "hedge"
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(50)
            ended.set()
            raise ConnectionError("nobody hears this")

        assert await query() == "hedge"
        assert clock() == pytest.approx(1.1)
        gc.collect()
        await ended.wait()
        assert clock() == 51
        await asyncio.sleep(0)
        await lonely()

    run(main())


@pytest.mark.parametrize("late", [ConnectionError("too late"), "too late"])
def test_nothing_is_reported_of_a_loser_that_ends_after_all(late):
    async def main() -> None:
        reports: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
        calls = 0

        @hedge()
        async def query() -> object:
            nonlocal calls
            calls += 1
            if calls == 2:
                return "hedge"
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                if isinstance(late, Exception):
                    raise late from None
            return late

        assert await query() == "hedge"
        await lonely()
        gc.collect()
        assert reports == []

    run(main())


def test_a_call_that_is_closed_leaves_no_attempt_running():
    async def main() -> None:
        server = Server((100, "late"))
        work = hedge()(server)()
        task = asyncio.create_task(asyncio.sleep(0))
        work.send(None)
        await task
        assert server.begun == [0]
        work.close()
        await asyncio.sleep(0.001)
        assert server.ended == ["cancelled"]
        await lonely()

    run(main())


@pytest.mark.parametrize(
    "plans",
    [
        [(0, "rows")],
        [(0, ConnectionError)],
        [(0.02, "late"), (0, "rows")],
        [(0.02, ConnectionError), (0, ConnectionError)],
        [(0.02, ConnectionError), (0.03, "rows")],
    ],
)
def test_no_call_leaves_cyclic_garbage(plans):
    async def main() -> int:
        calls = 0

        @hedge(0.01)
        async def query() -> object:
            nonlocal calls
            seconds, outcome = plans[calls % len(plans)]
            calls += 1
            await asyncio.sleep(seconds)
            if isinstance(outcome, type):
                raise outcome
            return outcome

        async def many() -> None:
            for _ in range(50):
                try:
                    await query()
                except ConnectionError:
                    pass

        return await garbage_of_async(many)

    assert run(main()) == 0


# Context, correlation, events


def test_what_an_attempt_sets_stays_with_it_and_what_the_caller_set_reaches_all():
    mine = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
    seen: list[str] = []

    @hedge()
    async def query() -> None:
        seen.append(str(get_correlation_id()))
        set_correlation_id("00000000-0000-4000-8000-000000000000")
        await asyncio.sleep(1.5)

    async def main() -> str:
        with CorrelationContext(mine):
            await query()
            return str(get_correlation_id())

    assert run(main()) == mine
    assert seen == [mine, mine]


def test_without_an_id_all_attempts_get_one_when_the_first_hedge_is_sent():
    seen: list[tuple[int, object]] = []

    @hedge(max_hedges=2)
    async def query() -> None:
        await asyncio.sleep(2.5)
        seen.append((get_attempt(), get_correlation_id()))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        run(query())
    assert [number for number, _ in seen] == [1, 2, 3]
    assert len({one for _, one in seen}) == 1
    assert seen[0][1] is not None


def test_a_hedge_is_told_with_its_number_delay_and_the_id_of_the_call(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "omnibase_infra.resilience")
    events: list[ModelResilienceEvent] = []
    stop = add_observer(events.append, inline=True)
    try:

        @hedge(0.25, name="orders", transport=EnumInfraTransportType.GRPC)
        async def query() -> object:
            await asyncio.sleep(0.3)
            return get_correlation_id()

        known = run(query())
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.policy, event.name) == (EnumResilienceEvent.HEDGED, "hedge", "orders")
    assert (event.attempt, event.wait_seconds, event.transport) == (2, 0.25, EnumInfraTransportType.GRPC)
    assert event.correlation_id == known
    assert f"no answer after 0.25 s, attempt 2 sent beside it, correlation id {known}" in caplog.text


# Async generators


def test_an_async_generator_is_hedged_until_its_first_item_and_the_losers_stream_is_closed():
    closed: list[int] = []

    async def main() -> list[object]:
        streams = 0

        @hedge()
        async def rows() -> AsyncGenerator[object]:
            nonlocal streams
            streams += 1
            mine = streams
            try:
                await asyncio.sleep(100 if mine == 1 else 0.1)
                yield mine
                await asyncio.sleep(50)
                yield "and on"
            finally:
                closed.append(mine)

        items = [item async for item in rows()]
        assert clock() == pytest.approx(51.1)
        await lonely()
        return items

    assert run(main()) == [2, "and on"]
    assert closed == [1, 2]


def test_a_losers_stream_that_opens_after_all_is_closed():
    closed: list[int] = []

    async def main() -> None:
        streams = 0

        @hedge()
        async def rows() -> AsyncGenerator[object]:
            nonlocal streams
            streams += 1
            mine = streams
            try:
                if mine == 1:
                    try:
                        await asyncio.sleep(100)
                    except asyncio.CancelledError:
                        await asyncio.sleep(1)
                yield mine
            finally:
                closed.append(mine)

        assert [item async for item in rows()] == [2]
        await asyncio.sleep(5)
        gc.collect()
        await asyncio.sleep(0)
        await lonely()

    run(main())
    assert closed == [2, 1]


# In a stack


def test_a_rejection_further_in_is_no_reason_to_hedge_or_to_be_hidden():
    rejection = InfraUnavailableError("no", rejected_by="orders")
    error, _ = error_of(hedge(), Server((0, rejection)))
    assert error is rejection
    assert classify(error) is EnumFailureKind.REJECTED


def test_the_factories_hedge_by_quantile_and_the_arguments_win():
    built = create_network_hedge(idempotent=True, max_hedges=2, service="orders")
    assert (built.config.delay, built.config.quantile, built.config.max_hedges) == (0.5, 0.95, 2)
    assert (built.name, built.transport) == ("orders", EnumInfraTransportType.HTTP)
    fixed = create_network_hedge(2, None, idempotent=True, retry_budget=None, name="mine", service="orders")
    assert (fixed.config.delay, fixed.config.quantile, fixed.budget, fixed.name) == (2, None, None, "mine")
