"""What libpq says when it could not connect, for the drivers that are built on it."""

from __future__ import annotations

from typing import Final

from omnibase_infra.enums import EnumFailureKind as Kind

# The server's SQLSTATE does not survive a failed connect: libpq keeps only the text. Where client and server speak
# another language none of these is found, and the failure is one of the connection, which is retried.
_WHILE_CONNECTING: Final = (
    (
        Kind.AUTHENTICATION,
        (
            "authentication failed for user",  # password, peer, ident, LDAP, certificate …
            "no password supplied",
            "no pg_hba.conf entry",
            "permission denied for database",
            'FATAL:  role "',  # … does not exist, is not permitted to log in
        ),
    ),
    (Kind.THROTTLED, ("too many clients", "too many connections", "remaining connection slots")),
    (
        Kind.UNAVAILABLE,
        (
            "the database system is",  # … starting up, shutting down, in recovery mode, not accepting connections
            "not currently accepting connections",
            "session is read-only",
            "session is not read-only",
            "server is in hot standby mode",
            "server is not in hot standby mode",
        ),
    ),
    (Kind.TIMEOUT, ("timeout expired",)),
    (
        Kind.CALLER,
        (
            "does not exist",  # the database
            "server does not support SSL",
            "certificate verify failed",
        ),
    ),
)


def kind_while_connecting(text: str) -> Kind | None:
    """The failure kind of a connection that was not made; None when nothing in the text is known."""
    for kind, fragments in _WHILE_CONNECTING:
        if any(fragment in text for fragment in fragments):
            return kind
    return None
