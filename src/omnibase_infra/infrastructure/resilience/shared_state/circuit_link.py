"""What a process has to do with one store of circuits: one connection for steps and polls, one for what others say.

Both live on daemon threads, so that neither a caller nor an event loop ever waits for the network, that plain threads
and any number of event loops are served alike, and that no connection belongs to an event loop that may close. The
threads begin with the first call through a shared circuit, not with its making: what is imported before a fork has
none.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final
from weakref import ref

from omnibase_infra.enums import EnumResilienceEvent
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.observers import emit
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import (
    CHANNEL,
    CircuitStore,
    Reading,
    Step,
    family_of,
)
from omnibase_infra.infrastructure.resilience.shared_state.clients import blocking_client, close_client, package_for
from omnibase_infra.utils import util_ambient
from omnibase_infra.utils.util_store_url import is_cluster_url, shown_url

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_family import CircuitFamily
    from omnibase_infra.infrastructure.resilience.shared_state.circuit_follower import CircuitFollower
    from omnibase_infra.infrastructure.resilience.shared_state.clients import Subscription
    from omnibase_infra.models.resilience import ModelSharedCircuitConfig

_Answer = Callable[[Reading], None]

_STEPS_AT_ONCE: Final = 100

_CIRCUITS_A_POLL: Final = 200
"""Of more circuits than these each poll reads the next ones: the subscription is the first leg, and a poll is short."""

_ATTENTION: Final = 0.2
"""Seconds within which a thread that hears nothing notices that it is to end."""


class CircuitLink:
    """Carries steps of this process's circuits to one store, and what the store says to the circuits."""

    def __init__(self, url: str, settings: ModelSharedCircuitConfig) -> None:
        self.worker = ""
        self.is_up = False
        """Whether the store answered last time it was asked."""
        self._url = url
        self._settings = settings
        self._followers: list[ref[CircuitFollower]] = []
        self._families: list[ref[CircuitFamily]] = []
        self._polled = 0
        self._begin()

    def _begin(self) -> None:
        self.worker = uuid.uuid4().hex
        self.is_up = False
        self._was_up: bool | None = None
        # Re-entrant: a garbage collection inside may close a guarded generator, which posts too.
        self._queue: SimpleQueue[tuple[Step, _Answer] | str] = SimpleQueue()
        self._lock = threading.RLock()
        self._threads: tuple[threading.Thread, ...] = ()
        self._ending: list[threading.Thread] = []
        self._closing = threading.Event()
        self._resubscribe = False

    def add(self, follower: CircuitFollower) -> None:
        """Have a circuit follow the store for as long as it lives."""
        with self._lock:
            self._followers.append(ref(follower))

    def add_family(self, family: CircuitFamily) -> None:
        """Have a breaker with keys hear which of its circuits are not closed, for as long as it lives."""
        with self._lock:
            self._families.append(ref(family))

    def start(self) -> None:
        """Begin, unless that has been done."""
        if self._threads:
            return
        with self._lock:
            if self._threads:
                return
            self._closing = closing = threading.Event()
            threads = tuple(
                threading.Thread(target=work, args=(closing,), name=f"onex-circuits-{part}", daemon=True)
                for part, work in (("steps", self._take_steps), ("changes", self._hear_changes))
            )
            try:
                for thread in threads:
                    thread.start()
            except RuntimeError:  # no thread is to be had, as while the interpreter shuts down
                closing.set()
                return
            self._threads = threads

    def post(self, step: Step, answer: _Answer) -> None:
        """Take a step soon; `answer` hears what came of it. While the store cannot be reached nothing is kept."""
        if self.is_up and not util_ambient.is_beginning_anew:
            self._queue.put((step, answer))

    def close(self, timeout: float) -> None:
        """End both threads and their connections; the circuits go on alone until the next `start`."""
        with self._lock:
            threads, self._threads, self._ending = [*self._threads, *self._ending], (), []
            self._closing.set()
        self._queue.put("")
        for follower in self._living():
            follower.sleep()
        for family in self._living_families():
            family.sleep()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def after_fork(self) -> None:
        """Begin anew in the child: threads do not survive a fork, and connections must not be shared."""
        self._begin()
        for follower in self._living():
            follower.forget()
        for family in self._living_families():
            family.lost()
            family.sleep()

    def _living(self) -> list[CircuitFollower]:
        with self._lock:
            found = [(known, follower) for known in self._followers if (follower := known()) is not None]
            self._followers = [known for known, _ in found]
        return [follower for _, follower in found]

    def _living_families(self) -> list[CircuitFamily]:
        with self._lock:
            found = [(known, family) for known in self._families if (family := known()) is not None]
            self._families = [known for known, _ in found]
        return [family for _, family in found]

    def _take_steps(self, closing: threading.Event) -> None:
        settings = self._settings
        client = blocking_client(self._url, settings.timeout)
        store = CircuitStore(client, is_cluster=is_cluster_url(self._url))
        next_poll = 0.0
        try:
            while not closing.is_set():
                work = self._next_work(next_poll - time.monotonic())
                if closing.is_set():
                    break
                try:
                    self._run(store, work)
                    if time.monotonic() >= next_poll:
                        self._poll(store)
                        if self._is_idle(closing):
                            break
                        next_poll = time.monotonic() + settings.poll_interval
                except Exception as exc:
                    self._lose(type(exc).__name__)
                    next_poll = time.monotonic() + settings.retry_interval
        finally:
            self._stand_alone()
            close_client(client)

    def _next_work(self, patience: float) -> list[tuple[Step, _Answer] | str]:
        work: list[tuple[Step, _Answer] | str] = []
        with suppress(Empty):
            work.append(self._queue.get(timeout=max(0.0, patience)))
            while len(work) < _STEPS_AT_ONCE:
                work.append(self._queue.get_nowait())
        return work

    def _run(self, store: CircuitStore, work: list[tuple[Step, _Answer] | str]) -> None:
        """Take the steps that were posted, then read the circuits that others say have changed."""
        if not self.is_up:
            return  # what was posted before the store was lost
        posted = [found for found in work if not isinstance(found, str)]
        if posted:
            readings = store.run([step for step, _ in posted])
            for (_, answer), reading in zip(posted, readings, strict=True):
                answer(reading)
        changed = {found for found in work if isinstance(found, str)}
        if changed:
            self._read(store, [follower for follower in self._living() if follower.name in changed])
            families = {family_of(name) for name in changed}
            self._read_families(store, [family for family in self._living_families() if family.name in families])

    def _is_idle(self, closing: threading.Event) -> bool:
        """Whether no circuit is left to follow; then the threads end."""
        with self._lock:
            if self._living():
                return False
            self._ending = [thread for thread in (*self._ending, *self._threads) if thread.is_alive()]
            self._threads = ()
            closing.set()
            return True

    def _poll(self, store: CircuitStore) -> None:
        """Read every circuit whose turn it is."""
        followers = self._living()
        self._read(store, self._due(followers))
        self._read_families(store, self._living_families())
        if not self.is_up:
            self.is_up = True
            if self._was_up is False:
                self._resubscribe = True
                self._tell(EnumResilienceEvent.SHARED_STATE_BACK)
            self._was_up = True
            self._read(store, followers)  # once more, as what they did until now was not kept
            self._read_families(store, self._living_families())

    def _due(self, followers: list[CircuitFollower]) -> list[CircuitFollower]:
        """Those that hold leases, and so many of the others that each is read in its turn."""
        holding = [follower for follower in followers if follower.holds_leases()]
        others = [follower for follower in followers if follower.is_of_interest() and not follower.holds_leases()]
        first = self._polled % len(others) if len(others) > _CIRCUITS_A_POLL else 0
        turn = (*others[first:], *others[:first])[:_CIRCUITS_A_POLL]
        self._polled = first + len(turn)
        return [*holding, *turn]

    def _read(self, store: CircuitStore, followers: list[CircuitFollower]) -> None:
        if not followers:
            return
        looks = [(follower, *follower.look()) for follower in followers]
        readings = iter(store.run([step for _, steps, _ in looks for step in steps]))
        for follower, steps, changes in looks:
            reading = [next(readings) for _ in steps][-1]
            if self.is_up:
                follower.follow(reading, changes)

    def _read_families(self, store: CircuitStore, families: list[CircuitFamily]) -> None:
        for family in families:
            listed = store.not_closed(family.name, family.most)
            unknown = family.unknown(listed)
            readings = store.run([family.step(name) for name in unknown]) if unknown else ()
            if self.is_up:
                family.take(listed, dict(zip(unknown, readings, strict=True)))

    def _lose(self, error_type: str) -> None:
        first = self._was_up is not False
        self._was_up = False
        self._stand_alone()
        if first:
            self._tell(EnumResilienceEvent.SHARED_STATE_LOST, error_type)

    def _stand_alone(self) -> None:
        self.is_up = False
        for follower in self._living():
            follower.lost()
        for family in self._living_families():
            family.lost()

    def _tell(self, kind: EnumResilienceEvent, error_type: str | None = None) -> None:
        name = shown_url(self._url)
        if error_type is None:
            emit(kind, policy="circuit_breaker", name=name)
        else:
            emit(kind, policy="circuit_breaker", name=name, error_type=error_type)

    def _hear_changes(self, closing: threading.Event) -> None:
        settings = self._settings
        client = blocking_client(self._url, settings.timeout)
        while not closing.is_set():
            subscription: Subscription | None = None
            try:
                subscription = client.pubsub(ignore_subscribe_messages=True)
                subscription.subscribe(CHANNEL)
                self._resubscribe = False
                while not (closing.is_set() or self._resubscribe):
                    message = subscription.get_message(timeout=_ATTENTION)
                    if message is not None:
                        self._queue.put(str(message["data"]))
            except Exception:
                closing.wait(settings.retry_interval)  # the polls are the other leg, and tell of a lost store
            finally:
                if subscription is not None:
                    with suppress(Exception):  # the driver's: there is nothing left to close
                        subscription.close()
                close_client(client)


