"""Fixtures and a marker for pytest, which finds this module by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

from omnibase_infra import testing
from omnibase_infra.testing.stand_in import STAND_IN

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.observers.model_resilience_event import ModelResilienceEvent

T = TypeVar("T")

testing.install()  # now, before any test imports the service whose policies are to follow


class Run(Protocol):
    """The type of the `virtual_time` fixture; see `omnibase_infra.testing.run`."""

    def __call__(
        self,
        main: Coroutine[object, object, T],
        *,
        seed: int | None = 0,
        waits_for_threads: bool = False,
        patience: float = ...,
        max_turns: int | None = ...,
    ) -> T:
        """Run a coroutine under virtual time."""
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "virtual_time(seed=0, waits_for_threads=False, patience=5.0, max_turns=1000000): "
        "run this async test under virtual time",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that has the marker."""
    marker = pyfuncitem.get_closest_marker("virtual_time")
    test: Callable[..., object] = pyfuncitem.obj
    if marker is None or not inspect.iscoroutinefunction(test):
        return None
    names = inspect.signature(test).parameters
    testing.run(test(**{name: pyfuncitem.funcargs[name] for name in names}), **marker.kwargs)
    return True


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Leave no circuit open, by a time that is over, to the next test."""
    STAND_IN.forget_leader()


@pytest.fixture
def virtual_time() -> Run:
    """Run a coroutine to its end under virtual time: ``virtual_time(main())``."""
    return testing.run


@pytest.fixture
def recorded_events() -> Generator[list[ModelResilienceEvent]]:
    """Every event of the test, as a list that grows at once."""
    with testing.recorded_events() as events:
        yield events


@pytest.fixture
def policies_disabled() -> Generator[None]:
    """Every decorated function runs as if it were not guarded."""
    with testing.policies_disabled():
        yield
