"""Errors with their weights, as scenarios give them."""

from __future__ import annotations

from collections.abc import Mapping

from omnibase_infra.errors import ProtocolConfigurationError


def check_weights(errors: Mapping[str, float]) -> None:
    """Check that every error can happen.

    Raises:
        ProtocolConfigurationError: When a weight is not above 0.
    """
    for name, weight in errors.items():
        if weight <= 0:
            raise ProtocolConfigurationError(f"errors.{name} = {weight}: must be above 0", parameter=f"errors.{name}")
