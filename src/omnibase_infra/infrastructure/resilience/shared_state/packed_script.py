"""Scripts, sent over a client's own connections without what the client does around each command.

redis-py and valkey-py spend more time on the bookkeeping of a command than on its bytes. Here the package's connection
packs, sends and reads, and the package's pool makes connections and keeps them alive; only what lies between is ours.
Clients without such a pool, those of a cluster and coredis, run scripts as they always do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha1
from inspect import Parameter, signature
from typing import Final, Protocol, cast
from weakref import WeakKeyDictionary

Reply = str | bytes


class _Connection(Protocol):
    """What is used of the packages' blocking connections."""

    def pack_command(self, *args: str | bytes | int) -> Iterable[bytes]: ...

    def send_packed_command(self, command: Iterable[bytes], /) -> object: ...

    def read_response(self) -> object: ...

    def can_read(self, timeout: float = ..., /) -> bool: ...

    def disconnect(self) -> object: ...


class _Pool(Protocol):
    """What is used of the packages' blocking pools."""

    def get_connection(self, *args: str) -> _Connection: ...

    def release(self, connection: _Connection, /) -> object: ...


class _Client(Protocol):
    """A client with a pool."""

    connection_pool: _Pool

    def script_load(self, script: str, /) -> object: ...


class Scripting(Protocol):
    """What is used of any client."""

    def register_script(self, script: str, /) -> object:
        """The script as the client itself runs it."""
        ...


class Script(Protocol):
    """A script of one key and one argument, for threads."""

    def __call__(self, key: str, argument: bytes, /) -> Reply:
        """Run it, over a new connection when need be."""
        ...

    def if_connected(self, key: str, argument: bytes, timeout: float, /) -> Reply | None:
        """Run it over a connection that is at hand, in one round trip; None when that cannot be.

        Raises:
            TimeoutError: When no answer has come after `timeout` seconds.
        """
        ...


def script_on(client: object, text: str) -> Script:
    """The script, on a client of redis-py or valkey-py."""
    return PackedScript(cast("_Client", client), text) if has_pool(client) else _ClientScript(client, text)


_ready: Final[WeakKeyDictionary[_Pool, list[_Connection]]] = WeakKeyDictionary()
"""Connections that scripts took from a pool, and that have answered: to be had without asking the pool."""


class PackedScript:
    """A script on one server, or on the primary that sentinels name. Safe under threads."""

    def __init__(self, client: _Client, text: str) -> None:
        self._load = client.script_load
        self._text = text
        self._sha = hash_of(text)
        self._pool = client.connection_pool
        self._pool_asks_for = asked_for(self._pool.get_connection)
        self._ready = _ready.setdefault(self._pool, [])
        self._packed: tuple[str, bytes, Iterable[bytes]] = "", b"", ()

    def __call__(self, key: str, argument: bytes, /) -> Reply:
        """Run it, over a new connection when need be."""
        try:
            return self._run(self._connection(), key, argument)
        except Exception as error:
            if not is_unknown_script(error):
                raise
        self._load(self._text)
        return self._run(self._connection(), key, argument)

    def if_connected(self, key: str, argument: bytes, timeout: float, /) -> Reply | None:
        """Run it over a connection that is at hand, in one round trip; None when that cannot be.

        Raises:
            TimeoutError: When no answer has come after `timeout` seconds.
        """
        connection = self._at_hand()
        if connection is None:
            return None
        try:
            return self._run(connection, key, argument, timeout)
        except Exception as error:
            if is_unknown_script(error):
                return None
            raise

    def _connection(self) -> _Connection:
        return self._at_hand() or self._pool.get_connection(*self._pool_asks_for)

    def _at_hand(self) -> _Connection | None:
        while True:
            try:
                connection = self._ready.pop()
            except IndexError:
                return None
            try:
                if not connection.can_read():
                    return connection
                connection.disconnect()  # what it has to say answers nothing
            except Exception:  # noqa: S110 - the server has closed it
                pass
            self._pool.release(connection)

    def _run(self, connection: _Connection, key: str, argument: bytes, timeout: float | None = None) -> Reply:
        try:
            packed_key, packed_argument, packed = self._packed
            if key != packed_key or argument != packed_argument:
                packed = connection.pack_command("EVALSHA", self._sha, 1, key, argument)
                self._packed = key, argument, packed
            connection.send_packed_command(packed)
            if timeout is not None and not connection.can_read(timeout):
                connection.disconnect()  # the answer may still come, and answers nothing else
                raise TimeoutError
            reply = connection.read_response()
        except BaseException:
            self._pool.release(connection)  # which looks at it before it lends it again
            raise
        self._ready.append(connection)
        return cast("Reply", reply)


class _ClientScript:
    """A script as the client itself runs it, over whichever connection it finds."""

    def __init__(self, client: object, text: str) -> None:
        self._script = cast("Callable[..., Reply]", cast("Scripting", client).register_script(text))

    def __call__(self, key: str, argument: bytes, /) -> Reply:
        """Run it."""
        return self._script([key], [argument])

    def if_connected(self, key: str, argument: bytes, timeout: float, /) -> Reply | None:  # noqa: ARG002
        """Nobody knows whether it is."""
        return None


def has_pool(client: object) -> bool:
    """Whether a client is one of redis-py or valkey-py, and no cluster's."""
    return type(client).__module__.partition(".")[0] in {"redis", "valkey"} and hasattr(client, "connection_pool")


def asked_for(get_connection: Callable[..., object]) -> tuple[str, ...]:
    """What older pools want to know before they lend a connection, though they do not use it."""
    needed = [wanted for wanted in signature(get_connection).parameters.values() if wanted.default is Parameter.empty]
    return ("EVALSHA",) if any(wanted.kind is Parameter.POSITIONAL_OR_KEYWORD for wanted in needed) else ()


def hash_of(text: str) -> str:
    """By which the server knows a script."""
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


def is_unknown_script(reply: object) -> bool:
    """Whether the server has not been told the script since it began."""
    return type(reply).__name__ == "NoScriptError"
