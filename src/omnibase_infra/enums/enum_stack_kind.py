"""What guards a simulated call."""

from enum import StrEnum


class EnumStackKind(StrEnum):
    """The kind of stack that a simulated call goes through."""

    NAKED = "naked"
    """Nothing: the call as it is."""
    NAIVE = "naive"
    """tenacity over circuitbreaker, stacked by hand with the numbers of their documentation."""
    PRESET = "preset"
    """`create_<transport>_resilience()`, with whatever settings are given on top."""
