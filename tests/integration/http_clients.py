"""What every HTTP client is put through: the same situations, the same faults on the wire, the same end to end."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import pytest
from tests.servers.http_faults import HttpFaults
from tests.transports.situation import Situation

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import InfraConnectionError, InfraUnavailableError
from omnibase_infra.infrastructure.resilience import create_network_circuit_breaker, create_network_retry_policy
from omnibase_infra.infrastructure.resilience.transports import Failure, failure_of

SITUATIONS_OF_ALL = (
    "connection refused",
    "host name unknown",
    "connect time-out",
    "reset before the answer",
    "closed before the answer",
    "answer cut off",
    "nonsense for an answer",
    "no answer in time",
    "certificate does not verify",
    "TLS to a plain port",
    "body cannot be decoded",
    "redirect loop",
    "malformed URL",
    "unknown scheme",
    *(f"HTTP {status}" for status in (400, 401, 403, 404, 408, 409, 413, 421, 425)),
    *(f"HTTP {status}" for status in (429, 500, 501, 502, 503, 504, 505, 507)),
    "HTTP 429 with Retry-After",
    "HTTP 503 with Retry-After",
)
"""Ways to fail that `HttpFaults` has a URL for, and every client an exception."""

HINT, HINT_OF_THE_GATEWAY = 7.0, 5.0
"""Seconds that the app and HAProxy put into their Retry-After."""

REFUSING_PROXIES = (
    ("login.example", "proxy asks for credentials"),
    ("other.example", "proxy cannot reach the server"),
)
"""A host that HAProxy refuses to connect to, and why."""


def check(error: BaseException, row: Situation, hint: float = HINT) -> Failure:
    """The real exception is of the class in the table, and classified as the table says."""
    assert type(error) is type(row.make())
    found = failure_of(error, Transport.HTTP)
    assert (found.kind, found.sent) == (row.kind, row.sent)
    assert found.retry_after_seconds == (hint if "Retry-After" in row.situation else None)
    return found


def check_frozen_killed_and_gone(frozen: Exception, killed: Exception, gone: Exception) -> None:
    """The stations of a server: it answers nothing any more, ends in mid-body, refuses."""
    assert [(failure_of(error).kind, failure_of(error).sent) for error in (frozen, killed, gone)] == [
        (Kind.TIMEOUT, True),
        (Kind.CONNECTION, True),
        (Kind.CONNECTION, False),
    ]


def check_hint_of_a_date(error: Exception) -> None:
    """A Retry-After that names the moment in 30 seconds."""
    hint = failure_of(error).retry_after_seconds
    assert hint is not None
    assert 28.0 <= hint <= 31.0


def check_end_to_end(
    faults: HttpFaults,
    caplog: pytest.LogCaptureFixture,
    get: Callable[[str], object],
    not_found: type[Exception],
    run: Callable[[object], object] = lambda result: result,
) -> None:
    """Retry and breaker carry calls through 503, let a 404 be, and give up on a dead server without a secret.

    Args:
        faults: The servers.
        caplog: What is logged.
        get: A call of the client; raises when the answer is no success.
        not_found: What it raises for a 404.
        run: Runs what a coroutine function gives.
    """
    caplog.set_level(logging.DEBUG, "omnibase_infra")
    guarded = create_network_circuit_breaker(1)(create_network_retry_policy(3, 0, 0)(get))
    key = uuid.uuid4().hex

    run(guarded(f"{faults.url}/flaky/{key}?fail=2"))
    assert faults.seen(key) == 3

    with pytest.raises(not_found):
        run(guarded(f"{faults.url}/flaky/{key}-404?fail=9&status=404"))
    assert faults.seen(f"{key}-404") == 1

    dead = faults.failing("connection refused").replace("http://", "http://alice:S3CR3T@")
    with pytest.raises(InfraConnectionError) as caught:
        run(guarded(f"{dead}orders?api_key=S3CR3T"))
    error = caught.value
    assert (error.model.context["retry_count"], error.error_code.name) == (3, "NETWORK_ERROR")
    with pytest.raises(InfraUnavailableError, match="Circuit breaker open") as rejected:
        run(guarded(f"{dead}orders?api_key=S3CR3T"))

    ours = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records if "omnibase" in record.name)
    assert ours
    for text in (str(error), repr(error), error.model_dump_json(), str(rejected.value), ours):
        assert "S3CR3T" not in text
        assert "alice" not in text
