"""Credentials that count their renewals, and functions that use them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from omnibase_infra.errors import InfraAuthenticationError

SECRET = "s.hunter2"


class Unauthorized(Exception):  # noqa: N818
    """As hvac raises it."""

    __module__ = "hvac.exceptions"


@dataclass(slots=True)
class Token:
    """An async credential, neither hashable nor weakly referable: renewed within a second, valid by number."""

    is_expired: bool = False
    number: int = 0
    begun: int = 0
    error: Exception | None = None
    seconds: float = 1.0
    read: list[int] = field(default_factory=list)

    async def refresh(self) -> None:
        self.begun += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.number += 1
        self.is_expired = False


@dataclass
class PlainToken:
    """The same for plain functions."""

    is_expired: bool = False
    number: int = 0
    begun: int = 0
    error: Exception | None = None
    while_refreshing: Callable[[], None] = lambda: None

    def refresh(self) -> None:
        self.begun += 1
        self.while_refreshing()
        if self.error is not None:
            raise self.error
        self.number += 1
        self.is_expired = False


REFUSALS: list[Callable[[], Exception]] = [
    lambda: InfraAuthenticationError("401"),
    lambda: Unauthorized("permission denied"),
]


class Api:
    """Answers only to tokens of at least this number."""

    def __init__(
        self, token: Token | PlainToken, needs: int = 0, refusal: Callable[[], Exception] = REFUSALS[0]
    ) -> None:
        self.token = token
        self.needs = needs
        self.refusal = refusal
        self.calls = 0

    def read(self, path: str = "secret") -> str:
        self.calls += 1
        if self.token.number < self.needs:
            raise self.refusal()
        return f"{path} {self.token.number}"

    async def read_async(self, path: str = "secret") -> str:
        await asyncio.sleep(0)
        return self.read(path)
