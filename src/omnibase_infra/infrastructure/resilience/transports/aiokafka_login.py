"""The refused login that aiokafka only logs.

A client whose password is wrong fails to start with the same `KafkaConnectionError` as one that nobody answers, without
a cause. The broker's refusal is in a log record alone, as an exception among its arguments: there it is caught.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from omnibase_infra.enums import EnumFailureKind as Kind
from omnibase_infra.infrastructure.resilience.transports.classify import failure_of

_refusals: Final[ContextVar[list[Exception] | None]] = ContextVar("onex_aiokafka_refusals", default=None)


class _Listener(logging.Filter):
    """A filter, for a handler would silence Python's last resort in programs that have not configured logging."""

    def filter(self, record: logging.LogRecord) -> bool:
        refusals = _refusals.get()
        if refusals is not None:
            for arg in record.args or ():
                if isinstance(arg, Exception) and failure_of(arg).kind is Kind.AUTHENTICATION:
                    refusals.append(arg)
        return True


_LISTENER: Final = _Listener()


class RevealLoginFailure:
    """Raises the broker's refusal in place of aiokafka's connection error, so that it is not retried.

    ``with RevealLoginFailure(): await producer.start()`` serves consumers and admin clients alike.

    It needs the logger ``aiokafka`` to be enabled for ERROR, as it is unless a program silences it; whether anything is
    written there does not matter. Tasks that run beside the block are not touched.

    Raises:
        aiokafka.errors.SaslAuthenticationFailed: Or what else the broker refused the login with, chained from the
            connection error or time-out that the block raised.
    """

    __slots__ = ("_seen", "_token")

    def __enter__(self) -> Self:
        logging.getLogger("aiokafka").addFilter(_LISTENER)
        self._seen: list[Exception] = []
        self._token: Token[list[Exception] | None] = _refusals.set(self._seen)
        return self

    def __exit__(self, _: type[BaseException] | None, exc: BaseException | None, __: TracebackType | None) -> None:
        _refusals.reset(self._token)
        if self._seen and exc is not None and failure_of(exc).kind in (Kind.CONNECTION, Kind.TIMEOUT):
            raise self._seen[-1] from exc
