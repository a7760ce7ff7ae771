"""The one vocabulary in which policies hear about failures."""

from enum import StrEnum


class EnumFailureKind(StrEnum):
    """What a failure means to a policy, whatever the driver called it."""

    CONNECTION = "connection"
    """Refused, reset, unresolvable, server gone."""
    TIMEOUT = "timeout"
    """No answer in time."""
    UNAVAILABLE = "unavailable"
    """The server answered that it cannot serve now."""
    THROTTLED = "throttled"
    """The server answered that this caller asks too much."""
    AUTHENTICATION = "authentication"
    """The credentials were refused."""
    CALLER = "caller"
    """The request itself is at fault; another try would fail alike."""
    REJECTED = "rejected"
    """One of our own policies refused the call before it was made."""
    ABANDONED = "abandoned"
    """The caller gave the call up: cancelled, interrupted, closed."""
