"""PostgreSQL's SQLSTATE codes in our words, for every driver that reports them.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

import re
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


_ENDS: Final = re.compile(r"\s*(?:commit|rollback|end|abort)\b(?!\s+(?:work\s+|transaction\s+)?to\b)", re.IGNORECASE)


def ends_transaction(sql: str, *_arguments: object, **_settings: object) -> bool:
    """Whether a statement ends a transaction: COMMIT, ROLLBACK and their synonyms, not ROLLBACK TO a savepoint.

    Made for ``create_database_circuit_breaker(exempt=ends_transaction)`` on a function whose first argument is the SQL:
    a transaction that is under way when the circuit opens can still end, and gives its locks and its connection back.
    """
    return _ENDS.match(sql) is not None


def kind_of_sqlstate(code: str, text: str) -> Kind:
    """The failure kind of an SQLSTATE; `text` is the server's message, read only where the code is ambiguous."""
    if code == "57014" and "user request" in text:
        return Kind.CALLER
    if code == "55P03" and "timeout" in text:
        return Kind.TIMEOUT
    return _BY_CODE.get(code) or _BY_CLASS.get(code[:2], Kind.CALLER)


_IN_DOUBT: Final = {
    "40003",  # statement completion unknown
    "57P01",  # admin shutdown: a COMMIT that waits for its standbys is already durable here
    "57P02",
}

_IN_DOUBT_CLASSES: Final = (
    "08",  # the connection went, the answer with it
    "58",  # outside PostgreSQL: poolers report a lost server with it
    "XX",
)

_NEVER_CONNECTED: Final = ("08001", "08004")


def may_have_taken_effect(code: str) -> bool:
    """Whether the failed statement may stand all the same.

    A statement that PostgreSQL answers with an error is rolled back; only where the server, or a pooler in front of it,
    went away is its fate unknown.
    """
    return code in _IN_DOUBT or (code.startswith(_IN_DOUBT_CLASSES) and code not in _NEVER_CONNECTED)
