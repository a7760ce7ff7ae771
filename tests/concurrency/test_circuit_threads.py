"""One breaker under many threads: exact counts, exact places, and no lock while the guarded function runs."""

import asyncio
import gc
import sys
import threading
import time
from contextlib import suppress
from contextvars import Context
from weakref import WeakValueDictionary

import pytest
from tests.support.circuits import Clock, Flight, attempt, fail, fresh, make

from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import InfraUnavailableError
from omnibase_infra.infrastructure.resilience import add_observer, registry
from omnibase_infra.infrastructure.resilience.rules import circuit

CLOSED, OPEN, HALF_OPEN, *_ = EnumCircuitState
THREADS = 64
PATIENCE = 20  # seconds until a test that hangs says so


@pytest.fixture(autouse=True)
def _threads_switch_as_often_as_they_can():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def transitions_give_way(monkeypatch):
    """Have every change of state let other threads run in its midst."""

    class GivesWay(circuit.Generation):
        def __init__(self, *args, **kwargs):
            time.sleep(0)
            super().__init__(*args, **kwargs)
            time.sleep(0)

    monkeypatch.setattr(circuit, "Generation", GivesWay)


class GivesWayDict(dict):
    """Lets other threads run just before it changes."""

    def __setitem__(self, key, value):
        time.sleep(0)
        super().__setitem__(key, value)

    def __delitem__(self, key):
        time.sleep(0)
        super().__delitem__(key)


@pytest.fixture
def events():
    heard = []
    remove = add_observer(heard.append, inline=True)
    yield heard
    remove()


def changes(events):
    return [(event.previous_state, event.state) for event in events]


def in_threads(work, number=THREADS):
    """Run `work(n)` in threads that begin together; what they return, or raise."""
    together = threading.Barrier(number, timeout=PATIENCE)
    results = [None] * number

    def run(place):
        together.wait()
        try:
            results[place] = work(place)
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return results


def test_64_threads_are_counted_exactly_and_each_gets_its_own_error():
    breaker = make(failure_threshold=100_000)

    @breaker
    def work(number):
        raise (ConnectionResetError if number % 2 else ValueError)(number)

    def many(number):
        errors = []
        for _ in range(25):
            try:
                work(number)
            except (ConnectionResetError, ValueError) as error:
                errors.append(error.args)
        return errors

    assert in_threads(many) == [[(number,)] * 25 for number in range(THREADS)]
    assert breaker.failure_count == THREADS * 25 / 2


def test_64_threads_open_the_circuit_once(events, transitions_give_way):
    breaker = make(failure_threshold=8)
    all_inside = threading.Barrier(THREADS, timeout=PATIENCE)

    @breaker
    def work():
        all_inside.wait()
        raise ConnectionResetError

    results = in_threads(lambda _: work())
    assert {type(result) for result in results} == {ConnectionResetError}
    assert (breaker.state, breaker.failure_count) == (OPEN, 8)
    assert changes(events) == [(CLOSED, OPEN)]


def test_64_probes_that_succeed_together_close_the_circuit_once(events, transitions_give_way):
    clock = Clock()
    breaker = make(clock, half_open_max_calls=THREADS)
    breaker.trip()
    clock.advance(60)
    all_inside = threading.Barrier(THREADS, timeout=PATIENCE)
    in_threads(lambda _: breaker.call(all_inside.wait))
    assert changes(events) == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


def test_64_threads_that_isolate_the_circuit_isolate_it_once(events, transitions_give_way):
    breaker = make()
    in_threads(lambda _: breaker.isolate())
    assert changes(events) == [(CLOSED, EnumCircuitState.ISOLATED)]


@pytest.mark.parametrize("places", [1, 3])
@pytest.mark.parametrize("face", ["function", "call", "with", "generator", "coroutine function"])
def test_half_open_admits_exactly_its_number_of_64_threads(face, places, transitions_give_way):
    clock = Clock()
    breaker = make(clock, half_open_max_calls=places, success_threshold=places)
    breaker.trip()
    clock.advance(60)
    inside, refused = [], []
    others_are_refused = threading.Event()

    def probe():
        inside.append(None)
        others_are_refused.wait(PATIENCE)
        return "ok"

    def block():
        with breaker:
            return probe()

    def stream():
        yield probe()

    async def coroutine():
        return probe()

    calls = {
        "function": breaker(probe),
        "call": lambda: breaker.call(probe),
        "with": block,
        "generator": lambda: next(breaker(stream)()),
        "coroutine function": lambda: asyncio.run(breaker(coroutine)()),
    }

    def work(_):
        try:
            return calls[face]()
        except InfraUnavailableError:
            refused.append(None)
            if len(refused) == THREADS - places:
                others_are_refused.set()
            return "refused"

    results = in_threads(work)
    assert len(inside) == places
    assert sorted(results) == ["ok"] * places + ["refused"] * (THREADS - places)
    assert breaker.closed


