"""What a call costs that does not go well: three attempts that fail, and a rejection by each policy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.equal_work import UnequalWorkError, no_waits
from benchmarks.measure import (
    PASSTHROUGH,
    Effort,
    Figure,
    figures,
    interleave,
    passthrough,
    plain_passthrough,
    swallowing,
    swallowing_plain,
    time_calls,
    time_plain_calls,
)
from benchmarks.peers.peer import FAILURES, Call, Peer, PlainCall
from benchmarks.success import fine, plainly_fine

FAMILY = "failure"


async def failing(_number: int) -> int:
    raise ConnectionError


def plainly_failing(_number: int) -> int:
    raise ConnectionError


async def measure(peers: list[Peer], effort: Effort) -> list[Figure]:
    found = []
    attempts = {peer.label: swallowing(peer.retry()(failing)) for peer in peers if peer.has("retry")}
    with no_waits():
        with _log_off():
            found += await _compare("three failing attempts, log off", attempts, peers, "retry", effort)
        found += await _compare("three failing attempts, log heard", attempts, peers, "retry", effort)
    opened = {peer.label: await _opened(peer) for peer in peers if peer.has("breaker")}
    found += await _compare("rejection by an open circuit", opened, peers, "breaker", effort)
    emptied = {peer.label: await _emptied(peer) for peer in peers if peer.has("limiter")}
    found += await _compare("rejection by an empty bucket", emptied, peers, "limiter", effort)
    found += await _full_bulkheads(peers, effort)
    plain = {peer.label: _opened_plain(peer) for peer in peers if peer.has("breaker", "sync")}
    subjects = {PASSTHROUGH: plain_passthrough(plainly_fine), **plain}
    taken = await interleave(subjects, time_plain_calls, effort)
    notes = {peer.label: peer.note("breaker") for peer in peers}
    return found + figures(FAMILY, "rejection by an open circuit, plain function", taken, notes)


@contextmanager
def _log_off() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


async def _compare(
    title: str, subjects: Mapping[str, Call], peers: list[Peer], feature: str, effort: Effort
) -> list[Figure]:
    taken = await interleave({PASSTHROUGH: passthrough(fine), **subjects}, time_calls, effort)
    return figures(FAMILY, title, taken, {peer.label: peer.note(feature) for peer in peers})


async def _opened(peer: Peer) -> Call:
    guarded = peer.breaker(3600.0)(failing)
    for _ in range(FAILURES):
        await swallowing(guarded)(0)
    return await _rejecting(peer, "breaker", guarded)


def _opened_plain(peer: Peer) -> PlainCall:
    guarded = swallowing_plain(peer.breaker(3600.0)(plainly_failing))
    for _ in range(FAILURES):
        guarded(0)
    return guarded


async def _emptied(peer: Peer) -> Call:
    guarded = peer.limiter(0.001, 2)(fine)
    for _ in range(2):
        await guarded(0)
    return await _rejecting(peer, "limiter", guarded)


async def _rejecting(peer: Peer, feature: str, guarded: Call) -> Call:
    try:
        await guarded(0)
    except Exception as error:
        # What the function raises is a bare `ConnectionError`; a rejection may be a child of it.
        if type(error) is not ConnectionError:
            return swallowing(guarded)
    raise UnequalWorkError(f"{peer.label}, {feature}: does not reject")


async def _full_bulkheads(peers: list[Peer], effort: Effort) -> list[Figure]:
    release = asyncio.Event()
    holders, subjects = [], {}
    for peer in peers:
        if not peer.has("bulkhead"):
            continue

        async def held(number: int) -> int:
            if number < 0:
                await release.wait()
            return number

        guarded = peer.bulkhead(1)(held)
        holders.append(asyncio.create_task(guarded(-1)))
        await asyncio.sleep(0)
        subjects[peer.label] = await _rejecting(peer, "bulkhead", guarded)
    try:
        return await _compare("rejection by a full bulkhead", subjects, peers, "bulkhead", effort)
    finally:
        release.set()
        await asyncio.gather(*holders)
