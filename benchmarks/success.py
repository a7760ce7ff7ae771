"""What a call costs that goes well, through each policy alone and through whole stacks."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import (
    PASSTHROUGH,
    Effort,
    Figure,
    figures,
    interleave,
    passthrough,
    plain_passthrough,
    time_calls,
    time_plain_calls,
)
from benchmarks.peers.peer import BURST, RATE, Decorator, Peer

FAMILY = "success"
ARGUMENTS: dict[str, tuple[float, ...]] = {
    "retry": (),
    "breaker": (60.0,),
    "limiter": (RATE, BURST),
    "timeout": (5.0,),
    "bulkhead": (100,),
    "stack": (),
    "full_stack": (),
}
TITLES = {
    "retry": "retry",
    "breaker": "circuit breaker",
    "limiter": "rate limiter",
    "timeout": "timeout",
    "bulkhead": "bulkhead",
    "stack": "breaker, retry and limiter",
    "full_stack": "the full stack",
}
_ON_PLAIN_FUNCTIONS = ("retry", "breaker", "limiter")


async def fine(number: int) -> int:
    return number


def plainly_fine(number: int) -> int:
    return number


def builders(peer: Peer, feature: str, kind: str = "async") -> dict[str, tuple[Callable[..., Decorator], str]]:
    """What of the library is measured under this feature, by the name of the row, each with its note."""
    found = {}
    if peer.has(feature, kind):
        found[peer.label] = (getattr(peer, feature), peer.note(feature))
    elif feature == "limiter" and peer.has("waiting_limiter", kind):
        found[peer.label] = (peer.waiting_limiter, "; ".join(filter(None, ("waits", peer.note("waiting_limiter")))))
    if feature == "stack" and peer.has("separate_stack", kind):
        found[f"{peer.label}, stacked"] = (peer.separate_stack, peer.note("separate_stack"))
    return found


async def measure(peers: list[Peer], effort: Effort) -> list[Figure]:
    found: list[Figure] = []
    for feature, arguments in ARGUMENTS.items():
        built = {name: each for peer in peers for name, each in builders(peer, feature).items()}
        subjects = {PASSTHROUGH: passthrough(fine)}
        subjects |= {name: build(*arguments)(fine) for name, (build, _) in built.items()}
        taken = await interleave(subjects, time_calls, effort)
        found += figures(FAMILY, TITLES[feature], taken, {name: note for name, (_, note) in built.items()})
    for feature in _ON_PLAIN_FUNCTIONS:
        built = {name: each for peer in peers for name, each in builders(peer, feature, "sync").items()}
        subjects = {PASSTHROUGH: plain_passthrough(plainly_fine)}
        subjects |= {name: build(*ARGUMENTS[feature])(plainly_fine) for name, (build, _) in built.items()}
        taken = await interleave(subjects, time_plain_calls, effort)
        notes = {name: note for name, (_, note) in built.items()}
        found += figures(FAMILY, f"{TITLES[feature]}, plain function", taken, notes)
    return found
