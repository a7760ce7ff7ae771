"""redis-py and valkey-py: the server's error code where it answered, the class where only the client spoke.

No answer of these servers carries a hint when to come back.
"""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.classify import failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.traceback_frames import frames_of

_CODE_OF_CLASS: Final = {
    "AskError": "ASK",
    "BusyLoadingError": "LOADING",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "ExecAbortError": "EXECABORT",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}
"""Classes that stand for one code: with these, redis-py and valkey-py take the code off the text."""

_KIND_OF_CODE: Final = {
    "ASK": Kind.CALLER,  # a redirection: the client is not made for a cluster
    "BUSY": Kind.UNAVAILABLE,  # a script runs too long
    "BUSYGROUP": Kind.CALLER,
    "BUSYKEY": Kind.CALLER,
    "CLUSTERDOWN": Kind.UNAVAILABLE,
    "CROSSSLOT": Kind.CALLER,
    "DENIED": Kind.AUTHENTICATION,  # protected mode: no password set, and we are no local client
    "EXECABORT": Kind.CALLER,
    "LOADING": Kind.UNAVAILABLE,  # starting up
    "MASTERDOWN": Kind.UNAVAILABLE,  # a replica that lost its primary
    "MISCONF": Kind.UNAVAILABLE,  # cannot save to disk
    "MOVED": Kind.CALLER,  # as ASK
    "NOAUTH": Kind.AUTHENTICATION,
    "NOPERM": Kind.AUTHENTICATION,
    "NOREPLICAS": Kind.UNAVAILABLE,
    "NOSCRIPT": Kind.CALLER,
    "OOM": Kind.UNAVAILABLE,
    "READONLY": Kind.UNAVAILABLE,  # a fail-over left us on a replica
    "TRYAGAIN": Kind.UNAVAILABLE,  # keys on the move between cluster nodes
    "UNBLOCKED": Kind.UNAVAILABLE,  # the server changed its role while the command waited
    "WRONGPASS": Kind.AUTHENTICATION,
    "WRONGTYPE": Kind.CALLER,
}

_KIND_OF_CLASS: Final = {
    "AuthenticationError": Kind.AUTHENTICATION,
    "AuthenticationWrongNumberOfArgsError": Kind.AUTHENTICATION,
    "AuthorizationError": Kind.AUTHENTICATION,
    "ClusterError": Kind.UNAVAILABLE,  # redirected until the client gave up
    "ConnectionError": Kind.CONNECTION,
    "ExternalAuthProviderError": Kind.UNAVAILABLE,  # not the password: the service that would check it
    "InitialHealthCheckFailedError": Kind.UNAVAILABLE,
    "InvalidResponse": Kind.CONNECTION,  # what answers does not speak the protocol, or the stream is out of step
    "MasterNotFoundError": Kind.UNAVAILABLE,  # Sentinel knows no primary at the moment
    "MaxConnectionsError": Kind.THROTTLED,
    "NoValidDatabaseException": Kind.UNAVAILABLE,
    "SlaveNotFoundError": Kind.UNAVAILABLE,
    "SlotNotCoveredError": Kind.UNAVAILABLE,
    "TemporaryUnavailableException": Kind.UNAVAILABLE,
    "TimeoutError": Kind.TIMEOUT,
}

_NEVER_SENT: Final = (
    "AuthenticationError",
    "AuthenticationWrongNumberOfArgsError",
    "AuthorizationError",
    "ExternalAuthProviderError",
    "MasterNotFoundError",
    "MaxConnectionsError",
    "SlaveNotFoundError",
    "SlotNotCoveredError",
)

_TOO_MANY: Final = (
    "max number of clients reached",  # the server's
    "Too many connections",  # a pool of valkey-py
    "No connection available.",  # a blocking pool
)
"""The whole texts of a plain ConnectionError about too many connections: the class and its attributes say nothing."""

_BEFORE_SENDING: Final = ("connect", "get_connection")
_PARTIAL_CLUSTER: Final = ("All slots are not covered", "No primary nodes found", "startup_nodes could not agree")


