"""The lowest layer: the correlation id and its ways in and out, and secrets out of any text, log records included."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from omnibase_infra.utils.util_correlation import (
    CorrelationContext,
    attempt_var,
    clear_correlation_id,
    correlation_id_var,
    get_attempt,
    get_correlation_id,
    set_correlation_id,
)

if TYPE_CHECKING:
    from omnibase_infra.utils.util_correlation_asgi import CorrelationMiddleware
    from omnibase_infra.utils.util_correlation_carriers import (
        extract_grpc,
        extract_http,
        extract_kafka,
        inject_grpc,
        inject_http,
        inject_kafka,
    )
    from omnibase_infra.utils.util_log_correlation import CorrelationFilter, correlation_processor
    from omnibase_infra.utils.util_log_sanitize import SanitizingFilter, sanitize_processor
    from omnibase_infra.utils.util_sanitize import sanitize, sanitize_value

__all__ = [
    "CorrelationContext",
    "CorrelationFilter",
    "CorrelationMiddleware",
    "SanitizingFilter",
    "attempt_var",
    "clear_correlation_id",
    "correlation_id_var",
    "correlation_processor",
    "extract_grpc",
    "extract_http",
    "extract_kafka",
    "get_attempt",
    "get_correlation_id",
    "inject_grpc",
    "inject_http",
    "inject_kafka",
    "sanitize",
    "sanitize_processor",
    "sanitize_value",
    "set_correlation_id",
]

# The patterns of the sanitiser take longer to compile than the rest of the package to import; none of these is needed
# before its first use.
_LATE = {
    "CorrelationFilter": "util_log_correlation",
    "CorrelationMiddleware": "util_correlation_asgi",
    "SanitizingFilter": "util_log_sanitize",
    "correlation_processor": "util_log_correlation",
    "extract_grpc": "util_correlation_carriers",
    "extract_http": "util_correlation_carriers",
    "extract_kafka": "util_correlation_carriers",
    "inject_grpc": "util_correlation_carriers",
    "inject_http": "util_correlation_carriers",
    "inject_kafka": "util_correlation_carriers",
    "sanitize": "util_sanitize",
    "sanitize_processor": "util_log_sanitize",
    "sanitize_value": "util_sanitize",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return cast("object", getattr(import_module(f"{__name__}.{_LATE[name]}"), name))
