"""`onex-resilience classify`: what a failure is to the policies, and which rule says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from omnibase_infra.cli.command_parser import CommandParser
from omnibase_infra.enums import EnumFailureKind, EnumInfraTransportType
from omnibase_infra.infrastructure.resilience.rules.backoff import RETRIED
from omnibase_infra.infrastructure.resilience.rules.circuit import COUNTED
from omnibase_infra.infrastructure.resilience.translate import translate
from omnibase_infra.infrastructure.resilience.transports import Failure, failure_of, is_known_driver
from omnibase_infra.utils.util_sanitize import sanitize

_LAST_LINE: Final = re.compile(r"^(?P<path>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$", re.MULTILINE)
_NOT_EXCEPTIONS: Final = ("Traceback", "During", "The")


def main(arguments: Sequence[str]) -> int:
    """Classify a class, or the exception that a traceback on standard input ends with."""
    parser = CommandParser(
        prog="onex-resilience classify",
        description="Say what an exception is to the policies: its kind, whether it is retried and counted, the error "
        "it becomes, and the rule that decided.",
    )
    parser.add_argument(
        "exception", nargs="?", metavar="module:Class", help="an exception class; without it, a traceback is read"
    )
    parser.add_argument(
        "--transport", choices=[str(transport) for transport in EnumInfraTransportType], help="transport of the call"
    )
    options = parser.parse_args(arguments)
    given: str | None = options.exception
    if given is None:
        if sys.stdin.isatty():
            parser.error("give an exception as module:Class, or a traceback on standard input")
        exc = _from_traceback(sys.stdin.read())
        if exc is None:
            parser.error("standard input holds no traceback: its last line must name an exception")
    else:
        module, colon, name = given.partition(":")
        if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            parser.error("an exception is given as module:Class, such as asyncpg.exceptions:TooManyConnectionsError")
        if _imported(module, name) is None and not is_known_driver(module):
            parser.error("no such exception can be imported here; an exception is given as module:Class")
        exc = _instance(module, name, text="")
    transport = EnumInfraTransportType(options.transport) if options.transport else None
    for label, text in describe(exc, transport).items():
        print(f"{label:<12}{text}")
    return 0


def describe(exc: BaseException, transport: EnumInfraTransportType | None = None) -> dict[str, str]:
    """What the policies make of an exception, in words."""
    failure = failure_of(exc, transport)
    becomes = translate(exc, transport=transport)
    cls = type(exc)
    return {
        "exception": f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins."),
        "text": sanitize(str(exc.args[0])) if exc.args and exc.args[0] else "",
        "kind": str(failure.kind),
        "retried": retried(failure),
        "counted": counted(failure.kind),
        "becomes": "passes through as it is" if becomes is exc else type(becomes).__name__,
        "decided by": failure.decided_by,
    }


def retried(failure: Failure) -> str:
    """Whether the retry tries again."""
    if failure.kind not in RETRIED:
        return "no"
    if failure.retry_forbidden:
        return "no, says the server"
    return "yes, after the server's hint" if failure.kind is EnumFailureKind.THROTTLED else "yes"


def counted(kind: EnumFailureKind) -> str:
    """Whether the circuit breaker counts the failure."""
    if kind is EnumFailureKind.THROTTLED:
        return "only in the rate window; fails a probe"
    return "yes" if kind in COUNTED else "no"


def _from_traceback(text: str) -> BaseException | None:
    """Rebuild the exception that a traceback ends with: the last line at the margin that names one."""
    for match in reversed(list(_LAST_LINE.finditer(text))):
        if not match["path"].startswith(_NOT_EXCEPTIONS):
            module, _, name = match["path"].rpartition(".")
            # A traceback may come from anywhere: it must not choose what is imported here.
            known = not module or is_known_driver(module)
            return _instance(module or "builtins", name, match["text"] or "", imports=known)
    return None


def _instance(module: str, name: str, text: str, *, imports: bool = True) -> BaseException:
    cls = _imported(module, name) if imports else None
    if cls is None:
        # A driver that is not installed here is known by the names of its classes all the same.
        cls = type(name, (Exception,), {"__module__": module})
    exc = cls.__new__(cls)  # not called: drivers' constructors want things that a traceback does not show
    exc.args = (text,) if text else ()
    return exc


def _imported(module: str, name: str) -> type[BaseException] | None:
    try:
        found: object = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
