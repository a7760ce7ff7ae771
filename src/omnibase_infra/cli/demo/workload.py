"""The workload: concurrent callers of one function under the documented stack, through a crash and a return."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from omnibase_infra.cli.demo.database import Database
from omnibase_infra.cli.demo.display import Display
from omnibase_infra.cli.demo.leak_watch import LeakWatch
from omnibase_infra.cli.demo.recording import Call, Outcome, Query, Recording, StateChange
from omnibase_infra.enums import EnumCircuitState, EnumResilienceEvent
from omnibase_infra.errors import ModelOnexError
from omnibase_infra.infrastructure.resilience import (
    create_database_circuit_breaker,
    create_database_rate_limiter,
    create_database_retry_policy,
)
from omnibase_infra.infrastructure.resilience.observers import add_observer
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

_NAME = "demo-postgresql"
_WORKERS = 20
_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 2.0
_TICK_SECONDS = 0.1
_PATIENCE_SECONDS = 10.0
_SQL = "SELECT 1"

_Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
_ExecuteQuery = Callable[[str], Coroutine[object, None, object]]


class DemoError(RuntimeError):
    """The demo could not be run; the message says why and holds no foreign text."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long what lasts, in seconds, and the stack's settings where they are not the presets'.

    The presets would hold the circuit open for a minute; a demo has less time.
    """

    healthy: float
    down: float
    after: float
    recovery_timeout: float
    failure_threshold: int = 5
    max_attempts: int = 3
    min_wait: float = 0.05
    max_wait: float = 0.5
    queries_per_second: float = 500.0
    burst_capacity: int = 100

    @classmethod
    def for_seconds(cls, seconds: float) -> "Plan":
        """A plan for a run of about so many seconds."""
        return cls(
            healthy=0.28 * seconds,
            down=0.36 * seconds,
            after=0.24 * seconds,
            recovery_timeout=round(min(3.0, 0.12 * seconds), 2),
        )

    def describe(self) -> str:
        """The settings in words."""
        return (
            f"{_WORKERS} concurrent callers, about {_WORKERS / _PAUSE_SECONDS:.0f} calls a second. "
            f"Settings made for a short demo: open after {self.failure_threshold} failed calls, "
            f"probe after {self.recovery_timeout:g} s; {self.max_attempts} attempts, "
            f"{self.min_wait:g} to {self.max_wait:g} s apart; {self.queries_per_second:g} queries a second."
        )


_asked: ContextVar[list[None]] = ContextVar("asked")
"""One entry for each time the database was asked for the current call."""


class Workload:
    """One run; everything that happens goes into the recording, and to the display.

    Args:
        database: what is called, and taken away.
        plan: the course and the settings.
        display: shows the course.
        recording: takes the samples.
    """

    def __init__(self, database: Database, plan: Plan, display: Display, recording: Recording) -> None:
        self._database = database
        self._plan = plan
        self._display = display
        self._recording = recording
        self._watch = LeakWatch(database.secrets, recording)
        self._up = True
        self._stopping = False
        self._started = time.monotonic()

    async def run(self) -> None:
        """Run the whole course.

        Raises:
            DemoError: the database cannot be reached at the start.
        """
        pool = await self._connect()
        self._started = time.monotonic()
        remove_observer = add_observer(self._observe, inline=True)
        try:
            with self._watch, self._display:
                await self._run_beside(self._protect(pool))
        finally:
            remove_observer()
            pool.terminate()

    async def _connect(self) -> _Pool:
        host, port = self._database.address
        try:
            pool = await asyncpg.create_pool(
                self._database.dsn,
                host=host,
                port=port,
                min_size=0,  # the pool would restore a minimum by itself, past the circuit
                max_size=_WORKERS,
                timeout=_TIMEOUT_SECONDS,
                command_timeout=_TIMEOUT_SECONDS,
            )
            await pool.fetchval(_SQL)
            return pool
        except Exception as error:
            # Never the driver's text: for a malformed DSN it quotes the password.
            raise DemoError(f"the database cannot be reached: {type(error).__name__}") from None

    async def _run_beside(self, execute_query: _ExecuteQuery) -> None:
        """Run the course while the callers call."""
        workers = [asyncio.create_task(self._work(execute_query)) for _ in range(_WORKERS)]
        ticker = asyncio.create_task(self._tick())
        try:
            await self._course()
            # Asked to stop, not cancelled: asyncpg complains of connections whose release is interrupted.
            self._stopping = True
            await asyncio.wait(workers)
        finally:
            self._recording.ended_at = self._now()
            for task in (*workers, ticker):
                task.cancel()
            results = await asyncio.gather(*workers, ticker, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _course(self) -> None:
        plan, recording, display = self._plan, self._recording, self._display
        display.event(0.0, "all is well")
        await asyncio.sleep(plan.healthy)

        recording.crashed_at = self._now()
        display.event(recording.crashed_at, f"the database is taken away: {self._database.outage}")
        await self._database.crash()
        self._up = False
        await self._until(EnumCircuitState.OPEN, _PATIENCE_SECONDS)
        await asyncio.sleep(max(0.0, recording.crashed_at + plan.down - self._now()))

        recording.restored_at = self._now()
        display.event(recording.restored_at, "the database is given back")
        await self._database.restore()
        self._up = True
        await self._until(EnumCircuitState.CLOSED, plan.recovery_timeout + _PATIENCE_SECONDS)
        await asyncio.sleep(plan.after)

    async def _until(self, state: EnumCircuitState, patience: float) -> None:
        deadline = self._now() + patience
        while self._recording.state is not state:
            if self._now() > deadline:
                self._display.event(self._now(), f"the circuit is not {state.value} after {patience:g} s")
                return
            await asyncio.sleep(_TICK_SECONDS / 5)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._display.tick(self._now(), self._recording)

    def _protect(self, pool: _Pool) -> _ExecuteQuery:
        plan = self._plan

        @create_database_circuit_breaker(
            failure_threshold=plan.failure_threshold, recovery_timeout=plan.recovery_timeout, name=_NAME
        )
        @create_database_retry_policy(max_attempts=plan.max_attempts, min_wait=plan.min_wait, max_wait=plan.max_wait)
        @create_database_rate_limiter(
            queries_per_second=plan.queries_per_second, burst_capacity=plan.burst_capacity, name=_NAME
        )
        async def execute_query(sql: str) -> object:
            _asked.get().append(None)
            self._recording.queries.append(Query(self._now(), self._up))
            async with pool.acquire(timeout=_TIMEOUT_SECONDS) as connection:
                return await connection.fetchval(sql)

        return execute_query

    async def _work(self, execute_query: _ExecuteQuery) -> None:
        while not self._stopping:
            asked: list[None] = []
            _asked.set(asked)
            try:
                await execute_query(_SQL)
            except Exception as error:
                self._failed(error, len(asked))
            else:
                self._recording.calls.append(Call(self._now(), "success", len(asked)))
            await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))

    def _failed(self, error: Exception, queries: int) -> None:
        self._watch.search_error(error)
        name = type(error).__name__
        if not isinstance(error, ModelOnexError):
            self._recording.foreign_errors[name] += 1
            self._recording.calls.append(Call(self._now(), "failed", queries, name, "not an ONEX error"))
            return
        outcome: Outcome = "failed" if error.rejected_by is None else "rejected"
        self._recording.calls.append(Call(self._now(), outcome, queries, name, error.error_code.value))

    def _observe(self, event: ModelResilienceEvent) -> None:
        if event.kind is EnumResilienceEvent.RETRY:
            self._recording.retries.append(self._now())
        elif event.kind is EnumResilienceEvent.CIRCUIT_STATE and event.state is not None and event.name == _NAME:
            self._recording.states.append(StateChange(self._now(), event.state))
            self._display.event(self._now(), f"the circuit is {event.state.value.replace('_', '-')}")

    def _now(self) -> float:
        return time.monotonic() - self._started
