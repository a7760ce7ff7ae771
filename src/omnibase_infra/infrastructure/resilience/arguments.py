"""Checks of the policies' arguments that no settings model holds: one sentence for all of them."""

from __future__ import annotations

from math import inf
from typing import Final

from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.utils.util_show_value import show_value

FOREVER: Final = 4_294_967.0
"""Seconds beyond which a wait is one for ever; some operating systems refuse to wait for longer."""


def refused(parameter: str, value: object, allowed: str) -> ProtocolConfigurationError:
    """The error about a value that is not allowed; text is never shown."""
    return ProtocolConfigurationError(f"{parameter} = {show_value(value)}: must be {allowed}", parameter=parameter)


def require(kind: type, allowed: str, **given: object) -> None:
    """Refuse what is neither None nor of this kind.

    Raises:
        ProtocolConfigurationError: Naming the parameter.
    """
    for parameter, value in given.items():
        if value is not None and not isinstance(value, kind):
            raise refused(parameter, value, allowed)


def require_callable(allowed: str = "a function", **given: object) -> None:
    """Refuse what is neither None nor callable, and classes, which are callable but rarely meant.

    Raises:
        ProtocolConfigurationError: Naming the parameter.
    """
    for parameter, value in given.items():
        if value is not None and (isinstance(value, type) or not callable(value)):
            raise refused(parameter, value, allowed)


def require_flag(**given: object) -> None:
    """Refuse what is not a bool.

    Raises:
        ProtocolConfigurationError: Naming the parameter.
    """
    for parameter, value in given.items():
        if not isinstance(value, bool):
            raise refused(parameter, value, "true or false")


def checked_count(parameter: str, value: object) -> int:
    """A whole number of things, 1 or more.

    Raises:
        ProtocolConfigurationError: When it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refused(parameter, value, "a whole number, 1 or more")
    return value


def checked_name(name: object, parameter: str = "name") -> str | None:
    """The name, sanitised, for it is shown in errors; None stays None.

    Raises:
        ProtocolConfigurationError: When it is not text, or blank.
    """
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip():
        raise refused(parameter, name, "text that is not blank, or None")
    from omnibase_infra.utils.util_sanitize import sanitize

    return sanitize(name)


def checked_seconds(parameter: str, value: object, *, zero: bool = True) -> float | None:
    """A number of seconds, None when it is None or endless.

    Raises:
        ProtocolConfigurationError: When it is something else, NaN or negative, or 0 where `zero` is not allowed.
    """
    if value is None:
        return None
    usable = (
        isinstance(value, int | float) and not isinstance(value, bool) and (0 < value <= inf or (zero and not value))
    )
    if not usable or not isinstance(value, int | float):
        raise refused(parameter, value, f"a number of seconds, {'0 or more' if zero else 'above 0'}, or None")
    return value if value < FOREVER else None
