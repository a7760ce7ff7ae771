"""Drivers' exceptions in our words, one file a driver family."""

from omnibase_infra.infrastructure.resilience.transports.aiokafka_login import RevealLoginFailure
from omnibase_infra.infrastructure.resilience.transports.classify import (
    Classifier,
    classify,
    failure_of,
    is_known_driver,
    register_transport,
)
from omnibase_infra.infrastructure.resilience.transports.client_retries import (
    ClientRetries,
    ClientRetriesWarning,
    check_client,
    client_retries,
)
from omnibase_infra.infrastructure.resilience.transports.failure import Failure
from omnibase_infra.infrastructure.resilience.transports.hvac_answers import keep_vault_answers

__all__ = [
    "Classifier",
    "ClientRetries",
    "ClientRetriesWarning",
    "Failure",
    "RevealLoginFailure",
    "check_client",
    "classify",
    "client_retries",
    "failure_of",
    "is_known_driver",
    "keep_vault_answers",
    "register_transport",
]
