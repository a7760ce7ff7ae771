"""What users buy: what each library does where it is not the normal case, each answer found by a program.

Nothing is timed; recovery times and waits are real, and short.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.equal_work import Dependency, no_waits, outcome
from benchmarks.measure import Effort
from benchmarks.peers.peer import FAILURES, Call, Kind, Peer
from benchmarks.threads import THREADS, at_once
from benchmarks.typed import types_of

_RECOVERY = 0.04
_CALLERS = 200
_BOUND, _HUNG = 0.1, 0.4
_CALLS = 500
_BURST, _TRIALS = 400, 5
_PASSWORD = "hunter2"  # noqa: S105
_FAILURE = f"connection to postgresql://orders:{_PASSWORD}@db.example.com/orders refused"


@dataclass(frozen=True)
class Finding:
    """What one library did."""

    question: str
    peer: str
    answer: str
    good: bool
    """Whether it is what a user would want."""


Answer = tuple[str, bool]


async def _trip(guarded: Call, dependency: Dependency) -> None:
    dependency.down = True
    for _ in range(FAILURES):
        await outcome(guarded)
    dependency.down = False


async def _executed(guarded: Call, dependency: Dependency) -> bool:
    before = dependency.calls
    await outcome(guarded)
    return dependency.calls > before


async def _half_open_herd(peer: Peer) -> Answer:
    dependency = Dependency()
    guarded = peer.breaker(_RECOVERY)(dependency.function())
    await _trip(guarded, dependency)
    await asyncio.sleep(2 * _RECOVERY)
    dependency.calls, dependency.seconds = 0, 0.02
    await asyncio.gather(*(outcome(guarded) for _ in range(_CALLERS)))
    return f"{dependency.calls} of {_CALLERS} let through", dependency.calls == 1


async def _cancelled_probe(peer: Peer) -> Answer:
    """Then one call that fails: it must be a probe, and a second call right after it must be rejected."""
    dependency = Dependency()
    guarded = peer.breaker(_RECOVERY)(dependency.function())
    await _trip(guarded, dependency)
    await asyncio.sleep(2 * _RECOVERY)
    dependency.seconds = 10.0
    probe = asyncio.create_task(guarded(0))
    await asyncio.sleep(0.01)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    dependency.seconds, dependency.down = 0.0, True
    if not await _executed(guarded, dependency):
        await asyncio.sleep(2 * _RECOVERY)
        if await _executed(guarded, dependency):
            return "counts as a failure", False
        return "its place is lost: no call passes any more", False
    if await _executed(guarded, dependency):
        return "closes the circuit", False
    return "gives its place back", True


async def _stale_success(peer: Peer) -> Answer:
    """A call that began before the circuit opened ends well while it is open."""
    dependency = Dependency(seconds=0.05)
    guarded = peer.breaker(60.0)(dependency.function())
    slow = asyncio.create_task(outcome(guarded))
    await asyncio.sleep(0.01)
    dependency.seconds = 0.0
    await _trip(guarded, dependency)
    if await _executed(guarded, dependency):
        return "does not open", False
    await slow
    return ("closes the open circuit", False) if await _executed(guarded, dependency) else ("stays open", True)


async def _stale_success_at_half_open(peer: Peer) -> Answer:
    """The same call ends well while a probe of the next state is under way, which then fails."""
    dependency = Dependency(seconds=4 * _RECOVERY)
    guarded = peer.breaker(_RECOVERY)(dependency.function())
    slow = asyncio.create_task(outcome(guarded))
    await asyncio.sleep(0.01)
    dependency.seconds = 0.0
    await _trip(guarded, dependency)
    await asyncio.sleep(2 * _RECOVERY)
    dependency.seconds = 1.0
    probe = asyncio.create_task(outcome(guarded))
    await asyncio.sleep(0)
    await slow
    dependency.seconds = 0.0
    closed = await _executed(guarded, dependency)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    return ("lets calls pass beside the probe", False) if closed else ("the probe alone decides", True)


async def _cancelled_call(peer: Peer) -> Answer:
    """One failure short of opening, a call is cancelled; then one more failure must open the circuit, and only that."""
    dependency = Dependency(down=True)
    guarded = peer.breaker(60.0)(dependency.function())
    for _ in range(FAILURES - 1):
        await outcome(guarded)
    dependency.seconds = 10.0
    call = asyncio.create_task(guarded(0))
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    dependency.seconds = 0.0
    if not await _executed(guarded, dependency):
        return "counts as a failure", False
    return ("forgets the failures", False) if await _executed(guarded, dependency) else ("counts as nothing", True)


async def _hung_attempt(peer: Peer) -> Answer:
    dependency = Dependency(seconds=_HUNG)
    begin = time.perf_counter()
    await outcome(peer.bounded_retry(_BOUND)(dependency.function()))
    taken = time.perf_counter() - begin
    return f"{taken:.2f} s of {_BOUND:g} s", taken < 2 * _BOUND


async def _amplification(build: Callable[[], object]) -> float:
    dependency = Dependency(down=True)
    guarded = build()(dependency.function())
    with no_waits():
        for _ in range(_CALLS):
            await outcome(guarded)
    return dependency.calls / _CALLS


async def _load_of_retries(peer: Peer) -> Answer:
    load = await _amplification(peer.budgeted_retry or peer.retry)
    return f"{load:.2f} ×" + ("" if peer.budgeted_retry else ", no budget"), load < 1.5


async def _load_of_the_stack(peer: Peer) -> Answer:
    load = await _amplification(peer.stack)
    return f"{load:.2f} ×", load < 1.5


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        extra = {key: value for key, value in vars(record).items() if key != "exc_info"}
        self.text += f"{record.getMessage()} {extra}\n"


async def _where_secrets_show(fn: Awaitable[BaseException | None]) -> list[str]:
    """Where the password of the failure's text stands: in the error that the caller gets, in the log."""
    records, root = _Records(), logging.getLogger()
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        with no_waits():
            error = await fn
    finally:
        root.removeHandler(records)
        root.setLevel(level)
    return [place for place, text in (("error", f"{error} {error!r}"), ("log", records.text)) if _PASSWORD in text]


