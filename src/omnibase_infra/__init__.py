"""Resilience for services: circuit breakers, retries and rate limiters that speak one error hierarchy."""

__version__ = "0.1.0"
