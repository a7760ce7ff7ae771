"""The ASGI middleware, driven by hand: no framework and no server is needed to serve a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from omnibase_infra.utils import CorrelationMiddleware, get_correlation_id, set_correlation_id

ONE = UUID("11111111-1111-4111-8111-111111111111")
TWO = UUID("22222222-2222-4222-8222-222222222222")
HEADER = b"x-correlation-id"
Message = dict[str, object]


class App:
    """Remembers the current id and sends what it is told to."""

    def __init__(self, *messages: Message, fails: BaseException | None = None) -> None:
        self.messages = messages
        self.fails = fails
        self.ids: list[UUID | None] = []
        self.scopes: list[Message] = []

    async def __call__(self, scope, receive, send) -> None:
        self.scopes.append(scope)
        self.ids.append(get_correlation_id())
        await asyncio.sleep(0)
        for message in self.messages:
            await send(message)
        if self.fails is not None:
            raise self.fails
        self.ids.append(get_correlation_id())


def serve(app: Callable[..., object], scope: Message) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing asked for the body")

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        set_correlation_id(TWO)
        try:
            await CorrelationMiddleware(app)(scope, receive, send)
        finally:
            assert get_correlation_id() == TWO

    asyncio.run(main())
    return sent


def http(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http", "headers": list(headers)}


START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
BODY: Message = {"type": "http.response.body", "body": b"ok"}


def test_the_id_of_the_request_is_current_and_comes_back_in_the_answer() -> None:
    app = App(START, BODY)
    scope = http((b"accept", b"*/*"), (b"X-Correlation-ID", str(ONE).encode()))
    assert serve(app, scope) == [{**START, "headers": [(b"a", b"b"), (HEADER, str(ONE).encode())]}, BODY]
    assert app.ids == [ONE, ONE]
    assert app.scopes[0] is scope
    assert START["headers"] == [(b"a", b"b")]


@pytest.mark.parametrize("headers", [[], [(HEADER, b"hunter2")], [(HEADER, b"1" * 100_000)]])
def test_a_request_without_a_usable_id_begins_a_new_one(headers: list[tuple[bytes, bytes]]) -> None:
    app = App(START)
    (start,) = serve(app, http(*headers))
    assert app.ids[0] == app.ids[1]
    assert app.ids[0] not in {None, ONE, TWO}
    assert start["headers"] == [(b"a", b"b"), (HEADER, str(app.ids[0]).encode())]


def test_an_answer_bears_one_id_even_where_the_application_wrote_one() -> None:
    app = App({"type": "http.response.start", "headers": [(b"X-Correlation-Id", b"theirs")]}, {**START, "headers": ()})
    own = (HEADER, str(ONE).encode())
    assert [message["headers"] for message in serve(app, http(own))] == [[own], [own]]


@pytest.mark.parametrize("kind", ["websocket.accept", "websocket.http.response.start"])
def test_a_websocket_is_answered_with_the_id_too(kind: str) -> None:
    app = App({"type": kind})
    (answer,) = serve(
        app, {"type": "websocket", "headers": [(b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]}
    )
    assert app.ids[0] == UUID("1" * 32)
    assert answer == {"type": kind, "headers": [(HEADER, str(app.ids[0]).encode())]}


def test_what_is_no_request_passes_unchanged() -> None:
    message: Message = {"type": "lifespan.startup.complete"}
    app = App(message)
    assert serve(app, {"type": "lifespan"})[0] is message
    assert app.ids == [TWO, TWO]


@pytest.mark.parametrize("failure", [KeyError("x"), asyncio.CancelledError()])
def test_an_application_that_fails_leaves_no_id_behind(failure: BaseException) -> None:
    app = App(START, fails=failure)
    with pytest.raises(type(failure)):
        serve(app, http((HEADER, str(ONE).encode())))
    assert app.ids == [ONE]
