"""A cluster behind the face of one server, as far as shared circuits need it.

The clusters of redis-py and valkey-py send no scripts in pipelines. Here each primary gets those of its own slots. Any
failure has the layout of the cluster read anew before the next use: that is what follows a fail-over or a resharding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.shared_state.clients import BlockingClient, Subscription

Address = tuple[str, int]


class Node(Protocol):
    """A server of the cluster."""

    host: str
    port: int


class Cluster(Protocol):
    """What is used of `redis.RedisCluster` and `valkey.ValkeyCluster`."""

    def get_nodes(self) -> Iterable[Node]:
        """Every server."""
        ...

    def get_primaries(self) -> Iterable[Node]:
        """The servers that have slots."""
        ...

    def get_node_from_key(self, key: str) -> Node:
        """The primary that has a key."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class ClusterClient:
    """Connects when first used. For one thread.

    Args:
        connect: Makes the package's own client, which asks these servers for the layout.
        client_of: What the package calls the method that gives the client of one server.
        hosts: Where to begin.
    """

    def __init__(
        self, connect: Callable[[Iterable[Address]], Cluster], client_of: str, hosts: Iterable[Address]
    ) -> None:
        self._connect = connect
        self._getter = client_of
        self._hosts = tuple(hosts)
        self._known: tuple[Address, ...] = ()
        self._cluster: Cluster | None = None

    def pipeline(self, *, transaction: bool = True) -> ClusterPipeline:  # noqa: ARG002 - each script is one already
        """Scripts to be sent together."""
        return ClusterPipeline(self._send)

    def pubsub(self, *, ignore_subscribe_messages: bool = False) -> Subscription:
        """A subscription at any server: what is published in a cluster reaches them all."""
        with self._layout() as cluster:
            node = random.choice(list(cluster.get_nodes()))
            return self._client_of(cluster, node).pubsub(ignore_subscribe_messages=ignore_subscribe_messages)

    def script_load(self, script: str) -> str:
        """Have every primary know a script; gives its hash."""
        with self._layout() as cluster:
            return [self._client_of(cluster, node).script_load(script) for node in cluster.get_primaries()][-1]

    def scan_iter(self, match: str, count: int) -> Iterator[str]:
        """The keys of a pattern."""
        with self._layout() as cluster:
            for node in cluster.get_primaries():
                yield from self._client_of(cluster, node).scan_iter(match, count)

    def pttl(self, key: str) -> int:
        """Milliseconds until a key expires; negative when it does not."""
        with self._layout() as cluster:
            return self._client_of(cluster, cluster.get_node_from_key(key)).pttl(key)

    def zrevrange(self, name: str, start: int, end: int, *, withscores: bool) -> Sequence[tuple[str, float]]:
        """Members of a sorted set, the highest first."""
        with self._layout() as cluster:
            node = cluster.get_node_from_key(name)
            return self._client_of(cluster, node).zrevrange(name, start, end, withscores=withscores)

    def delete(self, *keys: str) -> int:
        """Remove keys; gives how many there were."""
        with self._layout() as cluster:
            return sum(self._client_of(cluster, cluster.get_node_from_key(key)).delete(key) for key in keys)

    def close(self) -> None:
        """Close every connection; what is used again connects again."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            with suppress(Exception):  # the driver's: there is nothing left to close
                cluster.close()

    def _send(self, runs: Sequence[tuple[str, int, Sequence[str]]]) -> list[object]:
        answers: list[object] = [None] * len(runs)
        with self._layout() as cluster:
            of_nodes: dict[Address, tuple[Node, list[int]]] = {}
            for place, (_, _, words) in enumerate(runs):
                node = cluster.get_node_from_key(words[0])
                of_nodes.setdefault((node.host, node.port), (node, []))[1].append(place)
            for node, places in of_nodes.values():
                pipeline = self._client_of(cluster, node).pipeline(transaction=False)
                for place in places:
                    sha, numkeys, words = runs[place]
                    pipeline.evalsha(sha, numkeys, *words)
                for place, answer in zip(places, pipeline.execute(raise_on_error=False), strict=True):
                    answers[place] = answer
        if any(isinstance(answer, Exception) for answer in answers):
            self.close()  # it may have moved
        return answers

    def _client_of(self, cluster: Cluster, node: Node) -> BlockingClient:
        get: Callable[[Node], object] = getattr(cluster, self._getter)
        return cast("BlockingClient", get(node))

    @contextmanager
    def _layout(self) -> Generator[Cluster]:
        try:
            if self._cluster is None:
                self._cluster = self._connect(dict.fromkeys((*self._known, *self._hosts)))
                self._known = tuple((node.host, node.port) for node in self._cluster.get_nodes())
            yield self._cluster
        except Exception:
            self.close()
            raise


class ClusterPipeline:
    """Scripts that go out together, to each primary its own."""

    def __init__(self, send: Callable[[Sequence[tuple[str, int, Sequence[str]]]], list[object]]) -> None:
        self._send = send
        self._runs: list[tuple[str, int, Sequence[str]]] = []

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        """Add a script's run."""
        self._runs.append((sha, numkeys, keys_and_args))
        return self

    def execute(self, *, raise_on_error: bool = True) -> Sequence[object]:
        """Send all, and give the answers, or the errors in their place."""
        answers = self._send(self._runs)
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return answers
