"""Said once a client: it retries by itself below a policy that does so too."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from omnibase_infra.infrastructure.resilience.observers.log import LOGGER
from omnibase_infra.infrastructure.resilience.transports.client_retries import proven_retries

_said: Final[set[str]] = set()


def report_nested_retries(exc: BaseException, client_attempts: int, max_attempts: int | None) -> None:
    """Log a warning, the first time that a failure proves it of a client.

    A log record and no Python warning: under ``-W error`` that would take the place of the failure.

    Args:
        exc: The failure that the client reported.
        client_attempts: How often the client had tried by then.
        max_attempts: Attempts of the policy; None where a strategy of the user's decides.
    """
    found = proven_retries(exc, client_attempts)
    if found is None or found.driver in _said or not LOGGER.isEnabledFor(logging.WARNING):
        return
    _said.add(found.driver)
    extra = {"driver": found.driver, "client_attempts": client_attempts, "max_attempts": max_attempts}
    with suppress(Exception):  # the application's own handlers may raise
        LOGGER.warning("%s", found.advice(max_attempts), extra=extra)
