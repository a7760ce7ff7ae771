"""The mixin against a model of it that is small enough to be seen right."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from tests.support.adapters import Adapter
from tests.support.virtual_time import clock, run

from omnibase_infra.errors import InfraUnavailableError

THRESHOLD, RESET = 2, 10.0
WORKERS = 4

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["check", "fail", "succeed", "end"]), st.integers(0, WORKERS - 1)),
        st.tuples(st.just("wait"), st.sampled_from([1, 4, 5, 10])),
    ),
    max_size=60,
)


@dataclass
class Model:
    """One circuit: a number for each stay in a state, and who has been let through in which."""

    now: float = 0.0
    state: str = "closed"
    stay: int = 0
    failures: int = 0
    open_until: float = 0.0
    let_through: dict[int, tuple[int, float]] = field(default_factory=dict)

    def check(self, worker: int) -> bool:
        self._forget_lost_probes()
        if self.state == "open" and self.now >= self.open_until:
            self._begin("half_open")
        probing = self.state == "half_open" and any(stay == self.stay for stay, _ in self.let_through.values())
        mine = self.let_through.get(worker)
        if mine is not None and mine[0] == self.stay:
            return True
        self.let_through.pop(worker, None)
        if self.state == "open" or probing:
            return False
        self.let_through[worker] = self.stay, self.now
        return True

    def fail(self, worker: int) -> None:
        stay, _ = self.let_through.pop(worker, (self.stay if self.state == "closed" else -1, 0))
        if stay != self.stay or self.state == "open":
            return
        self.failures += 1
        if self.state == "half_open" or self.failures >= THRESHOLD:
            self.open_until = self.now + RESET
            self._begin("open")

    def succeed(self, worker: int) -> None:
        stay, _ = self.let_through.pop(worker, (None, 0))
        if stay is None or (stay == self.stay and self.state == "half_open"):
            self._begin("closed")
        if stay in (None, self.stay):
            self.failures = 0

    def end(self, worker: int) -> None:
        self.let_through.pop(worker, None)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def _begin(self, state: str) -> None:
        self.state = state
        self.stay += 1

    def _forget_lost_probes(self) -> None:
        for worker, (stay, since) in self.let_through.items():
            if self.state == "half_open" and stay == self.stay and self.now - since >= RESET:
                self.let_through[worker] = -1, since


class Worker:
    """A task that does what it is told, one step after another."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._orders: asyncio.Queue[tuple[str, asyncio.Future[bool]]] = asyncio.Queue()
        self._task = asyncio.create_task(self._work())

    async def do(self, order: str) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._orders.put_nowait((order, done))
        return await done

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _work(self) -> None:
        while True:
            order, done = await self._orders.get()
            allowed = True
            if order == "check":
                try:
                    await self._adapter.check()
                except InfraUnavailableError:
                    allowed = False
            elif order == "fail":
                await self._adapter.failed()
            else:
                await self._adapter.succeeded()
            done.set_result(allowed)


@given(steps)
def test_the_mixin_does_what_its_model_does(script: list[tuple[str, int]]):
    async def main() -> None:
        adapter, model = Adapter(THRESHOLD, RESET, clock=clock), Model()
        workers = [Worker(adapter) for _ in range(WORKERS)]
        under_way = [0] * WORKERS
        for step, argument in script:
            if step == "wait":
                await asyncio.sleep(argument)
                model.wait(argument)
            elif step == "end":
                await workers[argument].end()
                workers[argument] = Worker(adapter)
                model.end(argument)
                under_way[argument] = 0
            elif step == "check":
                if under_way[argument]:
                    continue  # nested calls have tests of their own
                admitted = await workers[argument].do("check")
                assert admitted == model.check(argument)
                under_way[argument] = int(admitted)
            else:
                await workers[argument].do(step)
                getattr(model, step)(argument)
                under_way[argument] = 0
            assert adapter._circuit_breaker_open == (model.state == "open" and model.now < model.open_until)
            assert adapter._circuit_breaker_failures == model.failures
        for worker in workers:
            await worker.end()
        await asyncio.sleep(RESET)
        await adapter.check()

    run(main())
