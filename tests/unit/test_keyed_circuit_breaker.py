"""One circuit for each key: bounded, and no open one is ever forgotten."""

import asyncio
import gc
import weakref
from contextvars import Context

import pytest
from circuitbreaker import CircuitBreakerMonitor
from tests.support.circuits import Clock, drive, fresh, make
from tests.support.garbage import garbage_of

from omnibase_infra.enums import EnumCircuitState, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import InfraConnectionError, InfraUnavailableError, ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    InfrastructureCircuitBreaker,
    KeyedCircuitBreaker,
    add_observer,
    create_database_circuit_breaker,
    create_network_circuit_breaker,
    registry,
)

CLOSED, OPEN, HALF_OPEN, ISOLATED, DISABLED = EnumCircuitState


class DownError(ConnectionError):
    pass


def keyed(clock=None, **settings):
    return make(clock, **{"key": lambda key, *_: key, "failure_threshold": 1, **settings})


def ask(breaker, key, error=None):
    def act(_):
        if error is not None:
            raise error()
        return "ok"

    return breaker.call(act, key)


def break_down(breaker, *keys):
    for key in keys:
        with pytest.raises(DownError):
            ask(breaker, key, DownError)


def refusal(breaker, key):
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as caught:
        ask(breaker, key)
    return caught.value


async def _suspended(_):
    await _gate()
    return "late"


class _gate:  # noqa: N801
    def __await__(self):
        yield


class Flight:
    """A call in mid-flight through the circuit of a key."""

    def __init__(self, breaker, key):
        self.work = breaker.call(_suspended, key)
        self.work.send(None)

    def crash(self, error):
        with pytest.raises(type(error)):
            self.work.throw(error)

    def land(self):
        with pytest.raises(StopIteration):
            self.work.send(None)


# The faces


def test_every_factory_returns_a_keyed_breaker_when_a_key_is_given():
    breaker = create_network_circuit_breaker(4, 7, key=len, max_keys=9)
    assert isinstance(breaker, KeyedCircuitBreaker)
    assert (breaker.config.failure_threshold, breaker.config.recovery_timeout, breaker.max_keys) == (4, 7, 9)
    assert breaker.transport is EnumInfraTransportType.HTTP
    assert type(create_network_circuit_breaker()) is InfrastructureCircuitBreaker


def test_one_key_that_is_down_takes_no_other_with_it():
    breaker = keyed()
    break_down(breaker, "a")
    assert refusal(breaker, "a").circuit_state is OPEN
    assert ask(breaker, "b") == "ok"


def test_the_key_is_asked_with_the_arguments_of_the_call_self_included():
    seen = []

    def tenant(*args, **kwargs):
        seen.append((args, kwargs))
        return 1

    class Repository:
        @make(key=tenant)
        def load(self, number, *, fresh=False):
            return number

    repository = Repository()
    assert repository.load(3, fresh=True) == 3
    assert seen == [((repository, 3), {"fresh": True})]


def test_functions_coroutines_and_generators_of_both_kinds_have_their_circuit():
    breaker = keyed()

    @breaker
    def function(key):
        raise DownError

    @breaker
    async def coroutine(key):
        raise DownError

    @breaker
    def generator(key):
        yield 1
        yield 2

    @breaker
    async def async_generator(key):
        yield 1
        yield 2

    async def items(key):
        return [item async for item in async_generator(key)]

    assert asyncio.iscoroutinefunction(coroutine)
    assert list(generator("a")) == drive(items("a")) == [1, 2]
    with pytest.raises(DownError):
        function("a")
    with pytest.raises(DownError):
        drive(coroutine("b"))
    for refused in (
        lambda: function("a"),
        lambda: drive(coroutine("a")),
        lambda: list(generator("b")),
        lambda: drive(items("b")),
    ):
        with pytest.raises(InfraUnavailableError):
            refused()
    assert list(generator("c")) == [1, 2]


def test_a_block_is_guarded_by_the_circuit_of_its_key():
    breaker = keyed()

    def leave(error):
        with breaker.for_key("a"):
            raise error

    async def enter(key):
        async with breaker.for_key(key):
            return "in"

    with pytest.raises(DownError):
        leave(DownError())
    with pytest.raises(InfraUnavailableError):
        breaker.for_key("a").__enter__()
    assert refusal(breaker, "a")
    with pytest.raises(InfraUnavailableError):
        drive(enter("a"))
    assert drive(enter("b")) == "in"


