"""One breaker under many tasks: exact counts, exact places, and a cancellation at every await."""

import asyncio
import threading
from uuid import UUID, uuid4

import pytest
from tests.support import virtual_time
from tests.support.circuits import Clock, attempt, fail, make

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import (
    add_observer,
    create_database_rate_limiter,
    create_database_retry_policy,
)
from omnibase_infra.utils import CorrelationContext

CLOSED, OPEN, HALF_OPEN, *_ = EnumCircuitState


def half_open(**settings):
    clock = Clock()
    breaker = make(clock, **settings)
    breaker.trip()
    clock.advance(60)
    return breaker


async def outcomes(calls):
    return await asyncio.gather(*calls, return_exceptions=True)


def test_500_tasks_are_counted_exactly_and_each_gets_its_own_result():
    breaker = make(failure_threshold=10_000)

    @breaker
    async def work(number):
        await asyncio.sleep(number % 7)
        if number % 5 == 0:
            raise ConnectionResetError(number)
        if number % 5 == 1:
            raise ValueError(number)
        if number % 5 == 2:
            raise asyncio.CancelledError(number)
        if number % 5 == 3:
            raise FileNotFoundError(number)
        raise InfraUnavailableError(f"ours {number}", rejected_by="another policy")

    results = virtual_time.run(outcomes([work(number) for number in range(500)]))
    assert breaker.failure_count == 100
    expected = [ConnectionResetError, ValueError, asyncio.CancelledError, FileNotFoundError, InfraUnavailableError]
    for number, result in enumerate(results):
        assert type(result) is expected[number % 5]
        if number % 5 != 2:  # asyncio makes the cancellation that a task ends with anew
            assert str(number) in str(result)


def test_500_failing_tasks_open_the_circuit_once_at_the_threshold():
    breaker = make(failure_threshold=300)
    events = []
    remove = add_observer(events.append, inline=True)

    @breaker
    async def work(number):
        await asyncio.sleep(number)
        raise ConnectionResetError

    try:
        virtual_time.run(outcomes([work(number) for number in range(500)]))
    finally:
        remove()
    assert (breaker.state, breaker.failure_count) == (OPEN, 300)
    assert [(event.previous_state, event.state) for event in events] == [(CLOSED, OPEN)]


@pytest.mark.parametrize("places", [1, 3])
@pytest.mark.parametrize("face", ["coroutine function", "call", "async with", "async generator"])
def test_half_open_admits_exactly_its_number_of_200_tasks(face, places):
    breaker = half_open(half_open_max_calls=places, success_threshold=places)
    inside = []

    async def probe():
        inside.append(None)
        await asyncio.sleep(1)

    async def block():
        async with breaker:
            await probe()

    async def stream():
        await probe()
        yield "item"

    async def consume():
        return [item async for item in breaker(stream)()]

    calls = {
        "coroutine function": breaker(probe),
        "call": lambda: breaker.call(probe),
        "async with": block,
        "async generator": consume,
    }
    results = virtual_time.run(outcomes([calls[face]() for _ in range(200)]))
    refusals = [result for result in results if isinstance(result, InfraUnavailableError)]
    assert (len(inside), len(refusals)) == (places, 200 - places)
    assert {refusal.circuit_state for refusal in refusals} == {HALF_OPEN}
    assert len({id(refusal) for refusal in refusals}) == len(refusals)
    assert breaker.closed


def test_each_tasks_rejection_carries_its_own_correlation_id():
    breaker = make()
    breaker.trip()
    ids = [uuid4() for _ in range(50)]

    @breaker
    async def work():
        raise AssertionError

    async def request(correlation_id: UUID):
        with CorrelationContext(correlation_id):
            await asyncio.sleep(1)
            return await work()

    results = virtual_time.run(outcomes([request(correlation_id) for correlation_id in ids]))
    assert [result.correlation_id for result in results] == ids


def faces_that_await(breaker):
    """Every way to be suspended in a guarded call; each awaits three times."""

    async def three_awaits():
        for _ in range(3):
            await asyncio.sleep(1)

    async def block():
        async with breaker:
            await three_awaits()

    async def stream():
        await three_awaits()
        yield "item"

    async def consume():
        return [item async for item in breaker(stream)()]

    retry = create_database_retry_policy(clock=virtual_time.clock)
    limiter = create_database_rate_limiter(clock=virtual_time.clock)
    return {
        "coroutine function": breaker(three_awaits),
        "call": lambda: breaker.call(three_awaits),
        "async with": block,
        "async generator": consume,
        "stack": breaker(retry(limiter(three_awaits))),
    }


