"""Why another is ahead of us, by measure: what a user gets for the difference, or that we have not got it yet."""

from __future__ import annotations

_STAMPED = "ours stamps each call with the generation of the state that admitted it"
_BY_MEASURE = {
    "retry": "ours counts each call for its budget; a bare loop with a `try` does not",
    "retry, plain function": "ours counts each call for its budget, and looks whether it got a coroutine back",
    "circuit breaker": _STAMPED,
    "circuit breaker, plain function": _STAMPED,
    "breaker: a call, eight threads": _STAMPED,
    "rate limiter": "ours takes a lock, and looks whether somebody waits",
    "rate limiter, plain function": "ours takes a lock, and looks whether somebody waits",
    "limiter: a call, eight threads": "ours takes a lock, and looks whether somebody waits",
    "three failing attempts, log heard": (
        "ours writes a described record for each retry, half of whose time is the logging module's; most write none"
    ),
    "import": "ours imports tenacity and circuitbreaker, whose strategies and base class it takes",
}
_BY_PART = {
    "three failing attempts": "ours classifies each failure, and raises one described error of its own",
    "rejection by": (
        "ours raises a new error that knows code, operation, target, correlation id and time to wait; "
        "theirs is a bare class or one constant sentence"
    ),
    " waiting: ": "ours keeps a queue in order of arrival and wakes one at a time; a reservation needs no queue",
    "a decorated function": (
        "ours keeps signature, name, and settings that were checked; a pipeline also its flattened wrapper"
    ),
    "most at once in a call": "the other's frame holds less: it does the less that its note says",
    "limiter, ": "ours is bounded and locked, and looks for buckets that are full again",
    "breaker, ": "ours is bounded and never forgets an open circuit",
}


def reason(measure: str) -> str:
    """Why another may be ahead in this measure; what that one leaves out stands in its own note."""
    found = _BY_MEASURE.get(measure) or next((text for part, text in _BY_PART.items() if part in measure), None)
    return found or "not explained yet"