def test_for_key_gives_all_faces_of_the_one_circuit():
    breaker = keyed()
    breaker.for_key("a").isolate()
    assert refusal(breaker, "a").circuit_state is ISOLATED
    assert breaker.for_key("a").state is ISOLATED
    assert breaker.for_key("b").state is CLOSED
    breaker.for_key("a").reset()
    assert ask(breaker, "a") == "ok"


def test_fallback_exempt_and_translation_work_for_each_key():
    breaker = keyed(fallback_function=lambda key: f"old {key}", exempt=lambda key: key == "b", translate=True)
    for key in "ab":
        with pytest.raises(InfraConnectionError):
            ask(breaker, key, DownError)
    assert ask(breaker, "a") == "old a"
    assert ask(breaker, "b") == "ok"


def test_an_async_fallback_on_a_plain_function_is_refused_when_it_is_decorated():
    async def fallback(key):
        return key

    with pytest.raises(TypeError, match="an async fallback can only serve an async one"):
        keyed(fallback_function=fallback)(lambda key: key)


def test_what_the_key_raises_reaches_the_caller_before_anything_is_counted():
    raised = DownError("no such host")

    def key(_):
        raise raised

    breaker = make(key=key, failure_threshold=1)
    calls = []
    for call in (lambda: breaker.call(calls.append, 1), lambda: drive(breaker.call(_suspended, 1))):
        with pytest.raises(DownError) as caught:
            call()
        assert caught.value is raised
    assert (calls, len(breaker), breaker.troubled()) == ([], 0, [])


def test_a_key_that_cannot_be_hashed_is_a_type_error_and_makes_no_call():
    breaker, calls = make(key=lambda key: [key]), []
    with pytest.raises(TypeError, match="unhashable"):
        breaker.call(calls.append, 1)
    assert (calls, len(breaker)) == ([], 0)


# Counting, as by the plain breaker


def test_a_circuit_opens_at_its_threshold_and_a_success_forgets_the_failures():
    breaker = keyed(failure_threshold=2)
    break_down(breaker, "a")
    ask(breaker, "a")
    break_down(breaker, "a", "b", "a")
    assert refusal(breaker, "a")
    assert ask(breaker, "b") == "ok"


def test_after_the_recovery_time_one_probe_at_a_time_passes_and_closes_the_circuit():
    clock = Clock()
    breaker = keyed(clock)
    break_down(breaker, "a")
    clock.advance(60)
    probe = Flight(breaker, "a")
    assert refusal(breaker, "a").circuit_state is HALF_OPEN
    probe.land()
    assert ask(breaker, "a") == "ok"
    assert breaker.troubled() == []


def test_a_cancelled_probe_gives_its_place_back():
    clock = Clock()
    breaker = keyed(clock)
    break_down(breaker, "a")
    clock.advance(60)
    Flight(breaker, "a").crash(asyncio.CancelledError())
    assert ask(breaker, "a") == "ok"


def test_a_late_result_of_an_earlier_generation_changes_nothing():
    breaker = keyed()
    late, later = Flight(breaker, "a"), Flight(breaker, "a")
    break_down(breaker, "a")
    late.land()
    assert refusal(breaker, "a")
    breaker.reset()
    later.crash(DownError())
    assert ask(breaker, "a") == "ok"


def test_a_rate_window_is_judged_for_each_key():
    breaker = keyed(failure_threshold=100, failure_rate=0.5, minimum_calls=4)
    for key in "ab":
        ask(breaker, key)
        ask(breaker, key)
    break_down(breaker, "a", "b", "a")
    assert refusal(breaker, "a")
    assert ask(breaker, "b") == "ok"


# The bound


def test_the_key_longest_unused_is_forgotten_first():
    breaker = keyed(failure_threshold=9, max_keys=2)
    for key in "abac":
        ask(breaker, key)
    assert list(breaker._blank) == ["a", "c"]
    assert len(breaker) == 2


