"""Drivers' exceptions in our words, one file a driver family."""

from omnibase_infra.infrastructure.resilience.transports.classify import classify, failure_of
from omnibase_infra.infrastructure.resilience.transports.failure import Failure

__all__ = ["Failure", "classify", "failure_of"]
