"""What a call that goes well executes, counted: `python -m benchmarks.instructions [--write]`.

Bytecode instructions and calls repeat exactly where times do not, need no privilege, and run on any machine. They are
counted by the interpreter's own tracing, for each minor version of Python on its own. A count is wrong when the
instructions differ from the stored baseline by more than 5 %, or the calls by one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from benchmarks.peers import ours
from benchmarks.peers.peer import BURST, RATE, Call, PlainCall

BASELINE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05
_WARM_UP, _CALLS = 50, 21


class Count(NamedTuple):
    instructions: int
    calls: int
    """Of Python functions and of C functions."""


async def fine(number: int) -> int:
    return number


def plainly_fine(number: int) -> int:
    return number


def subjects() -> dict[str, Call]:
    return {
        "retry": ours.budgeted_retry()(fine),
        "circuit breaker": ours.breaker(60.0)(fine),
        "rate limiter": ours.limiter(RATE, BURST)(fine),
        "timeout": ours.timeout(5.0)(fine),
        "bulkhead": ours.bulkhead(100)(fine),
        "the three as a pipeline": ours.stack()(fine),
        "the three stacked": ours.separate_stack()(fine),
        "the full stack": ours.full_stack()(fine),
    }


def plain_subjects() -> dict[str, PlainCall]:
    return {
        "retry, plain function": ours.budgeted_retry()(plainly_fine),
        "circuit breaker, plain function": ours.breaker(60.0)(plainly_fine),
        "rate limiter, plain function": ours.limiter(RATE, BURST)(plainly_fine),
    }


class _Counter:
    """Counts while it is entered; whatever traced before goes on afterwards."""

    def __init__(self) -> None:
        self.instructions = 0
        self.calls = 0

    def __enter__(self) -> None:
        self._before = sys.gettrace(), sys.getprofile()
        sys.setprofile(self._profile)
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before[0])
        sys.setprofile(self._before[1])

    def _trace(self, frame: FrameType, event: str, _argument: object):  # noqa: ANN202
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.instructions += event == "opcode"
        return self._trace

    def _profile(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.calls += event in {"call", "c_call"}


def _median(counters: list[_Counter]) -> Count:
    own = _Counter()
    with own:
        pass
    return Count(
        statistics.median_low(counter.instructions for counter in counters) - own.instructions,
        statistics.median_low(counter.calls for counter in counters) - own.calls,
    )


async def count(fn: Call) -> Count:
    """What one call executes, when it has been called before."""
    for number in range(_WARM_UP):
        await fn(number)
    counters = [_Counter() for _ in range(_CALLS)]
    for counter in counters:
        with counter:
            await fn(0)
    return _median(counters)


def count_plain(fn: PlainCall) -> Count:
    for number in range(_WARM_UP):
        fn(number)
    counters = [_Counter() for _ in range(_CALLS)]
    for counter in counters:
        with counter:
            fn(0)
    return _median(counters)


def count_all() -> dict[str, Count]:
    async def every() -> dict[str, Count]:
        return {name: await count(fn) for name, fn in subjects().items()}

    return asyncio.run(every()) | {name: count_plain(fn) for name, fn in plain_subjects().items()}


def differences(found: dict[str, Count], stored: dict[str, Count]) -> list[str]:
    """Sentences on what differs by more than is allowed."""
    wrong = [f"{name}: no baseline" for name in found if name not in stored]
    for name, then in stored.items():
        now = found.get(name)
        if now is None:
            wrong.append(f"{name}: not counted any more")
        elif now.calls != then.calls or abs(now.instructions - then.instructions) > TOLERANCE * then.instructions:
            wrong.append(f"{name}: {now.instructions} instructions and {now.calls} calls, {_were(then)}")
    return wrong


def _were(then: Count) -> str:
    return f"where there were {then.instructions} and {then.calls}"


def baselines() -> dict[str, dict[str, Count]]:
    """By minor version of Python."""
    stored = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    return {python: {name: Count(*numbers) for name, numbers in found.items()} for python, found in stored.items()}


def main(counted: Callable[[], dict[str, Count]] = count_all) -> int:
    """0 when every count is as stored, 1 when one is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store what is counted as the new baseline")
    options = parser.parse_args()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    found, stored = counted(), baselines()
    for name, now in found.items():
        print(f"{name:34}{now.instructions:8} instructions{now.calls:6} calls")
    if options.write:
        stored[python] = found
        lines = [
            f' "{version}": {{\n'
            + ",\n".join(f'  "{name}": {json.dumps(numbers)}' for name, numbers in counts.items())
            + "\n }"
            for version, counts in sorted(stored.items())
        ]
        BASELINE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return 0
    if python not in stored:
        print(f"no baseline for Python {python}: write one with --write", file=sys.stderr)
        return 1
    wrong = differences(found, stored[python])
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if wrong:
        print("If that is meant to be so: python -m benchmarks.instructions --write", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
