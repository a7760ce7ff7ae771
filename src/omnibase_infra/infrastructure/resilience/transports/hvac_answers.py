"""hvac's exceptions, made to bear what hvac drops of the answer: its status, and when to come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec, Protocol, TypeVar, cast

from omnibase_infra.errors import ProtocolConfigurationError

C = TypeVar("C")
P = ParamSpec("P")
R = TypeVar("R")

_HINTS: Final = ("date", "ratelimit-reset", "retry-after", "x-ratelimit-reset")
"""The headers that are kept; the others may hold what is nobody's business."""


class _Adapter(Protocol):
    request: Callable[..., object]


_Answer = tuple[object, dict[str, str]]
_answer: Final[ContextVar[_Answer | None]] = ContextVar("onex_hvac_answer", default=None)


def keep_vault_answers(client: C) -> C:
    """Have the exceptions of an `hvac.Client` bear ``status_code`` and ``headers``, the server's hints among them.

    ``client = keep_vault_answers(hvac.Client(...))``. Without it the policies read both from the traceback, which
    serves as long as the exception has one: pickled, or raised anew without it, hvac's `UnexpectedError` tells nothing
    of its status, and a `RateLimitExceeded` nothing of its Retry-After. Safe for threads. To be called again after the
    client was given another adapter or session.

    Args:
        client: An `hvac.Client`; it is changed, and returned.

    Raises:
        ProtocolConfigurationError: When `client` has no adapter over a requests session.
    """
    adapter: object = getattr(client, "adapter", None)
    hooks: object = getattr(getattr(adapter, "session", None), "hooks", None)
    ask: object = getattr(adapter, "request", None)
    if not isinstance(hooks, dict) or not callable(ask):
        raise ProtocolConfigurationError(
            f"client is a {type(client).__name__}: must be an hvac.Client over a requests session", parameter="client"
        )
    known = cast("dict[str, list[object]]", hooks).setdefault("response", [])
    if _keep not in known:
        known.append(_keep)
    if not hasattr(ask, "__wrapped__"):
        cast("_Adapter", adapter).request = _bearing(ask)
    return client


def _keep(response: object, *_: object, **__: object) -> None:
    """A hook of requests: called with each answer, before hvac sees it."""
    headers: object = getattr(response, "headers", None)
    pairs = cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else ()
    hints = {name: value for name, value in pairs if name.lower() in _HINTS}
    _answer.set((getattr(response, "status_code", None), hints))


def _bearing(ask: Callable[P, R]) -> Callable[P, R]:
    @wraps(ask)
    def request(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _answer.set(None)
        try:
            return ask(*args, **kwargs)
        except Exception as exc:
            answer = _answer.get()
            if answer is not None and type(exc).__module__.partition(".")[0] == "hvac":
                exc.__dict__["status_code"], exc.__dict__["headers"] = answer
            raise
        finally:
            _answer.reset(token)

    return request