_links: Final[dict[tuple[object, ...], CircuitLink]] = {}
_links_lock = threading.RLock()


def link_to(shared: ModelSharedCircuitConfig) -> CircuitLink:
    """The link of this process to a store: one for all circuits with the same settings.

    Raises:
        ProtocolConfigurationError: When no client for the store is installed, or it refuses the URL.
    """
    url = "" if shared.url is None else shared.url.get_secret_value()
    package_for(url, "shared")
    key = (url, shared.poll_interval, shared.timeout, shared.retry_interval)
    with _links_lock:
        link = _links.get(key)
        if link is None:
            _try_url(url, shared.timeout)
            link = _links[key] = CircuitLink(url, shared)
        return link


def _try_url(url: str, timeout: float) -> None:
    try:
        close_client(blocking_client(url, timeout))
    except Exception as error:
        # The client's own sentence may quote the URL, which may hold a password.
        reason = type(error).__qualname__
    else:
        return
    raise ProtocolConfigurationError(f"shared: the client refuses the URL ({reason})", parameter="shared")


def close_shared_circuits(timeout: float = 5.0) -> None:
    """End every thread and connection that shared circuits have in this process.

    The circuits go on alone. One that is called again begins to follow the others again.

    Args:
        timeout: Seconds to wait for each thread.
    """
    with _links_lock:
        links = list(_links.values())
    for link in links:
        link.close(timeout)


def _after_fork() -> None:
    global _links_lock  # noqa: PLW0603
    _links_lock = threading.RLock()
    for link in list(_links.values()):
        link.after_fork()


atexit.register(close_shared_circuits, 1.0)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
