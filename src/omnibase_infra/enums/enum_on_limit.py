"""What a rate limiter does with a call beyond the limit."""

from enum import StrEnum


class EnumOnLimit(StrEnum):
    """Reject at once, or wait in order until a token is due."""

    REJECT = "reject"
    WAIT = "wait"
