"""What an HTTP status is to us, whichever client reports it."""

from __future__ import annotations

from collections.abc import Callable

from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport

SECRET_URL = "http://alice:S3CR3T@api.example.com/v1/orders?api_key=S3CR3T"

RETRY_AFTER = {"Retry-After": "7"}

STATUSES: list[tuple[int, dict[str, str], Kind, bool]] = [
    (400, {}, Kind.CALLER, True),
    (401, {}, Kind.AUTHENTICATION, False),
    (403, {}, Kind.AUTHENTICATION, False),
    (404, {}, Kind.CALLER, True),
    (408, {}, Kind.TIMEOUT, True),
    (409, {}, Kind.CALLER, True),
    (413, {}, Kind.CALLER, True),
    (421, {}, Kind.CALLER, True),
    (425, {}, Kind.UNAVAILABLE, False),
    (429, {}, Kind.THROTTLED, False),
    (429, RETRY_AFTER, Kind.THROTTLED, False),
    (500, {}, Kind.UNAVAILABLE, True),
    (501, {}, Kind.CALLER, True),
    (502, {}, Kind.UNAVAILABLE, True),
    (503, {}, Kind.UNAVAILABLE, True),
    (503, RETRY_AFTER, Kind.UNAVAILABLE, False),
    (504, {}, Kind.UNAVAILABLE, True),
    (505, {}, Kind.CALLER, True),
    (507, {}, Kind.CALLER, True),
]


def status_rows(driver: str, make: Callable[[int, dict[str, str]], BaseException]) -> list[Situation]:
    """A row for each status, with the exception that `make` builds of status and headers."""
    return [
        Situation(
            driver,
            f"HTTP {status} with Retry-After" if headers else f"HTTP {status}",
            lambda status=status, headers=headers: make(status, headers),
            kind,
            sent,
            Transport.HTTP,
        )
        for status, headers, kind, sent in STATUSES
    ]
