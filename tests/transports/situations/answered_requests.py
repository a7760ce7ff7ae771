"""A requests session without a network, for the clients that are built on it."""

from __future__ import annotations

import io

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse


class Answer(BaseAdapter):
    """Answers each request with one status, body and headers."""

    def __init__(self, status: int, body: str, headers: dict[str, str]) -> None:
        super().__init__()
        self._status, self._body, self._headers = status, body, headers

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
        raw = HTTPResponse(io.BytesIO(self._body.encode()), self._headers, self._status, preload_content=False)
        response = requests.Response()
        response.status_code, response.raw, response.request = self._status, raw, request
        response.url = str(request.url)
        response.headers.update(self._headers)
        return response

    def close(self) -> None:
        pass


def answer_all(session: requests.Session, status: int, body: str = "", headers: dict[str, str] | None = None) -> None:
    """From now on every request of the session is answered so."""
    session.mount("http://", Answer(status, body, headers or {}))