def classify(exc: BaseException, names: tuple[str, ...]) -> Failure | None:
    """Classify an exception of redis-py or valkey-py; `names` are the class names along its MRO."""
    name = names[0]
    text = str(exc.args[0]) if exc.args else ""
    if name in ("RedisClusterException", "ValkeyClusterException"):
        return _cluster(exc, name, text)
    for base in names:
        # The most derived class first: AuthenticationError, BusyLoadingError and others are ConnectionErrors too.
        if base in _CODE_OF_CLASS:
            return _answered(exc, name, _CODE_OF_CLASS[base], text)
        if base == "ResponseError":
            # The only place of a code for which the client has no class.
            code = _command_s_own(text).partition(" ")[0]
            if code in _KIND_OF_CODE:
                return _answered(exc, name, code, text)
        elif base in _KIND_OF_CLASS:
            return _of_client(exc, name, base, text)
    return Failure(Kind.CALLER, f"redis/valkey {name}: misuse of the client or of a command")


def _answered(exc: BaseException, name: str, code: str, text: str) -> Failure:
    # The server refuses before it executes, but in a pipeline and in a script other commands may have run before.
    # Nothing but the text tells; a transaction that the server discarded (EXECABORT) had no effect as a whole.
    partly = text.startswith("Command # ") or "@user_" in text
    aborted = type(exc.__cause__ or exc.__context__).__name__ == "ExecAbortError"
    return Failure(_KIND_OF_CODE[code], f"redis/valkey {name}: code {code}", code, sent=partly and not aborted)


def _of_client(exc: BaseException, name: str, base: str, text: str) -> Failure:
    if base == "ConnectionError":
        if text in _TOO_MANY:
            return Failure(Kind.THROTTLED, f"redis/valkey {name}: its text, too many connections", sent=False)
        if type(exc.__context__).__name__ == "SSLCertVerificationError":
            return Failure(Kind.CALLER, f"redis/valkey {name}: hides an SSLCertVerificationError", sent=False)
    sent = base not in _NEVER_SENT and not _connecting(exc)
    rule = f"redis/valkey {name}: the class {base}"
    return Failure(_KIND_OF_CLASS[base], rule, sent=sent, client_attempts=_attempts(exc))


def _cluster(exc: BaseException, name: str, text: str) -> Failure:
    """One class for a cluster that cannot be reached, one with holes, and for misuse."""
    if exc.__cause__ is not None:
        return failure_of(exc.__cause__)
    # No code and no class of its own: only the text tells.
    kind = Kind.UNAVAILABLE if text.startswith(_PARTIAL_CLUSTER) else Kind.CALLER
    return Failure(kind, f"redis/valkey {name}: its text")


def _command_s_own(text: str) -> str:
    """The server's answer to a command; a pipeline puts its own words before it, asyncio's also a tuple's bracket."""
    if not text.startswith("Command # "):
        return text
    return text.partition(" of pipeline caused error: ")[2].lstrip("('\"")


def _attempts(exc: BaseException) -> int:
    """How often the client has tried, at least; its loop of retries counts the failures.

    Of a connection that was not made the loop stands behind the socket's error, from which the client made its own.
    """
    counts = (
        frame.f_locals.get("failures")
        for error in (exc, exc.__context__)
        if error is not None
        for package in ("redis", "valkey")
        for frame in frames_of(error, package)
        if frame.f_code.co_name == "call_with_retry"
    )
    return max((count for count in counts if isinstance(count, int)), default=1) or 1


def _connecting(exc: BaseException) -> bool:
    """Whether it failed before there was a connection to send on, which only the traceback tells.

    A connection that is made again below `send_packed_command` may follow a try of the client's own, as may any in a
    client that chooses among several servers.
    """
    connecting = sending = False
    frame = exc.__traceback__
    while frame is not None:
        module = str(frame.tb_frame.f_globals.get("__name__"))
        if module.startswith(("redis.", "valkey.")):
            if "cluster" in module or "multidb" in module:
                return False
            function = frame.tb_frame.f_code.co_name
            sending = sending or (function == "send_packed_command" and not connecting)
            connecting = connecting or (function in _BEFORE_SENDING and not sending)
        frame = frame.tb_next
    return connecting