def test_rounds_of_threads_leave_no_place_taken(transitions_give_way):
    clock = Clock()
    breaker = make(clock, half_open_max_calls=2, success_threshold=1000)
    breaker.trip()
    clock.advance(60)
    endings = ["ok", ValueError("caller"), asyncio.CancelledError(), SystemExit()]

    def work(number):
        for turn in range(20):
            try:
                attempt(breaker, "function", endings[(number + turn) % len(endings)])
            except BaseException:
                continue

    in_threads(work, 8)
    assert breaker.state is HALF_OPEN
    assert breaker.circuit.generation.probes == 0


def test_no_lock_is_held_while_the_guarded_function_runs():
    breaker = make(failure_rate=0.5)
    all_inside = threading.Barrier(8, timeout=PATIENCE)

    @breaker
    def work():
        all_inside.wait()
        return "ok"

    assert in_threads(lambda _: work(), 8) == ["ok"] * 8


def test_the_rate_window_is_exact_under_threads():
    breaker = make(failure_threshold=10_000, failure_rate=1.0, minimum_calls=10_000)
    in_threads(lambda number: [fail(breaker) if number % 2 else attempt(breaker) for _ in range(10)])
    assert breaker.circuit.generation.window.totals == [640, 320, 0]


def test_a_call_that_is_dropped_in_the_midst_of_a_transition_does_not_deadlock():
    flights = []

    def drops_a_call():
        flights.clear()  # a garbage collection may do this at any time
        gc.collect()
        return 0.0

    breaker = make(failure_threshold=1, rng=drops_a_call, half_open_max_calls=2)
    flights.append(Flight(breaker))
    assert in_threads(lambda _: fail(breaker), 1) == [None]
    assert (breaker.state, breaker.failure_count) == (OPEN, 1)


def test_commands_from_other_threads_leave_a_state_that_is_whole(transitions_give_way):
    breaker = make(Clock(), half_open_max_calls=1)
    commands = [breaker.trip, breaker.reset, breaker.isolate, breaker.disable]

    def work(number):
        for turn in range(25):
            commands[(number + turn) % 4]()
            with suppress(InfraUnavailableError):
                attempt(breaker)

    assert in_threads(work, 16) == [None] * 16
    breaker.reset()
    assert breaker.circuit.passing is breaker.circuit.generation


def test_64_threads_that_ask_for_one_name_get_one_circuit(monkeypatch):
    named = WeakValueDictionary()
    named.data = GivesWayDict()
    monkeypatch.setattr(registry._table, "_shared", named)
    name, clock = fresh("one of many"), Clock()
    found = in_threads(lambda _: make(clock, name=name, rng=clock))
    assert len({id(breaker) for breaker in found}) == 1


def test_64_threads_with_blocks_of_their_own_settle_their_own():
    breaker = make(failure_threshold=10_000)

    def work(_):
        for _ in range(10):
            with breaker:
                fail_in_a_block(breaker)

    in_threads(work)
    assert not breaker._blocks
    attempt(breaker)
    assert breaker.failure_count == 0


def test_64_threads_that_leave_blocks_in_other_contexts_settle_each_once():
    clock = Clock()
    breaker = make(clock, half_open_max_calls=THREADS, success_threshold=THREADS)
    breaker._blocks = GivesWayDict()
    breaker.trip()
    clock.advance(60)
    all_inside = threading.Barrier(THREADS, timeout=PATIENCE)

    def work(_):
        Context().run(breaker.__enter__)
        all_inside.wait()
        Context().run(breaker.__exit__, None, None, None)

    assert in_threads(work) == [None] * THREADS
    assert breaker.closed


def fail_in_a_block(breaker):
    try:
        with breaker:
            raise ConnectionResetError
    except ConnectionResetError:
        pass
