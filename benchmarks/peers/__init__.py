"""One file for each library that is measured; a library that is not installed is left out, and said to be."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from benchmarks.peers.peer import Peer

_MODULES = {
    "onex-resilience": "ours",
    "tenacity": "tenacity",
    "stamina": "stamina",
    "backoff": "backoff",
    "circuitbreaker": "circuitbreaker",
    "pybreaker": "pybreaker",
    "aiobreaker": "aiobreaker",
    "purgatory": "purgatory",
    "hyx": "hyx",
    "redress": "redress",
    "nopanic": "nopanic",
    "pyresilience": "pyresilience",
    "interlock-cb": "interlock_cb",
    "resilix": "resilix",
    "grit-toolkit": "grit_toolkit",
    "aiolimiter": "aiolimiter",
    "limits": "limits",
    "pyrate-limiter": "pyrate_limiter",
    "throttled-py": "throttled_py",
    "token-bucket": "token_bucket",
    "popular parts": "popular_parts",
}
_IMPORTED_AS = {
    "onex-resilience": "omnibase_infra",
    "interlock-cb": "interlock",
    "grit-toolkit": "grit",
    "pyrate-limiter": "pyrate_limiter",
    "throttled-py": "throttled",
    "token-bucket": "token_bucket",
    "popular parts": "aiolimiter",
}

OURS = "onex-resilience"
LABELS = tuple(_MODULES)


def installed(labels: tuple[str, ...] = LABELS) -> list[Peer]:
    """The peers of these names that can be imported, in the order of `LABELS`."""
    return [
        import_module(f"benchmarks.peers.{module}").PEER
        for label, module in _MODULES.items()
        if label in labels and find_spec(_IMPORTED_AS.get(label, label)) is not None
    ]
