"""The correlation id of each request to an ASGI application, of whatever framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Final, TypeAlias, cast

from omnibase_infra.utils.util_correlation import CorrelationContext
from omnibase_infra.utils.util_correlation_carriers import Headers, extract_http

Scope: TypeAlias = MutableMapping[str, object]
Message: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUESTS: Final = frozenset({"http", "websocket"})
_ANSWERS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_HEADER: Final = b"x-correlation-id"


class CorrelationMiddleware:
    """Makes the id of each request, from its headers or new, the current one, and answers with it.

    The id is read as `extract_http` does; the answer bears it as ``X-Correlation-ID``. Put it outermost, so that the
    log lines of all that lies within bear the id.

    Args:
        app: The ASGI application, or the next middleware.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; what is neither a request nor a WebSocket passes unchanged."""
        if scope["type"] not in _REQUESTS:
            await self._app(scope, receive, send)
            return
        with CorrelationContext(extract_http(cast("Headers | None", scope.get("headers")))) as current:
            header = (_HEADER, str(current).encode())

            async def answer(message: Message) -> None:
                if message["type"] in _ANSWERS:
                    given = cast("Iterable[tuple[bytes, bytes]]", message.get("headers") or ())
                    others = [pair for pair in given if pair[0].lower() != _HEADER]
                    message = {**message, "headers": [*others, header]}
                await send(message)

            await self._app(scope, receive, answer)
