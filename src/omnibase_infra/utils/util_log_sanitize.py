"""Secrets out of log records and structlog events, tracebacks of foreign exceptions included."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from itertools import groupby
from types import TracebackType
from typing import Final, TypeAlias, cast

from omnibase_infra.utils.util_sanitize import MASK, sanitize, sanitize_value

_Args: TypeAlias = "tuple[object, ...] | Mapping[str, object] | None"
_ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"

_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TRACEBACKS: Final = logging.Formatter()
_PARTS_OF_EXC_INFO: Final = 3
_SHOWN_CLEAN: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset, BaseException)
_GROUP_MARGIN: Final = re.compile(r"(?: {2})+\| ")


class SanitizingFilter(logging.Filter):
    """Cleans each record on its way: the message, the traceback with its whole chain, and what came as ``extra``.

    Put it on a handler, where it sees every record that the handler gets; on a logger it sees only what is logged
    through that very logger, not through its children. The record itself is changed, for the handlers that come later
    too; exceptions, arguments and containers are left as they are. A clean message keeps its template and arguments.
    The traceback becomes text in the standard form: ``exc_info`` is gone, ``exc_text`` holds it.

    It lets every record pass and never raises. What cannot be formatted is named by its class.

    Args:
        allow_internal_ips: Leave internal IP addresses in the text.
    """

    def __init__(self, *, allow_internal_ips: bool = False) -> None:
        super().__init__()
        self._allow_internal_ips = allow_internal_ips

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record in place."""
        fields = vars(record)
        fields["msg"], fields["args"] = self._message(record)
        if "message" in fields:  # left behind by a formatter that came before
            fields["message"] = self._text(fields["message"])
        trace = fields.get("exc_text") or _traceback(fields.get("exc_info"))
        fields["exc_info"], fields["exc_text"] = None, trace and self._trace(trace)
        if fields.get("stack_info"):
            fields["stack_info"] = self._trace(fields["stack_info"])
        for key in fields.keys() - _OWN_FIELDS:
            fields[key] = self._extra(key, fields[key])
        return True

    def _message(self, record: logging.LogRecord) -> tuple[object, _Args]:
        msg = cast("object", record.msg)
        args: _Args = record.args
        if not args and isinstance(msg, dict):  # an event of structlog or of a JSON formatter
            return _event(cast("dict[str, object]", msg), self._extra, self._trace), args
        try:
            if args and isinstance(msg, str):
                cleaned = self._arguments(args)
                if cleaned and self._is_clean(msg % cleaned):
                    return msg, cleaned
            return sanitize(record.getMessage(), allow_internal_ips=self._allow_internal_ips), ()
        except Exception as broken:
            return f"{self._text(msg)} (could not be formatted: {type(broken).__name__})", ()

    def _arguments(self, args: _Args) -> _Args:
        """Each argument cleaned on its own, since some formatters read them; None unless all are plain."""
        values = args.values() if isinstance(args, Mapping) else args
        if values is None or not all(isinstance(value, str | int | float | None) for value in values):
            return None
        if isinstance(args, Mapping):
            return {key: self._extra(key, value) for key, value in args.items()}
        return tuple(self._extra("", value) for value in values)

    def _extra(self, key: str, value: object) -> object:
        """What a handler may show of one extra: an object stays itself as long as its texts hold no secret."""
        try:
            cleaned = _value(key, value, allow_internal_ips=self._allow_internal_ips)
            if cleaned == MASK or (cleaned != value and issubclass(type(value), _SHOWN_CLEAN)):
                return cleaned
            if cleaned == value:
                return value
            if self._is_clean(str(value)) and self._is_clean(repr(value)):
                return value
            return self._text(value)
        except Exception:
            return type(value).__name__

    def _is_clean(self, text: str) -> bool:
        return sanitize(text, allow_internal_ips=self._allow_internal_ips) == text

    def _text(self, value: object) -> str:
        return _text(value, allow_internal_ips=self._allow_internal_ips)

    def _trace(self, text: object) -> str:
        return _trace(text, allow_internal_ips=self._allow_internal_ips)


def sanitize_processor(
    logger: object,  # noqa: ARG001 - structlog's signature
    method_name: str,  # noqa: ARG001
    event_dict: MutableMapping[str, object],
) -> MutableMapping[str, object]:
    """Structlog processor that cleans an event: every value by its key, as `sanitize_value` does.

    Put it directly before the renderer. ``exc_info`` becomes the traceback in ``exception``, with its whole chain, and
    an exception given as a value its class and cleaned text. It never raises, and changes no value in place.
    """
    cleaned = _event(event_dict, _value, _trace)
    event_dict.clear()
    event_dict.update(cleaned)
    return event_dict


def _event(
    event: Mapping[str, object], value_of: Callable[[str, object], object], trace_of: Callable[[object], str]
) -> dict[str, object]:
    cleaned: dict[str, object] = {}
    trace = None
    for key, value in event.items():
        if key == "exc_info":
            known = not value or issubclass(type(value), tuple | BaseException)
            trace = _traceback(value if known else sys.exc_info()[1])
        elif key == "exception" and isinstance(value, str):
            cleaned[key] = trace_of(value)
        else:
            cleaned[key] = value_of(key, value)
    if trace:
        cleaned["exception"] = trace_of(trace)
    return cleaned


def _value(key: str, value: object, *, allow_internal_ips: bool = False) -> object:
    try:
        if isinstance(value, BaseException):
            value = f"{type(value).__name__}: {value}"
        return sanitize_value(key, value, allow_internal_ips=allow_internal_ips)
    except Exception:
        return type(value).__name__


def _text(value: object, *, allow_internal_ips: bool) -> str:
    try:
        return sanitize(str(value), allow_internal_ips=allow_internal_ips)
    except Exception:
        return type(value).__name__


def _trace(text: object, *, allow_internal_ips: bool = False) -> str:
    """A formatted traceback without its secrets; the margins of an exception group hide where a line begins."""
    shown = str(text)
    if " | " in shown:
        lines = [(found[0] if (found := _GROUP_MARGIN.match(line)) else "", line) for line in shown.split("\n")]
        blocks: list[str] = []
        for margin, members in groupby(lines, key=lambda line: line[0]):
            block = "\n".join(line.removeprefix(margin) for _, line in members)
            blocks += (margin + line for line in sanitize(block, allow_internal_ips=allow_internal_ips).split("\n"))
        shown = "\n".join(blocks)
    return sanitize(shown, allow_internal_ips=allow_internal_ips)


def _traceback(exc_info: object) -> str | None:
    """The traceback as the standard library writes it; None when there is nothing to show."""
    if isinstance(exc_info, BaseException):
        exc_info = type(exc_info), exc_info, exc_info.__traceback__
    if not isinstance(exc_info, tuple) or len(cast("tuple[object, ...]", exc_info)) != _PARTS_OF_EXC_INFO:
        return None
    try:
        return _TRACEBACKS.formatException(cast("_ExcInfo", exc_info))
    except Exception as broken:
        name = type(cast("_ExcInfo", exc_info)[1]).__name__
        return f"{name} (its traceback could not be formatted: {type(broken).__name__})"