def test_an_open_circuit_is_never_forgotten_however_many_keys_come():
    breaker = keyed(max_keys=3)
    break_down(breaker, "a")
    breaker.for_key("b").isolate()
    for number in range(1000):
        assert ask(breaker, number) == "ok"
    assert len(breaker) == 3
    assert refusal(breaker, "a").circuit_state is OPEN
    assert refusal(breaker, "b").circuit_state is ISOLATED


def test_a_disabled_circuit_is_never_forgotten():
    breaker = keyed(max_keys=1)
    breaker.for_key("a").disable()
    for number in range(100):
        ask(breaker, number)
    assert breaker.for_key("a").state is DISABLED


def test_counted_failures_are_forgotten_only_when_no_closed_circuit_is_without():
    breaker = keyed(failure_threshold=2, max_keys=2)
    break_down(breaker, "a")
    for number in range(100):
        ask(breaker, number)
    break_down(breaker, "a")
    assert refusal(breaker, "a")
    break_down(breaker, "b")
    ask(breaker, "c")  # takes the place of b: there is no other
    break_down(breaker, "b")
    assert ask(breaker, "b") == "ok"


def test_a_probe_that_is_due_waits_until_the_place_is_needed():
    clock = Clock()
    breaker = keyed(clock, max_keys=2)
    break_down(breaker, "a")
    clock.advance(60)
    for number in range(100):
        ask(breaker, number)
    assert breaker.for_key("a").state is HALF_OPEN
    break_down(breaker, "b")
    ask(breaker, "c")
    assert breaker.for_key("b").state is OPEN
    assert [shown.state for shown in breaker.troubled()] == [OPEN]
    assert breaker.for_key("a").state is CLOSED


def test_a_circuit_with_a_probe_under_way_is_not_forgotten():
    clock = Clock()
    breaker = keyed(clock, max_keys=1)
    break_down(breaker, "a")
    clock.advance(60)
    probe = Flight(breaker, "a")
    ask(breaker, "b")
    assert refusal(breaker, "a").circuit_state is HALF_OPEN
    probe.crash(DownError())
    assert refusal(breaker, "a").circuit_state is OPEN


def test_while_none_can_be_forgotten_new_keys_are_guarded_by_one_circuit_together():
    clock = Clock()
    breaker = keyed(clock, failure_threshold=2, max_keys=2)
    break_down(breaker, "a", "a", "b", "b")
    break_down(breaker, "c", "d")
    error = refusal(breaker, "e")
    assert error.rejected_by == f"{breaker.name} (further keys)"
    assert len(breaker) == 2
    assert refusal(breaker, "a").rejected_by != error.rejected_by
    clock.advance(60)
    assert ask(breaker, "a") == "ok"  # closes, and may be forgotten
    assert ask(breaker, "c") == "ok"
    assert "c" in breaker._blank


def test_a_key_with_a_call_under_way_keeps_its_circuit_though_its_place_is_gone():
    breaker = keyed(failure_threshold=2, max_keys=1)
    flight = Flight(breaker, "a")
    ask(breaker, "b")
    assert list(breaker._blank) == ["b"]
    break_down(breaker, "a")  # finds the circuit of the call under way
    ask(breaker, "b")
    flight.crash(DownError())
    assert refusal(breaker, "a")


def test_a_circuit_that_opens_after_its_place_is_gone_is_remembered_again():
    breaker = keyed(max_keys=1)
    flight = Flight(breaker, "a")
    ask(breaker, "b")
    flight.crash(DownError())
    assert refusal(breaker, "a")
    assert len(breaker) == 1


def test_with_every_place_taken_a_circuit_that_opens_late_comes_on_top_and_room_is_made_later():
    clock = Clock()
    breaker = keyed(clock, max_keys=1)
    flights = [Flight(breaker, key) for key in "abc"]
    for flight in flights:
        flight.crash(DownError())
    assert [refusal(breaker, key).circuit_state for key in "abc"] == [OPEN] * 3
    clock.advance(60)
    ask(breaker, "d")
    assert len(breaker) == 1


def test_a_forgotten_circuit_takes_no_memory_once_its_last_call_has_ended():
    breaker = keyed(failure_threshold=9, max_keys=1)
    flight = Flight(breaker, "a")
    circuit = weakref.ref(breaker._blank["a"])
    ask(breaker, "b")
    assert circuit() is not None
    flight.land()
    del flight
    gc.collect()
    assert circuit() is None
    assert len(breaker._forgotten) == 0


