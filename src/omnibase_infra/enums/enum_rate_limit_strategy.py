"""How a rate limit is counted."""

from enum import StrEnum


class EnumRateLimitStrategy(StrEnum):
    """A token bucket, or one of the windows of `limits`, which need a store."""

    TOKEN_BUCKET = "token-bucket"  # noqa: S105
    """Refills steadily, lets bursts of its capacity through, and can have calls wait in order."""
    FIXED_WINDOW = "fixed-window"
    """Counts from full window to full window: around a border up to twice the limit passes."""
    MOVING_WINDOW = "moving-window"
    """Keeps the time of every call."""
    SLIDING_WINDOW = "sliding-window"
    """Weighs the counts of two windows: an estimate, in little memory."""
