"""What a shared policy does while its store is out of reach."""

from enum import StrEnum


class EnumOnStoreFailure(StrEnum):
    """Go on with this worker's share, let every call pass, or reject every call."""

    LOCAL = "local"
    OPEN = "open"
    CLOSED = "closed"
