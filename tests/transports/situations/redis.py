"""redis-py and valkey-py: each failure comes out of the driver's own connection, over a scripted socket."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType

from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType

PACKAGES = ("redis", "valkey")


class ScriptedSocket:
    """Takes every command, and answers with bytes, with an end of file (none), or by raising."""

    def __init__(self, answer: bytes | Exception, sending: Exception | None = None) -> None:
        self._answer = answer
        self._sending = sending
        self._asked = False

    def sendall(self, data: bytes) -> None:
        if self._sending is not None:
            raise self._sending
        self._asked = True

    def recv(self, size: int) -> bytes:
        if not self._asked:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing to read")
        if isinstance(self._answer, Exception):
            raise self._answer
        answer, self._answer = self._answer[:size], self._answer[size:]
        return answer

    def recv_into(self, buffer: bytearray) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def settimeout(self, timeout: float | None) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


Connects = Callable[[], ScriptedSocket]


def client(package: str, connects: Connects, *, handshake: bool = False, pool: str = "ConnectionPool", **settings):
    """A client whose connections are what `connects` returns or raises; no retries of its own, one connection."""
    driver = import_module(package)

    class Connection(driver.Connection):
        def _connect(self) -> ScriptedSocket:
            return connects()

    if not handshake:
        settings[f"{package}_connect_func"] = lambda connection: connection._parser.on_connect(connection)
    retry = import_module(f"{package}.retry").Retry(import_module(f"{package}.backoff").NoBackoff(), 0)
    connections = getattr(driver, pool)(connection_class=Connection, max_connections=1, retry=retry, **settings)
    return getattr(driver, package.capitalize())(connection_pool=connections)


def caught(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("it did not fail")


def failing_connect(package: str, error: Exception) -> BaseException:
    """What a command raises for which no connection could be made."""

    def connects() -> ScriptedSocket:
        raise error

    return caught(client(package, connects).ping)


def failing_command(package: str, answer: bytes | Exception, sending: Exception | None = None) -> BaseException:
    """What a command raises on a connection that stood."""
    return caught(client(package, lambda: ScriptedSocket(answer, sending)).ping)


def failing_handshake(package: str, answer: bytes | Exception) -> BaseException:
    """What a command raises when the server does not let the new connection in."""
    connection = client(package, lambda: ScriptedSocket(answer), handshake=True, username="svc", password="hunter2")
    return caught(connection.ping)


def exhausted(package: str, **settings: object) -> BaseException:
    """What a command raises while the pool's only connection is in use."""
    busy = client(package, lambda: ScriptedSocket(b""), **settings)
    if package == "redis":
        busy.connection_pool.get_connection()
    else:
        busy.connection_pool.get_connection("PING")
    return caught(busy.ping)


def pipeline(package: str, answer: bytes, *, transaction: bool) -> BaseException:
    """What a pipeline of `SET k v` raises."""
    commands = client(package, lambda: ScriptedSocket(answer)).pipeline(transaction=transaction)
    commands.set("k", "v")
    return caught(commands.execute)


def made(package: str, name: str, *args: object, module: str = "exceptions", cause: bool = False) -> BaseException:
    """An exception that the driver raises far from any connection: in a cluster client, a sentinel, a transaction."""
    error = getattr(import_module(f"{package}.{module}"), name)(*args)
    if cause:
        error.__cause__ = failing_connect(package, TimeoutError("timed out"))
    return error


def _unowned_lock(package: str) -> BaseException:
    lock: ModuleType = import_module(f"{package}.lock")
    return caught(lock.Lock(client(package, lambda: ScriptedSocket(b"")), "name").release)


ANSWERS = {
    "LOADING dataset in memory": (b"LOADING Valkey is loading the dataset in memory", Kind.UNAVAILABLE),
    "READONLY replica": (b"READONLY You can't write against a read only replica.", Kind.UNAVAILABLE),
    "BUSY with a script": (b"BUSY Valkey is busy running a script. You can only call SCRIPT KILL.", Kind.UNAVAILABLE),
    "OOM, memory limit": (b"OOM command not allowed when used memory > 'maxmemory'.", Kind.UNAVAILABLE),
    "MASTERDOWN replica": (b"MASTERDOWN Link with MASTER is down.", Kind.UNAVAILABLE),
    "CLUSTERDOWN": (b"CLUSTERDOWN Hash slot not served", Kind.UNAVAILABLE),
    "TRYAGAIN, keys on the move": (b"TRYAGAIN Multiple keys request during rehashing of slot", Kind.UNAVAILABLE),
    "NOREPLICAS": (b"NOREPLICAS Not enough good replicas to write.", Kind.UNAVAILABLE),
    "MISCONF, cannot save": (b"MISCONF Valkey is configured to save RDB snapshots, but is unable to", Kind.UNAVAILABLE),
    "UNBLOCKED by the server": (b"UNBLOCKED force unblock from blocking operation", Kind.UNAVAILABLE),
    "NOAUTH, no password given": (b"NOAUTH Authentication required.", Kind.AUTHENTICATION),
    "WRONGPASS, wrong password": (
        b"WRONGPASS invalid username-password pair or user is disabled.",
        Kind.AUTHENTICATION,
    ),
    "NOPERM by ACL": (b"NOPERM User ro has no permissions to run the 'set' command", Kind.AUTHENTICATION),
    "DENIED, protected mode": (b"DENIED Redis is running in protected mode", Kind.AUTHENTICATION),
    "too many clients": (b"ERR max number of clients reached", Kind.THROTTLED),
}
"""The server's refusals: nothing was executed."""

