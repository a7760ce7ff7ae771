"""The mixin's lock under tasks, cancellations, threads and several event loops."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest
from tests.support.adapters import Adapter, answer
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraUnavailableError, RuntimeHostError
from omnibase_infra.mixins.task_lock import TaskLock


def test_tasks_get_the_lock_in_the_order_in_which_they_asked():
    async def main() -> None:
        lock, order = TaskLock(), list[int]()

        async def enter(number: int) -> None:
            async with lock:
                order.append(number)
                await asyncio.sleep(1)

        await asyncio.gather(*(enter(number) for number in range(20)))
        assert order == list(range(20))
        assert not lock.locked()

    run(main())


def test_a_task_that_asks_twice_is_told_instead_of_waiting_for_itself():
    async def main() -> None:
        lock = TaskLock()
        async with lock:
            with pytest.raises(RuntimeHostError, match="would wait for itself"):
                await lock.acquire()
            assert lock.locked()
        assert not lock.locked()

    run(main())


def test_only_the_task_that_holds_the_lock_may_release_it():
    async def main() -> None:
        lock = TaskLock()

        async def intrude() -> None:
            with pytest.raises(RuntimeHostError, match="only be released by the task that holds it"):
                lock.release()

        await intrude()
        async with lock:
            await asyncio.create_task(intrude())
            assert lock.locked()

    run(main())


def test_the_lock_needs_a_running_task():
    work = TaskLock().acquire()
    with pytest.raises(RuntimeHostError, match="running task"):
        work.send(None)


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0])
def test_a_waiter_cancelled_at_any_moment_leaves_the_lock_to_the_next(moment: float):
    async def main() -> None:
        lock, entered = TaskLock(), list[str]()

        async def hold() -> None:
            async with lock:
                await asyncio.sleep(1)

        async def enter(name: str) -> None:
            async with lock:
                entered.append(name)

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0)
        waiter, following = asyncio.create_task(enter("waiter")), asyncio.create_task(enter("next"))
        await asyncio.sleep(moment)
        waiter.cancel()
        await asyncio.gather(holder, waiter, following, return_exceptions=True)
        assert "next" in entered
        assert not lock.locked()

    run(main())


def test_a_waiter_cancelled_while_its_turn_is_on_the_way_passes_the_turn_on():
    async def main() -> None:
        lock, entered = TaskLock(), list[str]()

        async def enter(name: str) -> None:
            async with lock:
                entered.append(name)

        await lock.acquire()
        waiter, following = asyncio.create_task(enter("waiter")), asyncio.create_task(enter("next"))
        await asyncio.sleep(0)
        lock.release()
        waiter.cancel()
        await asyncio.gather(waiter, following, return_exceptions=True)
        assert entered == ["next"]
        assert not lock.locked()

    run(main())


def test_three_hundred_tasks_with_random_cancellations_leave_the_lock_free():
    import random

    for seed in range(20):
        rng = random.Random(seed)

        async def main(rng: random.Random) -> None:
            lock, inside = TaskLock(), 0

            async def enter() -> None:
                nonlocal inside
                async with lock:
                    inside += 1
                    assert inside == 1
                    try:
                        await asyncio.sleep(rng.random() * 0.01)
                    finally:
                        inside -= 1

            tasks = [asyncio.create_task(enter()) for _ in range(300)]
            for _ in range(100):
                await asyncio.sleep(rng.random() * 0.01)
                rng.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not lock.locked()
            assert not lock._waiting

        run(main(rng))


def test_one_object_serves_one_event_loop_after_another():
    service = Adapter(1, clock=lambda: 0.0)

    async def crowd() -> list[object]:
        return await asyncio.gather(*(service.call(answer) for _ in range(20)))

    for _ in range(3):
        assert asyncio.run(crowd()) == ["ok"] * 20


def test_a_lock_whose_event_loop_was_closed_around_its_holder_can_be_taken_again():
    service = Adapter(1, clock=lambda: 0.0)

    async def hold() -> None:
        async with service._circuit_breaker_lock:
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    holder = loop.create_task(hold())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert asyncio.run(service.call(answer)) == "ok"
    holder._log_destroy_pending = False


def test_a_waiter_whose_event_loop_was_closed_is_passed_over():
    lock = TaskLock()
    entered = list[str]()

    async def enter(name: str) -> None:
        async with lock:
            entered.append(name)

    async def main() -> None:
        await lock.acquire()
        other = asyncio.new_event_loop()
        lost = other.create_task(enter("lost"))
        lost._log_destroy_pending = False
        await asyncio.to_thread(other.run_until_complete, asyncio.sleep(0))
        other.close()
        following = asyncio.create_task(enter("next"))
        await asyncio.sleep(0)
        lock.release()
        await following
        assert not lock.locked()

    asyncio.run(main())
    assert entered == ["next"]


def test_one_object_serves_the_event_loops_of_several_threads_at_once():
    service = Adapter(10_000, clock=lambda: 0.0)
    inside, most, barrier = 0, 0, threading.Barrier(4)

    async def watched() -> None:
        nonlocal inside, most
        async with service._circuit_breaker_lock:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            await service._check_circuit_breaker("publish")
            await service._record_circuit_failure("publish")
            inside -= 1

    async def crowd() -> None:
        for _ in range(10):
            await asyncio.gather(*(watched() for _ in range(10)))

    def work() -> None:
        barrier.wait()
        asyncio.run(crowd())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert service._circuit_breaker_failures == 400
    assert not service._circuit_breaker_lock.locked()


def test_three_hundred_tasks_with_random_cancellations_leave_no_probe_behind():
    import random

    for seed in range(20):

        async def main(rng: random.Random) -> None:
            service = Adapter(3, 10.0, clock=clock)
            probes = 0

            async def dependency() -> str:
                nonlocal probes
                probes += 1
                await asyncio.sleep(rng.random() * 5)
                if rng.random() < 0.5:
                    raise ConnectionResetError("reset")
                return "ok"

            async def use() -> None:
                await asyncio.sleep(rng.random() * 200)
                with suppress(InfraUnavailableError, ConnectionError):
                    await service.call(dependency)

            tasks = [asyncio.create_task(use()) for _ in range(300)]
            for _ in range(150):
                await asyncio.sleep(rng.random() * 2)
                rng.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(20)
            assert await service.call(answer) == "ok"
            assert not service._circuit_breaker_lock.locked()
            assert service._circuit_breaker_failures == 0

        run(main(random.Random(seed)))