def test_a_cancelled_call_brings_no_forgotten_circuit_back():
    breaker = keyed(max_keys=1)
    flight = Flight(breaker, "a")
    ask(breaker, "b")
    flight.crash(asyncio.CancelledError())
    assert list(breaker._blank) == ["b"]


def test_a_reset_reaches_the_circuit_of_a_call_whose_place_is_gone():
    breaker = keyed(failure_threshold=2, max_keys=1)
    flight = Flight(breaker, "a")
    break_down(breaker, "a")
    ask(breaker, "b")
    breaker.reset()
    flight.crash(DownError())
    break_down(breaker, "a")
    assert ask(breaker, "a") == "ok"


def test_blocks_of_two_keys_that_are_left_in_other_contexts_settle_their_own():
    breaker = keyed()
    first, second = breaker.for_key("a"), breaker.for_key("b")
    for face in (first, second):
        Context().run(face.__enter__)
    Context().run(second.__exit__, None, None, None)
    assert (len(first._blocks), len(second._blocks)) == (1, 0)


def test_a_failed_call_leaves_nothing_to_the_garbage_collector():
    breaker = keyed(failure_threshold=99)

    def many() -> None:
        for _ in range(20):
            try:
                ask(breaker, "a", DownError)
            except DownError:
                pass

    assert garbage_of(many) == 0


# The whole


def test_commands_reach_every_key_and_the_keys_own_circuits_stay():
    breaker = keyed(name=fresh("whole"))
    break_down(breaker, "a")
    registry.isolate(breaker.name)
    assert breaker.state is ISOLATED
    assert refusal(breaker, "b").rejected_by == breaker.name
    assert refusal(breaker, "a").circuit_state is ISOLATED
    registry.reset(breaker.name)
    assert [ask(breaker, key) for key in "ab"] == ["ok", "ok"]
    breaker.disable()
    break_down(breaker, "a", "a", "b")
    breaker.reset()
    assert breaker.troubled() == []


def test_a_tripped_whole_is_probed_once_and_gives_the_keys_back():
    clock = Clock()
    breaker = keyed(clock)
    break_down(breaker, "a")
    clock.advance(30)
    breaker.trip()
    clock.advance(29)
    assert refusal(breaker, "b").retry_after_seconds == 31
    clock.advance(31)
    assert ask(breaker, "b") == "ok"
    assert breaker.state is CLOSED
    assert breaker.for_key("a").state is HALF_OPEN


def test_a_probe_of_the_whole_that_fails_keeps_every_key_out():
    clock = Clock()
    breaker = keyed(clock)
    breaker.trip()
    clock.advance(60)
    break_down(breaker, "a")
    assert breaker.state is OPEN
    assert refusal(breaker, "b")


def test_a_new_key_waits_for_eight_looks_at_what_might_be_forgotten_and_the_next_goes_on_from_there():
    breaker = keyed(max_keys=9, failure_threshold=2)
    break_down(breaker, *"abcdefgh" * 2, "i")
    assert breaker.for_key("j").circuit is breaker._overflow
    assert breaker.for_key("k").circuit is not breaker._overflow, "the ninth has less to remember than an open one"
    assert len(breaker) == 9


@pytest.mark.parametrize("is_async", [False, True])
def test_a_success_of_the_key_begins_its_count_anew(is_async):
    breaker = keyed(failure_threshold=2)

    @breaker
    async def act_async(_, error=None):
        if error is not None:
            raise error()

    @breaker
    def act(_, error=None):
        if error is not None:
            raise error()

    def call(*arguments):
        return drive(act_async(*arguments)) if is_async else act(*arguments)

    for _ in range(3):
        with pytest.raises(DownError):
            call("a", DownError)
        call("a")
    assert breaker.for_key("a").failure_count == 0
    for _ in range(2):
        with pytest.raises(DownError):
            call("a", DownError)
    assert breaker.for_key("a").state is OPEN


def test_a_plain_function_that_only_makes_a_coroutine_is_refused():
    breaker = keyed()

    @breaker
    def act(key):
        return _suspended(key)

    with pytest.raises(TypeError):
        act("a")


# What is shown


