"""What tests of a guarded service need: virtual time, a record of the events, and policies out of the way.

The pytest plug-in, which comes with the package, offers all of it as fixtures. Elsewhere call `install` before the
service is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from omnibase_infra.testing.stand_in import install, policies_disabled, reset_policies

if TYPE_CHECKING:
    from omnibase_infra.testing.recording import recorded_events
    from omnibase_infra.testing.virtual_time import DeadlockError, RunawayError, VirtualTimeLoop, clock, run

__all__ = [
    "DeadlockError",
    "RunawayError",
    "VirtualTimeLoop",
    "clock",
    "install",
    "policies_disabled",
    "recorded_events",
    "reset_policies",
    "run",
]

# Every run of pytest imports this package; asyncio and pydantic it need not.
_LATE = {
    "DeadlockError": "virtual_time",
    "RunawayError": "virtual_time",
    "VirtualTimeLoop": "virtual_time",
    "clock": "virtual_time",
    "recorded_events": "recording",
    "run": "virtual_time",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return cast("object", getattr(import_module(f"{__name__}.{_LATE[name]}"), name))