CALLER_ANSWERS = {
    "WRONGTYPE": (b"WRONGTYPE Operation against a key holding the wrong kind of value", False),
    "NOSCRIPT": (b"NOSCRIPT No matching script. Please use EVAL.", False),
    "EXECABORT": (b"EXECABORT Transaction discarded because of previous errors.", False),
    "CROSSSLOT": (b"CROSSSLOT Keys in request don't hash to the same slot", False),
    "MOVED to another node": (b"MOVED 3999 10.0.0.1:6381", False),
    "BUSYGROUP": (b"BUSYGROUP Consumer Group name already exists", False),
    "unknown command": (b"ERR unknown command 'X', with args beginning with: 'hunter2' ", True),
    "syntax error": (b"ERR syntax error", True),
}

_QUEUE_OOM = b"+OK\r\n-OOM command not allowed\r\n-EXECABORT Transaction discarded because of previous errors.\r\n"

_NOTHING = {"redis": b"_\r\n", "valkey": b"*-1\r\n"}
"""The answer to EXEC after a watched key changed: redis-py speaks RESP3 unless told otherwise, valkey-py RESP2."""

_CLIENT_SIDE: dict[str, tuple[Callable[[str], BaseException], Kind, bool]] = {
    "refused": (
        lambda package: failing_connect(package, ConnectionRefusedError(111, "refused")),
        Kind.CONNECTION,
        False,
    ),
    "unknown host": (
        lambda package: failing_connect(package, socket.gaierror(-2, "Name or service not known")),
        Kind.CONNECTION,
        False,
    ),
    "connect time-out": (
        lambda package: failing_connect(package, TimeoutError("timed out")),
        Kind.TIMEOUT,
        False,
    ),
    "certificate not trusted": (
        lambda package: failing_connect(package, ssl.SSLCertVerificationError(1, "certificate verify failed")),
        Kind.CALLER,
        False,
    ),
    "closed on connect": (lambda package: failing_handshake(package, b""), Kind.CONNECTION, False),
    "closed in mid-operation": (lambda package: failing_command(package, b""), Kind.CONNECTION, True),
    "reset in mid-operation": (
        lambda package: failing_command(package, ConnectionResetError(104, "Connection reset by peer")),
        Kind.CONNECTION,
        True,
    ),
    "reset while idle": (
        lambda package: failing_command(package, b"", BrokenPipeError(32, "Broken pipe")),
        Kind.CONNECTION,
        True,
    ),
    "no answer in time": (lambda package: failing_command(package, TimeoutError("timed out")), Kind.TIMEOUT, True),
    "not the protocol": (
        lambda package: failing_command(package, b"HTTP/1.1 400 Bad Request\r\n"),
        Kind.CONNECTION,
        True,
    ),
    "pool exhausted": (exhausted, Kind.THROTTLED, False),
    "blocking pool exhausted": (
        lambda package: exhausted(package, pool="BlockingConnectionPool", timeout=0),
        Kind.THROTTLED,
        False,
    ),
    "OOM in a pipeline": (
        lambda package: pipeline(package, b"-OOM command not allowed\r\n", transaction=False),
        Kind.UNAVAILABLE,
        True,
    ),
    "NOREPLICAS in a pipeline": (
        lambda package: pipeline(package, b"-NOREPLICAS Not enough good replicas\r\n", transaction=False),
        Kind.UNAVAILABLE,
        True,
    ),
    "OOM in a transaction": (
        lambda package: pipeline(package, _QUEUE_OOM, transaction=True),
        Kind.UNAVAILABLE,
        False,
    ),
    "transaction overtaken (WATCH)": (
        lambda package: pipeline(package, b"+OK\r\n+QUEUED\r\n" + _NOTHING[package], transaction=True),
        Kind.CALLER,
        True,
    ),
    "lock not owned": (_unowned_lock, Kind.CALLER, True),
    "misuse of the client": (
        lambda package: caught(lambda: client(package, lambda: ScriptedSocket(b"")).set("k", object())),
        Kind.CALLER,
        True,
    ),
    "no primary known to Sentinel": (
        lambda package: made(package, "MasterNotFoundError", "No master found for 'm'", module="sentinel"),
        Kind.UNAVAILABLE,
        False,
    ),
    "cluster slot not covered": (
        lambda package: made(package, "SlotNotCoveredError", 'Slot "1" is not covered by the cluster.'),
        Kind.UNAVAILABLE,
        False,
    ),
    "cluster redirects too often": (
        lambda package: made(package, "ClusterError", "TTL exhausted."),
        Kind.UNAVAILABLE,
        True,
    ),
    "no cluster node answers in time": (
        lambda package: made(
            package, f"{package.capitalize()}ClusterException", "Cluster cannot be connected", cause=True
        ),
        Kind.TIMEOUT,
        False,
    ),
}


def _answered(package: str, answer: bytes) -> BaseException:
    return failing_command(package, b"-" + answer + b"\r\n")


def _rows(package: str) -> list[Situation]:
    valkey = EnumInfraTransportType.VALKEY
    return [
        *(
            Situation(package, name, partial(make, package), kind, sent, valkey)
            for name, (make, kind, sent) in _CLIENT_SIDE.items()
        ),
        *(
            Situation(package, name, partial(_answered, package, answer), kind, sent=False, transport=valkey)
            for name, (answer, kind) in ANSWERS.items()
        ),
        *(
            Situation(package, name, partial(_answered, package, answer), Kind.CALLER, sent, valkey)
            for name, (answer, sent) in CALLER_ANSWERS.items()
        ),
    ]


SITUATIONS: list[Situation] = [row for package in PACKAGES for row in _rows(package)]
