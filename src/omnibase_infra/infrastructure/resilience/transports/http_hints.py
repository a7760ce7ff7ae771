"""What a server's headers say about when to come back.

Sources: RFC 9110, section 10.2.3, for Retry-After; draft-ietf-httpapi-ratelimit-headers for RateLimit-Reset.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_LONGEST_VALUE: Final = 64
_OLDEST_EPOCH: Final = 1e9
"""A reset beyond this is a point in time, not a distance: as a distance it would be thirty years."""
_OLDEST_EPOCH_IN_MILLISECONDS: Final = 1e11


def retry_after(
    headers: Mapping[str, str] | None, *, limited: bool = False, wall_clock: Callable[[], float] = time.time
) -> float | None:
    """Seconds until the server wants to be asked again, 0 or more; None when its headers do not say.

    Args:
        headers: The answer's headers, in any letter case.
        limited: The answer says that a rate limit is exceeded. Only then does the limit's reset mean anything: many
            servers send it with every answer.
        wall_clock: Seconds since the epoch, for a server that names a point in time and does not tell its own.
    """
    if not headers:
        return None
    values = {name.lower(): value.strip() for name, value in reversed(list(headers.items())) if _is_readable(value)}
    seconds = _number(values.get("retry-after"))
    moment = None if seconds is not None else _date(values.get("retry-after"))
    if limited and seconds is None and moment is None:
        seconds, moment = _reset(values)
    if moment is not None:
        # The server's own clock where it shows it: then it does not matter that ours goes differently.
        now = _date(values.get("date"))
        seconds = moment - (wall_clock() if now is None else now)
    return None if seconds is None else max(seconds, 0.0)


def _reset(values: dict[str, str]) -> tuple[float | None, float | None]:
    """The end of the rate limit's window: a distance in seconds, or a point in time in seconds since the epoch."""
    reset = _number(values.get("ratelimit-reset"))
    if reset is None:
        reset = _number(values.get("x-ratelimit-reset"))
    if reset is None or reset < _OLDEST_EPOCH:
        return reset, None
    return None, reset if reset < _OLDEST_EPOCH_IN_MILLISECONDS else reset / 1000


def _is_readable(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_VALUE


def _number(text: str | None) -> float | None:
    if text is None or not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if isfinite(number) else None


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
