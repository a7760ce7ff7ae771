"""When users call."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from math import floor, log, sqrt
from random import Random

from omnibase_infra.simulator.model_load import ModelLoad


def arrival_times(load: ModelLoad, seconds: float, chance: Random) -> Iterator[float]:
    """When the calls of an open loop come, in order: a Poisson process, and the bursts on top of it."""
    if not load.burst:
        return _poisson(load, seconds, chance)
    return merge(_poisson(load, seconds, chance), _bursts(load, seconds))


def first_calls(load: ModelLoad, chance: Random) -> list[float]:
    """When each client of a closed loop makes its first call: spread over the ramp, and within it at random."""
    clients = load.clients or 0
    return [load.ramp * client / clients + load.think_time * chance.random() for client in range(clients)]


def _poisson(load: ModelLoad, seconds: float, chance: Random) -> Iterator[float]:
    """By inversion of the expected number of calls, which grows with the square of the time during the ramp."""
    rate, ramp = load.rate or 0.0, load.ramp
    in_ramp = rate * ramp / 2
    expected = when = 0.0
    while True:
        expected -= log(1.0 - chance.random())
        when = sqrt(2 * expected * ramp / rate) if expected < in_ramp else ramp / 2 + expected / rate
        if when >= seconds:
            return
        yield when


def _bursts(load: ModelLoad, seconds: float) -> Iterator[float]:
    number = 1
    while (when := number * load.burst_interval) < seconds:
        size = load.burst if when >= load.ramp else floor(load.burst * when / load.ramp)
        yield from (when for _ in range(size))
        number += 1