async def _leaking(_number: int) -> int:
    raise ConnectionError(_FAILURE)


def _places(found: list[str]) -> Answer:
    return (f"shown in the {' and the '.join(found)}", False) if found else ("not shown", True)


async def _secrets_after_retries(peer: Peer) -> Answer:
    return _places(await _where_secrets_show(outcome(peer.retry()(_leaking))))


async def _secrets_when_open(peer: Peer) -> Answer:
    guarded = peer.breaker(60.0)(_leaking)
    for _ in range(FAILURES):
        await outcome(guarded)
    return _places(await _where_secrets_show(outcome(guarded)))


async def _async_generator(peer: Peer) -> Answer:
    """An async generator function, failing as often as opens a circuit: then it must not be entered any more."""
    entered = 0

    async def rows(_number: int):  # noqa: ANN202
        nonlocal entered
        entered += 1
        raise ConnectionError
        yield

    try:
        guarded = peer.breaker(60.0)(rows)
    except Exception:
        return "refused at decoration", True
    for _ in range(FAILURES + 5):
        await _exhaust(guarded)
    if entered == 0:
        return "cannot be called any more", False
    return ("guarded", True) if entered == FAILURES else ("not guarded, without a word", False)


async def _exhaust(guarded: Call) -> None:
    try:
        found = guarded(0)
        if inspect.isawaitable(found):
            found = await found
        async for _ in found:
            pass
    except Exception:
        return


async def _granted(peer: Peer) -> Answer:
    """Out of a bucket that gets next to nothing, by threads that are switched every microsecond; the worst of some."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        counts = {_granted_once(peer) for _ in range(_TRIALS)}
    finally:
        sys.setswitchinterval(interval)
    worst = max(counts, key=lambda count: abs(count - _BURST))
    return f"{worst} of {_BURST} granted", worst == _BURST


def _granted_once(peer: Peer) -> int:
    granted: list[int] = []
    guarded = peer.limiter(0.01, _BURST)(granted.append)

    def work() -> None:
        for number in range(_BURST):
            with suppress(Exception):
                guarded(number)

    at_once(work)
    return len(granted)


async def _together(peer: Peer) -> Answer:
    guarded = peer.breaker(60.0)(lambda _number: time.sleep(_RECOVERY))
    seconds = at_once(lambda: guarded(0))
    if seconds < 2 * _RECOVERY:
        return "run at once", True
    return f"wait for each other: {seconds / _RECOVERY:.0f} times as long", False


async def _types(peer: Peer) -> Answer | None:
    return types_of(peer.label)


QUESTIONS: dict[str, tuple[str, Kind, Callable[[Peer], Awaitable[Answer | None]]]] = {
    f"half open, {_CALLERS} callers at once": ("breaker", "async", _half_open_herd),
    "a cancelled probe": ("breaker", "async", _cancelled_probe),
    "a success from before the circuit opened": ("breaker", "async", _stale_success),
    "the same, during a probe": ("breaker", "async", _stale_success_at_half_open),
    "a cancelled call, one failure short of opening": ("breaker", "async", _cancelled_call),
    "an async generator function under the breaker": ("breaker", "async", _async_generator),
    f"an attempt that hangs, bound of the whole {_BOUND:g} s": ("bounded_retry", "async", _hung_attempt),
    "load on a dead dependency, retries alone": ("retry", "async", _load_of_retries),
    "load on a dead dependency, breaker, retry and limiter": ("stack", "async", _load_of_the_stack),
    "a password in the failure's text, after the last attempt": ("retry", "async", _secrets_after_retries),
    "a password in the failure's text, circuit open": ("breaker", "async", _secrets_when_open),
    f"a full bucket of {_BURST} tokens, {THREADS} threads, switched every µs": ("limiter", "sync", _granted),
    "the types of the decorated function, for mypy": ("typed", "async", _types),
    f"slow calls under a closed breaker, {THREADS} threads": ("breaker", "sync", _together),
}


async def _all(peers: list[Peer]) -> list[Finding]:
    found = []
    for question, (feature, kind, ask) in QUESTIONS.items():
        for peer in peers:
            if peer.has(feature, kind):
                answer = await ask(peer)
                if answer is not None:
                    found.append(Finding(question, peer.label, *answer))
    return found


def measure(peers: list[Peer], _effort: Effort) -> list[Finding]:
    return asyncio.run(_all(peers))