@pytest.mark.parametrize("awaited", [0, 1, 2])
@pytest.mark.parametrize("face", ["coroutine function", "call", "async with", "async generator", "stack"])
@pytest.mark.parametrize("state", [CLOSED, HALF_OPEN])
def test_a_call_cancelled_at_any_await_gives_its_place_back_and_records_nothing(state, face, awaited):
    async def main():
        breaker = make(virtual_time.clock, failure_threshold=3)
        fail(breaker, 2)
        if state is HALF_OPEN:
            breaker.trip()
            await asyncio.sleep(60)
        task = asyncio.create_task(faces_that_await(breaker)[face]())
        await asyncio.sleep(awaited + 0.5)
        task.cancel("the caller has gone")
        with pytest.raises(asyncio.CancelledError, match="the caller has gone") as caught:
            await task
        assert caught.type is asyncio.CancelledError
        assert (breaker.state, breaker.failure_count) == (state, 2)
        assert breaker.circuit.generation.probes == 0
        await faces_that_await(breaker)[face]()
        assert breaker.closed

    virtual_time.run(main())


def test_a_cancelled_fallback_has_taken_no_place():
    async def main():
        breaker = make(virtual_time.clock, fallback_function=lambda: asyncio.sleep(10))
        breaker.trip()
        task = asyncio.create_task(breaker.call(asyncio.sleep))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(60)
        assert (breaker.state, breaker.circuit.generation.probes) == (HALF_OPEN, 0)

    async def missing():
        raise AssertionError

    virtual_time.run(main())


def test_a_probe_that_its_caller_stops_waiting_for_gives_its_place_back():
    async def main():
        breaker = make(virtual_time.clock)
        breaker.trip()
        await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await breaker.call(asyncio.Event().wait)
        assert (breaker.state, breaker.circuit.generation.probes) == (HALF_OPEN, 0)

    virtual_time.run(main())


def test_a_coroutine_that_was_never_started_has_taken_no_place():
    breaker = half_open()

    async def work():
        raise AssertionError

    breaker(work)().close()
    assert attempt(breaker) == "ok"


def test_a_guarded_function_may_call_itself_and_each_call_is_counted():
    breaker = make(failure_threshold=1000)

    @breaker
    async def descend(depth):
        await asyncio.sleep(0)
        if depth == 0:
            raise ConnectionResetError
        return await descend(depth - 1)

    results = virtual_time.run(outcomes([descend(9) for _ in range(20)]))
    assert {type(result) for result in results} == {ConnectionResetError}
    assert breaker.failure_count == 200


def test_a_probe_that_calls_itself_gets_no_second_place_and_keeps_none():
    breaker = half_open(half_open_max_calls=1)
    reached = []

    @breaker
    async def descend(depth):
        reached.append(depth)
        return await descend(depth - 1) if depth else "bottom"

    for _ in range(3):
        with pytest.raises(InfraUnavailableError):
            virtual_time.run(descend(2))
    assert reached == [2, 2, 2]
    assert breaker.state is HALF_OPEN
    assert virtual_time.run(descend(0)) == "bottom"
    assert breaker.closed
    assert virtual_time.run(descend(5)) == "bottom"


def in_two_loops(main):
    """Run a coroutine function in two event loops at once, each in a thread of its own."""
    results = [None, None]
    together = threading.Barrier(2, timeout=10)

    def run(place):
        async def begin():
            together.wait()
            return await main()

        results[place] = asyncio.run(begin())

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return results


def test_two_event_loops_at_once_share_one_exact_count():
    breaker = make(failure_threshold=10_000)

    @breaker
    async def work():
        await asyncio.sleep(0)
        raise ConnectionResetError

    in_two_loops(lambda: outcomes([work() for _ in range(250)]))
    assert breaker.failure_count == 500


def test_two_event_loops_at_once_share_the_half_open_places():
    breaker = half_open(half_open_max_calls=2, success_threshold=2)
    asked = threading.Barrier(2, timeout=10)
    inside = []

    @breaker
    async def probe():
        inside.append(None)
        await asyncio.to_thread(all_have_asked.wait, 10)

    all_have_asked = threading.Event()

    async def main():
        tasks = [asyncio.create_task(probe()) for _ in range(100)]
        for _ in range(3):
            await asyncio.sleep(0)
        asked.wait()
        all_have_asked.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = [result for loop in in_two_loops(main) for result in loop]
    assert len(inside) == 2
    assert sum(isinstance(result, InfraUnavailableError) for result in results) == 198
    assert breaker.closed
