"""PostgreSQL's SQLSTATE codes in our words, for every driver that reports them.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind

_BY_CODE: Final = {
    "25006": Kind.UNAVAILABLE,  # read-only transaction: a fail-over left us on a replica
    "25P03": Kind.CONNECTION,  # idle-in-transaction time-out: the server hung up
    "25P04": Kind.TIMEOUT,  # transaction time-out: the server hung up
    "40001": Kind.UNAVAILABLE,  # serialization failure: the transaction must run again
    "40P01": Kind.UNAVAILABLE,  # deadlock: likewise
    "42501": Kind.AUTHENTICATION,  # insufficient privilege
    "53300": Kind.THROTTLED,  # too many connections
    "53400": Kind.CALLER,  # a limit set for this very query
    "55P03": Kind.UNAVAILABLE,  # lock not available
    "57014": Kind.TIMEOUT,  # query cancelled, by the statement time-out unless the text says otherwise
    "57P01": Kind.UNAVAILABLE,  # admin shutdown
    "57P02": Kind.UNAVAILABLE,  # crash shutdown
    "57P03": Kind.UNAVAILABLE,  # cannot connect now: starting up, shutting down, in recovery
    "57P05": Kind.CONNECTION,  # idle session time-out: the server hung up
}

_BY_CLASS: Final = {
    "08": Kind.CONNECTION,
    "28": Kind.AUTHENTICATION,
    "53": Kind.UNAVAILABLE,  # insufficient resources: disk, memory
    "58": Kind.UNAVAILABLE,  # system error outside PostgreSQL
}


def kind_of_sqlstate(code: str, text: str) -> Kind:
    """The failure kind of an SQLSTATE; `text` is the server's message, read only where the code is ambiguous."""
    if code == "57014" and "user request" in text:
        return Kind.CALLER
    if code == "55P03" and "timeout" in text:
        return Kind.TIMEOUT
    return _BY_CODE.get(code) or _BY_CLASS.get(code[:2], Kind.CALLER)
