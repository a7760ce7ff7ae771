"""What both Kafka clients are put through: the same codes of a broker, classified by each client's own table."""

from __future__ import annotations

from collections.abc import Iterable

from tests.transports.situation import Situation

from omnibase_infra.enums import EnumInfraTransportType as Transport
from omnibase_infra.errors import ModelOnexError
from omnibase_infra.infrastructure.resilience.transports import failure_of

SECRET = "hunter2-S3CR3T"
TOPIC = "orders"
HANGS_UP = -195
"""What the mock cluster is told in a code's place when it shall close the connection."""

PRODUCE_CODES = (
    (10, "code 10: message too large"),
    (13, "code 13: network exception"),
    (19, "code 19: not enough replicas"),
    (20, "code 20: not enough replicas after append"),
    (29, "code 29: topic authorization failed"),
    (31, "code 31: cluster authorization failed"),
    (44, "code 44: policy violation"),
    (56, "code 56: storage error"),
)

COMMIT_CODES = (
    (22, "commit: code 22, illegal generation"),
    (25, "commit: code 25, unknown member"),
    (27, "commit: code 27, rebalance in progress"),
    (30, "code 30: group authorization failed"),
)


class Table:
    """A client's rows, against which what it really raises is held."""

    def __init__(self, situations: Iterable[Situation]) -> None:
        self._rows = {row.situation: row for row in situations}

    def check(self, situation: str, error: BaseException, code: int | None = None) -> None:
        """The real exception is of the class, and classified, as the table says."""
        row = self._rows[situation]
        failure = failure_of(error, Transport.KAFKA)
        expected = (type(row.make()), row.kind, row.sent, None if code is None else str(code))
        assert (type(error), failure.kind, failure.sent, failure.code) == expected, repr(error)
        assert failure.retry_after_seconds is None


def assert_no_secret(error: BaseException) -> None:
    assert isinstance(error, ModelOnexError)
    assert SECRET not in f"{error} {error!r} {error.model_dump_json()}"
