"""Work that may take long is done aside, and whoever asked for it leaves in time."""

import threading
import time

import pytest

from omnibase_infra.infrastructure.resilience.shared_state.helper_threads import HelperThreads

SHORT = 0.02
LONG = 30.0


def test_what_is_done_in_time_is_handed_over() -> None:
    helpers = HelperThreads(LONG)
    assert helpers.run(lambda: threading.current_thread().name) == "onex-rate-limit"


def test_who_has_waited_in_vain_leaves_and_the_work_goes_on_to_its_end() -> None:
    goes_on, done = threading.Event(), threading.Event()
    helpers = HelperThreads(SHORT)

    def work() -> str:
        goes_on.wait(LONG)
        done.set()
        return "late"

    assert helpers.run(work) is None
    goes_on.set()
    assert done.wait(LONG)


def test_while_work_goes_on_unheard_nobody_waits_and_none_is_begun() -> None:
    goes_on, begun = threading.Event(), []
    helpers = HelperThreads(SHORT)

    def work() -> bool:
        begun.append(True)
        return goes_on.wait(LONG)

    assert helpers.run(work) is None
    assert [helpers.run(work) for _ in range(3)] == [None] * 3
    assert len(begun) == 1
    goes_on.set()
    give_up = time.monotonic() + LONG
    while helpers.run(work) is None:
        assert time.monotonic() < give_up


def test_callers_at_once_are_helped_at_once() -> None:
    helpers, meeting = HelperThreads(LONG), threading.Barrier(3)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(helpers.run(lambda: meeting.wait(LONG) >= 0))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3


def test_without_a_thread_to_be_had_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert HelperThreads(LONG).run(lambda: True) is None
