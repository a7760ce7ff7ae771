"""Drivers' exceptions in our words, one file a driver family."""

from omnibase_infra.infrastructure.resilience.transports.classify import (
    Classifier,
    classify,
    failure_of,
    is_known_driver,
    register_transport,
)
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

__all__ = ["Classifier", "Failure", "classify", "failure_of", "is_known_driver", "register_transport"]
