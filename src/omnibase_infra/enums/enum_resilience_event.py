"""What observers can hear."""

from enum import StrEnum


class EnumResilienceEvent(StrEnum):
    """The kind of a resilience event."""

    RETRY = "retry"
    """An attempt failed and another follows after a wait."""
    RETRY_GAVE_UP = "retry_gave_up"
    """An attempt failed and none follows."""
    CIRCUIT_STATE = "circuit_state"
    """A circuit moved from one state to another."""
    REJECTED = "rejected"
    """A policy refused a call before it was made."""
    TIMED_OUT = "timed_out"
    """A call took longer than a timeout allows."""
    FALLBACK_USED = "fallback_used"
    """A failed call was answered from elsewhere: by a fallback, or with a stale value."""
    CREDENTIAL_REFRESHED = "credential_refreshed"
    """A credential was replaced."""
    SHARED_STATE_LOST = "shared_state_lost"
    """The store that processes share cannot be reached: each goes on alone."""
    SHARED_STATE_BACK = "shared_state_back"
    """The store can be reached again."""
    HEDGED = "hedged"
    """A call took long, and another attempt was sent beside it."""
