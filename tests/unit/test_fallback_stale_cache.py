"""The stale cache: fresh answers save calls, stale ones stand in for failures, and it stays bounded."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.retries import Clock, Script, call_coroutine, call_plain

from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType, EnumResilienceEvent
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience import (
    StaleCache,
    add_observer,
    create_database_circuit_breaker,
    create_stale_cache,
)
from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent
from omnibase_infra.models.resilience import ModelStaleCacheConfig
from omnibase_infra.presets import load_presets


class Source:
    """A function whose answers are numbered, and which fails while told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    def __call__(self, *args: object, **kwargs: object) -> tuple[object, ...]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return (*args, self.calls)


def run_alone(work: Coroutine[object, object, object]) -> object:
    """Run in a loop of its own; what it raises is not raised through `asyncio.run`, whose frames would hold it."""
    raised: list[BaseException] = []

    async def main() -> object:
        try:
            return await work
        except Exception as error:
            raised.append(error)
            return None

    result = asyncio.run(main())
    if raised:
        raise raised.pop()
    return result


class Fixture:
    """A cache of 10 s and another 20 s, on a clock that stands still, around a function of either kind."""

    def __init__(self, kind: str, **settings: object) -> None:
        self.clock = Clock(100.0)
        self.source = Source()
        build: Callable[..., StaleCache] = create_stale_cache
        self.cache = build(**{"ttl": 10, "max_stale": 20, "clock": self.clock, **settings})
        source = self.source

        @self.cache
        def plain(*args: object, **kwargs: object) -> tuple[object, ...]:
            return source(*args, **kwargs)

        @self.cache
        async def coroutine(*args: object, **kwargs: object) -> tuple[object, ...]:
            await asyncio.sleep(0)
            return source(*args, **kwargs)

        self.get: Callable[..., object] = plain
        if kind == "async":
            self.get = lambda *args, **kwargs: run_alone(coroutine(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def it(kind: str) -> Fixture:
    return Fixture(kind)


def test_a_fresh_answer_saves_the_call(it):
    assert it.get("a") == ("a", 1)
    it.clock.now += 9.99
    assert it.get("a") == ("a", 1)
    assert it.source.calls == 1


def test_an_answer_of_exactly_ttl_is_fetched_anew(it):
    it.get()
    it.clock.now += 10
    assert it.get() == (2,)
    it.clock.now += 9.99
    assert it.get() == (2,)


def test_a_stale_answer_stands_in_for_a_failure_until_max_stale_is_over(it):
    it.get()
    it.source.error = ConnectionError()
    it.clock.now += 29.99
    assert it.get() == (1,)
    it.clock.now += 0.01
    with pytest.raises(ConnectionError):
        it.get()
    assert it.source.calls == 3


def test_a_success_after_stale_answers_counts_again(it):
    it.get()
    it.source.error = TimeoutError()
    it.clock.now += 25
    assert it.get() == (1,)
    it.source.error = None
    assert it.get() == (3,)
    it.clock.now += 9
    assert it.get() == (3,)


def test_a_failure_without_an_answer_is_raised_as_it_is_and_not_kept(it):
    it.source.error = error = ConnectionError("gone")
    with pytest.raises(ConnectionError) as caught:
        it.get()
    assert caught.value is error
    it.source.error = None
    assert it.get() == (2,)


def test_the_callers_own_error_is_never_hidden_by_a_stale_answer(it):
    it.get()
    it.clock.now += 15
    it.source.error = ValueError("the request itself")
    with pytest.raises(ValueError, match="itself"):
        it.get()


def test_the_kinds_that_are_answered_can_be_chosen(kind):
    it = Fixture(kind, on=EnumFailureKind.CALLER)
    it.get()
    it.clock.now += 15
    it.source.error = ValueError()
    assert it.get() == (1,)
    it.source.error = ConnectionError()
    with pytest.raises(ConnectionError):
        it.get()


def test_an_open_circuit_is_answered_with_the_stale_value():
    clock = Clock()
    breaker = create_database_circuit_breaker(1, clock=clock)
    cached = create_stale_cache(ttl=10, max_stale=100, clock=clock)(breaker(lambda: "row"))
    assert cached() == "row"
    breaker.trip()
    clock.now += 15
    assert cached() == "row"


def test_none_is_an_answer(kind):
    cache = create_stale_cache(ttl=10, clock=lambda: 0.0)
    script = Script(None, "second")
    call = call_plain if kind == "sync" else call_coroutine

    def decorate(_: object) -> Callable[..., object]:
        return cached

    source = Source()

    @cache
    def plain() -> None:
        source()

    @cache
    async def coroutine() -> None:
        source()

    cached: Callable[..., object] = plain if kind == "sync" else coroutine
    assert call(decorate, script) is None
    assert call(decorate, script) is None
    assert source.calls == 1


# Keys


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a",), ("b",)), ((1,), (True,)), ((1,), (1.0,)), ((), (None,)), (("a", "b"), (("a", "b"),))],
)
def test_calls_with_other_arguments_are_other_calls(it, one, other):
    assert it.get(*one) != it.get(*other)
    assert it.source.calls == 2


def test_the_order_of_keywords_does_not_count_and_their_types_do(it):
    it.get(a=1, b=2)
    it.get(b=2, a=1)
    assert it.source.calls == 1
    it.get(a=True, b=2)
    assert it.source.calls == 2


def test_a_key_function_decides_what_is_one_call(kind):
    it = Fixture(kind, key=lambda user, *, trace: user)
    it.get("a", trace=1)
    it.get("a", trace=2)
    it.get("b", trace=1)
    assert it.source.calls == 2


def test_two_functions_of_one_cache_do_not_share_answers():
    cache = create_stale_cache(ttl=10, clock=lambda: 0.0)
    one, other = cache(lambda: "one"), cache(lambda: "other")
    assert (one(), other(), one()) == ("one", "other", "one")

    @cache
    async def first() -> str:
        return "first"

    @cache
    async def second() -> str:
        return "second"

    assert (asyncio.run(first()), asyncio.run(second()), asyncio.run(first())) == ("first", "second", "first")


def test_calls_made_through_the_cache_share_answers_with_each_other():
    cache = create_stale_cache(ttl=10, clock=lambda: 0.0)
    source = Source()
    assert cache.call(source, "a") == cache.call(source, "a") == ("a", 1)


def test_methods_keep_the_answers_of_their_objects_apart():
    class Repository:
        def __init__(self, name: str) -> None:
            self.name = name

        @create_stale_cache(ttl=10, clock=lambda: 0.0)
        def get(self) -> str:
            return self.name

    assert (Repository("a").get(), Repository("b").get()) == ("a", "b")


def test_arguments_that_cannot_be_hashed_are_refused_without_being_shown(it):
    with pytest.raises(ProtocolConfigurationError, match="key: must be made of hashable values") as caught:
        it.get(["hunter2"])
    assert "hunter2" not in caught.value.model_dump_json()
    assert it.source.calls == 0


# Bounds


def test_the_least_recently_used_answer_goes_first(kind):
    it = Fixture(kind, max_entries=2)
    it.get("a")
    it.get("b")
    it.get("a")
    it.get("c")
    assert it.cache.entries == 2
    assert it.get("a") == ("a", 1)
    assert it.get("b") == ("b", 4)


def test_clear_forgets_every_answer_that_of_a_call_under_way_too(kind):
    it = Fixture(kind)
    it.get("a")
    it.cache.clear()
    assert it.cache.entries == 0
    assert it.get("a") == ("a", 2)

    @it.cache
    def clears() -> str:
        it.cache.clear()
        return "old"

    clears()
    assert it.cache.entries == 0


def test_an_answer_that_is_dropped_may_ask_the_cache_again():
    cache = create_stale_cache(ttl=10, max_entries=1, clock=lambda: 0.0)
    asked: list[object] = []

    class Row:
        def __del__(self) -> None:
            asked.append(get(3))

    @cache
    def get(key: int) -> object:
        return Row() if key == 1 else key

    get(1)
    get(2)
    assert asked == [3]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0, 1, 4, 5, 9, 20]), st.booleans()), min_size=1, max_size=60
    ),
    st.integers(1, 3),
    st.sampled_from([(5, 10), (0, 10), (5, 0), (0, 0)]),
)
def test_it_behaves_as_a_dictionary_with_times(steps, most, times):
    ttl, max_stale = times
    clock, source = Clock(), Source()
    cached = create_stale_cache(ttl=ttl, max_stale=max_stale, max_entries=most, clock=clock)(source)
    model: OrderedDict[str, tuple[float, object]] = OrderedDict()
    for key, passed, fails in steps:
        clock.now += passed
        source.error = ConnectionError() if fails else None
        calls = source.calls
        stored = model.get(key)
        if stored is not None:
            model.move_to_end(key)
        if stored is not None and clock.now < stored[0] + ttl:
            assert cached(key) == stored[1]
            assert source.calls == calls
        elif not fails:
            assert cached(key) == (key, calls + 1)
            model[key] = (clock.now, (key, calls + 1))
            model.move_to_end(key)
            if len(model) > most:
                model.popitem(last=False)
        elif stored is not None and clock.now < stored[0] + ttl + max_stale:
            assert cached(key) == stored[1]
            assert source.calls == calls + 1
        else:
            with pytest.raises(ConnectionError):
                cached(key)


