"""Kafka's error codes in our words, for every client that reports them.

Source: Apache Kafka protocol guide, section "Error Codes"; which class an authentication error is, the exceptions of
Apache Kafka's own client. A code that is not listed here is the caller's.
"""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

_REFUSED: Final = {
    3: Kind.UNAVAILABLE,  # unknown topic or partition: metadata lags behind its creation
    5: Kind.UNAVAILABLE,  # leader not available: an election is going on
    14: Kind.UNAVAILABLE,  # coordinator load in progress
    19: Kind.UNAVAILABLE,  # not enough replicas
    22: Kind.UNAVAILABLE,  # illegal generation: the group has rebalanced, rejoin and read again
    25: Kind.UNAVAILABLE,  # unknown member id: likewise
    27: Kind.UNAVAILABLE,  # rebalance in progress: likewise
    29: Kind.AUTHENTICATION,  # topic authorization failed
    30: Kind.AUTHENTICATION,  # group authorization failed
    31: Kind.AUTHENTICATION,  # cluster authorization failed
    33: Kind.AUTHENTICATION,  # unsupported SASL mechanism
    34: Kind.AUTHENTICATION,  # illegal SASL state
    51: Kind.UNAVAILABLE,  # concurrent transactions: the one before is still being completed
    53: Kind.AUTHENTICATION,  # transactional id authorization failed
    58: Kind.AUTHENTICATION,  # SASL authentication failed
    65: Kind.AUTHENTICATION,  # delegation token authorization failed
    66: Kind.AUTHENTICATION,  # delegation token expired
    70: Kind.UNAVAILABLE,  # fetch session id not found
    71: Kind.UNAVAILABLE,  # invalid fetch session epoch
    72: Kind.UNAVAILABLE,  # listener not found
    74: Kind.UNAVAILABLE,  # fenced leader epoch: the client's metadata is old
    75: Kind.UNAVAILABLE,  # unknown leader epoch: the broker's is
    78: Kind.UNAVAILABLE,  # offset not available
    80: Kind.UNAVAILABLE,  # preferred leader not available
    83: Kind.UNAVAILABLE,  # eligible leaders not available
    88: Kind.UNAVAILABLE,  # unstable offset commit
    89: Kind.THROTTLED,  # throttling quota exceeded
    100: Kind.UNAVAILABLE,  # unknown topic id
    103: Kind.UNAVAILABLE,  # inconsistent topic id
    106: Kind.UNAVAILABLE,  # fetch session topic id error
    110: Kind.UNAVAILABLE,  # fenced member epoch: as illegal generation
    113: Kind.UNAVAILABLE,  # stale member epoch: likewise
    122: Kind.UNAVAILABLE,  # share session not found
    123: Kind.UNAVAILABLE,  # invalid share session epoch
    133: Kind.THROTTLED,  # share session limit reached
}
"""The broker said no before it did anything."""

_PERHAPS: Final = {
    6: Kind.UNAVAILABLE,  # not leader: also what waits for replicas is told when the leadership moves
    7: Kind.TIMEOUT,  # request timed out
    8: Kind.UNAVAILABLE,  # broker not available
    9: Kind.UNAVAILABLE,  # replica not available
    13: Kind.CONNECTION,  # network exception: disconnected before the answer came
    15: Kind.UNAVAILABLE,  # coordinator not available: also for a commit that was written by too few replicas
    16: Kind.UNAVAILABLE,  # not coordinator: also for a commit that waited when the coordinator moved
    20: Kind.UNAVAILABLE,  # not enough replicas after append
    41: Kind.UNAVAILABLE,  # not controller: also for what waited when the controller moved
    56: Kind.UNAVAILABLE,  # storage error
    120: Kind.UNAVAILABLE,  # transaction abortable: the whole transaction must run again
}
"""The broker may have carried out the request, or a part of it."""


def failure_of_code(code: int, decided_by: str, *, retriable: bool = False) -> Failure:
    """The finding for a code that a broker answered.

    Args:
        code: Kafka's error code.
        decided_by: The rule's name.
        retriable: Whether the client itself would retry; heard only for codes that are not known here.
    """
    kind = _REFUSED.get(code)
    sent = kind is None
    if kind is None:
        kind = _PERHAPS.get(code, Kind.UNAVAILABLE if retriable else Kind.CALLER)
    return Failure(kind, decided_by, str(code), sent=sent)
