"""The lowest layer: the current correlation id, and secrets out of any text."""

from omnibase_infra.utils.util_correlation import (
    CorrelationContext,
    clear_correlation_id,
    correlation_id_var,
    get_correlation_id,
    set_correlation_id,
)
from omnibase_infra.utils.util_sanitize import sanitize, sanitize_value

__all__ = [
    "CorrelationContext",
    "clear_correlation_id",
    "correlation_id_var",
    "get_correlation_id",
    "sanitize",
    "sanitize_value",
    "set_correlation_id",
]
