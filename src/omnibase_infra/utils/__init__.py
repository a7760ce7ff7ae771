"""The lowest layer: the current correlation id, and secrets out of any text, log records included."""

from typing import TYPE_CHECKING

from omnibase_infra.utils.util_correlation import (
    CorrelationContext,
    clear_correlation_id,
    correlation_id_var,
    get_correlation_id,
    set_correlation_id,
)

if TYPE_CHECKING:
    from omnibase_infra.utils.util_log_sanitize import SanitizingFilter, sanitize_processor
    from omnibase_infra.utils.util_sanitize import sanitize, sanitize_value

__all__ = [
    "CorrelationContext",
    "SanitizingFilter",
    "clear_correlation_id",
    "correlation_id_var",
    "get_correlation_id",
    "sanitize",
    "sanitize_processor",
    "sanitize_value",
    "set_correlation_id",
]


def __getattr__(name: str) -> object:
    # The patterns take longer to compile than the rest of the package to import: not before something is sanitised.
    if name in {"SanitizingFilter", "sanitize_processor"}:
        from omnibase_infra.utils import util_log_sanitize

        return getattr(util_log_sanitize, name)
    if name in {"sanitize", "sanitize_value"}:
        from omnibase_infra.utils import util_sanitize

        return getattr(util_sanitize, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
