"""The correlation id and the attempt in log records and structlog events."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Final

from omnibase_infra.utils.util_correlation import attempt_var, correlation_id_var

_NO_ID: Final = "-"


class CorrelationFilter(logging.Filter):
    """Gives each record a ``correlation_id`` (text, ``-`` where there is none) and an ``attempt`` (a number, from 1).

    Put it on a handler, where it sees every record that the handler gets; on a logger it sees only what is logged
    through that very logger, not through its children. It must run where the record is made: with a
    ``QueueHandler``, put it on that one. What a record brings as ``extra`` under these names stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Fill in what the record does not have."""
        fields = vars(record)
        if fields.get("correlation_id") is None:
            fields["correlation_id"] = str(correlation_id_var.get() or _NO_ID)
        if fields.get("attempt") is None:
            fields["attempt"] = attempt_var.get()
        return True


def correlation_processor(
    logger: object,  # noqa: ARG001 - structlog's signature
    method_name: str,  # noqa: ARG001
    event_dict: MutableMapping[str, object],
) -> MutableMapping[str, object]:
    """Structlog processor that adds ``correlation_id``, as text, where there is one, and ``attempt``, from 1.

    What the event brings under these names stays.
    """
    current = correlation_id_var.get()
    if current is not None and event_dict.get("correlation_id") is None:
        event_dict["correlation_id"] = str(current)
    if event_dict.get("attempt") is None:
        event_dict["attempt"] = attempt_var.get()
    return event_dict