def test_an_unnamed_breaker_is_listed_once_it_guards_something():
    breaker = keyed()

    def listed_for_once(key):
        return key

    assert breaker(listed_for_once)("a") == "a"
    assert "listed_for_once" in breaker.name
    assert [shown.name for shown in registry.policies() if "listed_for_once" in shown.name] == [breaker.name]


def test_the_key_is_shown_only_as_a_short_hash():
    breaker = keyed(name=fresh("tenants"))
    events = []
    remove = add_observer(events.append, inline=True)
    try:
        break_down(breaker, "ada@example.com")
        error = refusal(breaker, "ada@example.com")
    finally:
        remove()
    shown = f"{error}{error.__cause__}{error.model_dump_json()}{events}{breaker.troubled()}{breaker.snapshot()}"
    assert "ada" not in shown
    assert "example" not in shown
    hashed = error.rejected_by.removeprefix(f"{breaker.name} #")
    assert len(hashed) == 8
    assert int(hashed, 16)
    assert [event.kind for event in events] == [EnumResilienceEvent.CIRCUIT_STATE, EnumResilienceEvent.REJECTED]


def test_a_key_that_may_be_shown_is_shown_clean_and_not_at_any_length():
    breaker = keyed(name=fresh("hosts"), show_keys=True)
    break_down(breaker, "db.example.com", "postgresql://svc:hunter2@db", "x" * 10_000)
    assert refusal(breaker, "db.example.com").rejected_by == f"{breaker.name} db.example.com"
    assert "hunter2" not in refusal(breaker, "postgresql://svc:hunter2@db").rejected_by
    assert refusal(breaker, "x" * 10_000).rejected_by == f"{breaker.name} {'x' * 100}"


def test_the_snapshot_counts_the_keys_by_state():
    clock = Clock()
    breaker = keyed(clock, name=fresh("counted"))
    break_down(breaker, "a", "b")
    ask(breaker, "c")
    breaker.for_key("d").isolate()
    shown = breaker.snapshot()
    assert (shown.name, shown.state) == (breaker.name, CLOSED)
    assert shown.numbers == {"keys": 4, "max_keys": 10_000, "open": 2, "half_open": 0, "isolated": 1, "disabled": 0}
    assert [shown.state for shown in breaker.troubled()] == [OPEN, OPEN, ISOLATED]


def test_the_base_library_s_monitor_does_not_collect_the_keys():
    breaker = keyed(name=fresh("not monitored"))
    before = len(CircuitBreakerMonitor.circuit_breakers)
    break_down(breaker, "a", "b")
    refusal(breaker, "a")
    assert len(CircuitBreakerMonitor.circuit_breakers) == before


# Settings


def host(request):
    return request


def test_one_name_with_agreeing_settings_is_one_keyed_breaker():
    name = fresh("shared")
    first = create_database_circuit_breaker(name=name, key=host)
    assert create_database_circuit_breaker(name=name, key=host) is first
    assert registry.find(name) == [first]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"key": len}, "key"),
        ({"key": host, "max_keys": 5}, "max_keys"),
        ({"key": host, "show_keys": True}, "show_keys"),
        ({"key": host, "recovery_timeout": 1}, "recovery_timeout"),
        ({}, "key, max_keys, show_keys"),
    ],
)
def test_one_name_with_differing_settings_is_refused(other, named):
    name = fresh("contested")
    first = create_database_circuit_breaker(name=name, key=host)
    with pytest.raises(ProtocolConfigurationError, match=f"exists with another {named}; use"):
        create_database_circuit_breaker(name=name, **other)
    assert registry.find(name)[0] is first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key": "host"}, r"key = \(a str, not shown\): must be a plain function of the call's arguments"),
        ({"key": str}, r"key = \(the class str\): must be"),
        ({"key": _suspended}, "key = .*: must be a plain function"),
        ({"key": host, "max_keys": 0}, "max_keys = 0: must be a whole number, 1 or more"),
        ({"key": host, "show_keys": 1}, "show_keys = 1: must be true or false"),
        ({"max_keys": 5}, "key: max_keys and show_keys are of no use without it"),
        ({"show_keys": True}, "key: max_keys and show_keys are of no use without it"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(settings, message):
    with pytest.raises(ProtocolConfigurationError, match=message):
        make(**settings)
