"""One file for each library that is measured; one that cannot be imported is left out, with the reason."""

from __future__ import annotations

from importlib import import_module

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
OURS = "onex-resilience"
LABELS = tuple(_MODULES)


def load(labels: tuple[str, ...] = LABELS) -> tuple[list[Peer], dict[str, str]]:
    """The peers of these names, in the order of `LABELS`, and why the others cannot be measured."""
    found: list[Peer] = []
    absent: dict[str, str] = {}
    for label in (known for known in LABELS if known in labels):
        try:
            peer: Peer = import_module(f"benchmarks.peers.{_MODULES[label]}").PEER
        except ModuleNotFoundError as missing:
            absent[label] = f"{missing.name} is not installed"
        except Exception as error:
            absent[label] = f"cannot be imported: {type(error).__name__}: {error}"
        else:
            found.append(peer)
    return found, absent


def installed(labels: tuple[str, ...] = LABELS) -> list[Peer]:
    """The peers of these names that can be imported."""
    return load(labels)[0]