# Settings, events, refusals


def test_the_shipped_numbers_and_their_overriding(monkeypatch):
    assert create_stale_cache().config == ModelStaleCacheConfig() == StaleCache().config
    assert (ModelStaleCacheConfig().ttl, ModelStaleCacheConfig().max_stale) == (60, 600)
    monkeypatch.setenv("ONEX_RESILIENCE__DEFAULTS__STALE_CACHE__TTL", "5")
    monkeypatch.setenv("ONEX_RESILIENCE__SERVICES__MENU__STALE_CACHE__MAX_STALE", "7")
    try:
        assert create_stale_cache(service="menu", max_entries=3).config == ModelStaleCacheConfig(
            ttl=5, max_stale=7, max_entries=3
        )
        assert create_stale_cache(service="menu").name == "menu"
        assert create_stale_cache(ttl=0).config.ttl == 0
    finally:
        monkeypatch.undo()
        load_presets()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ttl": -1}, "ttl = -1: must be a finite number, 0 or more"),
        ({"max_entries": 0}, "max_entries = 0: must be a whole number, 1 or more"),
        ({"key": "hunter2"}, r"key = \(a str, not shown\): must be a plain function of the call's arguments"),
        ({"on": "hunter2"}, r"on = \(a str, not shown\): must be one or several EnumFailureKind"),
        ({"transport": "db"}, "transport = .*: must be an EnumInfraTransportType"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    build: Callable[..., StaleCache] = create_stale_cache
    with pytest.raises(ProtocolConfigurationError, match=message):
        build(**settings)


def test_an_async_key_function_is_refused():
    async def key() -> str:
        return ""

    with pytest.raises(ProtocolConfigurationError, match=r"key = .*: must be a plain function"):
        create_stale_cache(key=key)


def rows() -> Generator[int]:
    yield 1


async def async_rows() -> AsyncGenerator[int]:
    yield 1


@pytest.mark.parametrize("fn", [rows, async_rows])
def test_generators_are_refused_when_decorated(fn):
    with pytest.raises(TypeError, match="a generator's items can be read only once"):
        create_stale_cache()(fn)
    with pytest.raises(TypeError, match="a generator's items can be read only once"):
        create_stale_cache().call(fn)


def test_a_plain_function_that_returns_work_is_refused():
    def disguised() -> object:
        return rows()

    with pytest.raises(TypeError, match="returned a generator"):
        create_stale_cache()(disguised)()


def test_a_stale_answer_is_announced_and_a_fresh_one_is_not(kind):
    it = Fixture(kind, transport=EnumInfraTransportType.VALKEY, name="menu")
    events: list[ModelResilienceEvent] = []
    stop = add_observer(events.append, inline=True)
    try:
        it.get("hunter2")
        it.get("hunter2")
        it.clock.now += 15
        it.source.error = ConnectionResetError()
        it.get("hunter2")
    finally:
        stop()
    (event,) = events
    assert (event.kind, event.policy, event.name) == (EnumResilienceEvent.FALLBACK_USED, "stale_cache", "menu")
    assert (event.failure_kind, event.error_type) == (EnumFailureKind.CONNECTION, "ConnectionResetError")
    assert "hunter2" not in event.model_dump_json()


def test_no_exception_is_kept_alive(it):
    class LostError(ConnectionError):
        pass

    it.get()
    gc.disable()
    try:
        for later in (15, 30):
            it.clock.now += later
            it.source.error = LostError()
            gone = weakref.ref(it.source.error)
            try:
                it.get()
            except LostError:
                assert later == 30
            it.source.error = None
            assert gone() is None
    finally:
        gc.enable()
