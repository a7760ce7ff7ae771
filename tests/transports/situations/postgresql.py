"""What PostgreSQL itself reports, whichever driver it reports it to."""

from __future__ import annotations

from omnibase_infra.enums import EnumFailureKind as Kind

SECRET = "hunter2"

LOST = (
    "server closed the connection unexpectedly\n"
    "\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.\n"
)
"""libpq's words for a connection that went away."""

OUT_OF_STEP = f'message type 0x48 arrived from server while idle: "{SECRET}"'
"""libpq's words for an answer that is none."""

REPORTED: tuple[tuple[str, str, str, Kind], ...] = (
    ("statement time-out", "57014", "canceling statement due to statement timeout", Kind.TIMEOUT),
    ("cancelled by a user", "57014", "canceling statement due to user request", Kind.CALLER),
    ("lock time-out", "55P03", "canceling statement due to lock timeout", Kind.TIMEOUT),
    ("row locked, NOWAIT", "55P03", 'could not obtain lock on row in relation "t"', Kind.UNAVAILABLE),
    ("serialization failure", "40001", "could not serialize access due to concurrent update", Kind.UNAVAILABLE),
    ("deadlock", "40P01", "deadlock detected", Kind.UNAVAILABLE),
    ("read-only transaction", "25006", "cannot execute INSERT in a read-only transaction", Kind.UNAVAILABLE),
    ("disk full", "53100", "could not extend file: No space left on device", Kind.UNAVAILABLE),
    ("out of memory", "53200", "out of memory", Kind.UNAVAILABLE),
    ("temporary files over their limit", "53400", 'temporary file size exceeds "temp_file_limit"', Kind.CALLER),
    ("insufficient privilege", "42501", "permission denied for table t", Kind.AUTHENTICATION),
    ("unique violation", "23505", "duplicate key value violates unique constraint", Kind.CALLER),
    ("foreign key violation", "23503", "insert or update on table violates foreign key constraint", Kind.CALLER),
    ("syntax error", "42601", f'syntax error at or near "{SECRET}"', Kind.CALLER),
    ("unknown table", "42P01", 'relation "nope" does not exist', Kind.CALLER),
    ("division by zero", "22012", "division by zero", Kind.CALLER),
    ("invalid value", "22P02", f'invalid input syntax for type integer: "{SECRET}"', Kind.CALLER),
    ("failed transaction", "25P02", "current transaction is aborted", Kind.CALLER),
    ("stale cached plan", "0A000", "cached plan must not change result type", Kind.CALLER),
)
"""On a connection that stands: situation, SQLSTATE, message, kind. What is answered with an error had no effect."""

REPORTED_CONNECTING: tuple[tuple[str, str, str, Kind], ...] = (
    ("wrong password", "28P01", 'password authentication failed for user "svc"', Kind.AUTHENTICATION),
    ("role may not log in", "28000", 'role "svc" is not permitted to log in', Kind.AUTHENTICATION),
    ("not in pg_hba.conf", "28000", 'no pg_hba.conf entry for host "10.0.0.9", user "svc"', Kind.AUTHENTICATION),
    ("database not permitted", "42501", 'permission denied for database "orders"', Kind.AUTHENTICATION),
    ("unknown database", "3D000", 'database "nope" does not exist', Kind.CALLER),
    ("too many clients", "53300", "sorry, too many clients already", Kind.THROTTLED),
    ("free slots are reserved", "53300", "remaining connection slots are reserved for roles with", Kind.THROTTLED),
    ("too many connections of a role", "53300", 'too many connections for role "svc"', Kind.THROTTLED),
    ("starting up", "57P03", "the database system is starting up", Kind.UNAVAILABLE),
    ("in crash recovery", "57P03", "the database system is in recovery mode", Kind.UNAVAILABLE),
    ("shutting down", "57P03", "the database system is shutting down", Kind.UNAVAILABLE),
)
"""While connecting."""
