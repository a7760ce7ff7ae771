"""A worker's side of a shared circuit: tells the others what happened here, and follows what they decided.

The worker goes on deciding with its own circuit. The store has a say in two things only: that the circuit is open
though nothing failed here, and whether a probe may begin. A closed circuit is never asked about; only a call that would
be a probe waits, and no longer than the settings allow.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakMethod

from omnibase_infra.infrastructure.resilience.rules import circuit as rule
from omnibase_infra.infrastructure.resilience.shared_state.circuit_link import link_to
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import Step

if TYPE_CHECKING:
    from threading import RLock

    from omnibase_infra.enums import EnumFailureKind
    from omnibase_infra.infrastructure.resilience.rules.circuit import Generation
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import CircuitFamily
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import Reading
    from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig

_FAILED: Final = "failure"
_SUCCEEDED: Final = "success"
_GIVEN_BACK: Final = "release"


class CircuitFollower:
    """Follows one circuit in the store.

    Args:
        name: Of the circuit, the same in all workers.
        shared: Where and how it is shared.
        config: Settings of the circuit.
        circuit: This worker's own.
        lock: Held for every change of `circuit`.
        clock: Monotonic time in seconds.
        announce: Called, without the lock, with the generations before and after a change that came from the store.
        family: The breaker with keys that has the circuit, if one has.

    Raises:
        ProtocolConfigurationError: When no client for the store is installed, or the name cannot be used there.
    """

    def __init__(
        self,
        name: str,
        shared: ModelSharedCircuitConfig,
        config: ModelCircuitBreakerConfig,
        *,
        circuit: rule.Circuit,
        lock: RLock,
        clock: Callable[[], float],
        announce: Callable[[Generation, Generation], None],
        family: CircuitFamily | None = None,
    ) -> None:
        self.name = name
        self._shared = shared
        self._config = config
        self._circuit = circuit
        self._lock = lock
        self._clock = clock
        self._announcing = WeakMethod(announce)  # whose owner may hold this follower
        self._family = family
        self._serial = itertools.count()
        self._link = link_to(shared)
        self._changes = 0
        """Changes made here: what the store said before one of them is out of date."""
        self._open_elsewhere = False
        self._opened_at: float = 0.0
        self._resets: int | None = None
        self._tokens: list[str] = []
        """Leases of probes under way, and of those that may begin."""
        self._granted_at = 0.0
        self._asking: Future[None] | None = None
        self._ask_again = 0.0
        self._unheard = True
        """Whether the store may not know that this worker's circuit is open."""
        rule.ask_first(circuit)
        self._link.add(self)

    def sleep(self) -> None:
        """Have the next call begin to follow again."""
        rule.ask_first(self._circuit)

    def is_asked(self) -> bool:
        """Whether a call is to `knock` before the circuit decides; begins to follow where that has not begun."""
        self._link.start()
        return self._asking is None and rule.wants_permit(self._circuit, self._clock())

    def holds_leases(self) -> bool:
        """Whether the store would give a probe's place to another, did this worker not ask for it again."""
        return bool(self._tokens)

    def is_of_interest(self) -> bool:
        """Whether a poll may bring news: of closed circuits of a breaker with keys, the list tells once they open."""
        if self._family is None or self._family.is_listed(self.name):
            return True
        return self._open_elsewhere or self._circuit.generation.state is not rule.CLOSED

    def is_needed(self) -> bool:
        """Whether it follows, or has to tell, anything that a new follower would not know of."""
        return (
            self._open_elsewhere or self.holds_leases() or self._asking is not None or self._circuit.permits is not None
        )

    def knock(self) -> None:
        """Ask whether a probe may begin, and wait for the answer for as long as the settings allow."""
        asked = self._ask()
        if asked is not None:
            with suppress(TimeoutError):
                asked.result(self._shared.patience)

    async def knock_async(self) -> None:
        """As `knock`, without blocking the event loop."""
        asked = self._ask()
        if asked is None:
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        asked.add_done_callback(partial(_wake_task, loop, turn))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._shared.patience):
                await turn

    def ended(self, admitted: Generation, before: Generation, after: Generation, kind: EnumFailureKind | None) -> None:
        """Tell the others about the end of a call that was admitted here; the caller holds the lock.

        Args:
            admitted: What it belonged to.
            before: The circuit's generation when it ended.
            after: The generation since.
            kind: Of its failure; None when it succeeded.
        """
        if before is not after:
            self._changes += 1
        if admitted is before and before.state is rule.HALF_OPEN:
            self._probe_ended(after, kind)
        elif after is not before and after.state is rule.OPEN:
            self._tell_opening("report")

    def commanded(self, before: Generation, after: Generation, *, by_hand: str | None) -> None:
        """Tell the others about a command given here, ``"trip"`` or ``"reset"``; the caller holds the lock."""
        self._changes += 1
        self._give_back_all()
        if by_hand == "reset":
            self._open_elsewhere = False
            self._circuit.permits = None
            self._link.post(self._step("reset"), self._was_reset)
        elif by_hand == "trip" and after is not before:
            self._tell_opening("trip")

    def follow(self, reading: Reading, changes: int) -> None:
        """Take over what the store says, unless something has changed here since `changes` were counted."""
        with self._lock:
            if changes != self._changes:
                return
            before = self._circuit.generation
            self._take_over(reading)
            after = self._circuit.generation
        self._announce(before, after)

    def begin_with(self, reading: Reading) -> None:
        """Take over what the store said before this follower was there."""
        self.follow(reading, self._changes)
        if not self._link.is_up:
            self.lost()  # meanwhile, and maybe before it could be told to this one

    def lost(self) -> None:
        """The store cannot be reached: go on alone."""
        with self._lock:
            self._changes += 1
            self._open_elsewhere = False
            self._unheard = True
            self._resets = None
            self._tokens.clear()
            self._circuit.permits = None
            self._asked()

    def look(self) -> tuple[list[Step], int]:
        """What a poll asks: a reading, renewals of the leases in use first; and the changes so far."""
        with self._lock:
            self._drop_unused()
            used = self._tokens[: len(self._tokens) - (self._circuit.permits or 0)]
            return [*(self._step("renew", token) for token in used), self._step("read")], self._changes

    def forget(self) -> None:
        """Begin anew in a process that was forked: nothing that the parent holds is this one's."""
        self._tokens.clear()
        self._asking = None
        self._open_elsewhere = False
        self._unheard = True
        self._circuit.permits = None
        rule.ask_first(self._circuit)

    def _was_reset(self, reading: Reading) -> None:
        self._resets = reading.resets

    def _ask(self) -> Future[None] | None:
        with self._lock:
            now = self._clock()
            if self._asking is not None or now < self._ask_again or not rule.wants_permit(self._circuit, now):
                return None
            asking: Future[None] = Future()
            self._asking = asking
            step = self._step("ask", f"{self._link.worker}:{next(self._serial)}")
        self._link.post(step, partial(self._answered, step))
        return asking

    def _answered(self, step: Step, reading: Reading) -> None:
        with self._lock:
            before = self._circuit.generation
            now = self._clock()
            if reading.granted and self._circuit.permits is not None:
                self._changes += 1
                self._circuit.permits += 1
                self._tokens.append(step.token)
                self._granted_at = now
            elif reading.granted:
                self._tell(_GIVEN_BACK, step.token)
            else:
                self._ask_again = now + min(reading.wait or reading.left, self._shared.poll_interval)
                self._take_over(reading)
            after = self._circuit.generation
            self._asked()
        self._announce(before, after)

    def _asked(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None and not asking.done():
            asking.set_result(None)

    def _take_over(self, reading: Reading) -> None:
        """The caller holds the lock."""
        circuit, now = self._circuit, self._clock()
        state = circuit.generation.state
        was_reset = self._resets is not None and reading.resets != self._resets
        self._resets = reading.resets
        if reading.state is rule.CLOSED:
            if (self._open_elsewhere or was_reset) and state in (rule.OPEN, rule.HALF_OPEN):
                rule.close(circuit)
            elif self._unheard and state is rule.OPEN:
                self._tell_opening("report")
            self._open_elsewhere = self._unheard = False
            self._tokens.clear()
            circuit.permits = None
            return
        opened_anew = not self._open_elsewhere or reading.opened_at != self._opened_at
        if reading.state is rule.OPEN and (opened_anew or state is not rule.OPEN):
            rule.open_elsewhere(circuit, now, left=reading.left, recovery=reading.recovery)
            self._tokens.clear()
            circuit.permits = 0
        elif state is rule.CLOSED:
            rule.open_elsewhere(circuit, now, left=0.0, recovery=reading.recovery)
        if circuit.permits is None:
            circuit.permits = 0
        self._open_elsewhere, self._unheard, self._opened_at = True, False, reading.opened_at

    def _probe_ended(self, after: Generation, kind: EnumFailureKind | None) -> None:
        is_failure = after.state is rule.OPEN
        if self._tokens:
            outcome = _FAILED if is_failure else _SUCCEEDED if kind is None else _GIVEN_BACK
            self._tell_opening(outcome, self._tokens.pop(0))
        elif is_failure:
            self._tell_opening("report")
        elif after.state is rule.CLOSED:
            self._tell("withdraw")
        if after.state is not rule.HALF_OPEN:
            self._give_back_all()

    def _drop_unused(self) -> None:
        """Give back a permit that no call came for; the caller holds the lock."""
        circuit = self._circuit
        if circuit.permits and self._clock() - self._granted_at > self._shared.lease:
            for token in self._tokens[len(self._tokens) - circuit.permits :]:
                self._tokens.remove(token)
                self._tell(_GIVEN_BACK, token)
            circuit.permits = 0

    def _give_back_all(self) -> None:
        for token in self._tokens:
            self._tell(_GIVEN_BACK, token)
        self._tokens.clear()
        if self._circuit.permits:
            self._circuit.permits = 0

    def _announce(self, before: Generation, after: Generation) -> None:
        announce = self._announcing()
        # That of a breaker with keys is told too when there is nothing left to follow.
        if announce is not None and (after is not before or (self._family is not None and not self.is_needed())):
            announce(before, after)

    def _tell_opening(self, step: str, token: str = "") -> None:
        circuit = self._circuit
        opening = circuit.generation.state is rule.OPEN
        hold = max(0.0, circuit.open_until - self._clock()) if opening else None
        recovery = circuit.recovery if opening else None
        self._post(self._step(step, token, recovery=recovery, hold=hold))

    def _tell(self, step: str, token: str = "") -> None:
        self._post(self._step(step, token))

    def _post(self, step: Step) -> None:
        self._link.post(step, partial(self.follow, changes=self._changes))

    def _step(self, step: str, token: str = "", *, recovery: float | None = None, hold: float | None = None) -> Step:
        failures = int(self._circuit.generation.failures)
        return Step(self.name, self._config, step, self._link.worker, token, recovery, hold, failures)


def _wake_task(loop: asyncio.AbstractEventLoop, turn: asyncio.Future[None], _: Future[None]) -> None:
    with suppress(RuntimeError):  # its event loop was closed
        loop.call_soon_threadsafe(_settle, turn)


def _settle(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
