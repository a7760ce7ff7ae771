"""Looks for secrets in every error and log record of a run."""

import logging
from types import TracebackType
from typing import Self

from omnibase_infra.cli.demo.recording import Recording
from omnibase_infra.errors import ModelOnexError

_LOGGER = logging.getLogger("omnibase_infra")


class LeakWatch(logging.Handler):
    """Searches what it is shown, and while entered every log record of the package, none of which reaches the terminal.

    Args:
        secrets: texts that must never be seen.
        recording: takes the findings.
    """

    def __init__(self, secrets: tuple[str, ...], recording: Recording) -> None:
        super().__init__(logging.DEBUG)
        self._secrets = secrets
        self._recording = recording
        self._before = (_LOGGER.level, _LOGGER.propagate)

    def __enter__(self) -> Self:
        self._before = (_LOGGER.level, _LOGGER.propagate)
        _LOGGER.addHandler(self)
        _LOGGER.setLevel(logging.DEBUG)
        _LOGGER.propagate = False
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _LOGGER.removeHandler(self)
        _LOGGER.level, _LOGGER.propagate = self._before

    def emit(self, record: logging.LogRecord) -> None:
        """Search the formatted record, its traceback included, and the fields that a structured handler would write."""
        self._search(f"{self.format(record)} {record.__dict__}", f"a log record of {record.name}")

    def search_error(self, error: Exception) -> None:
        """Search everything that an error shows of itself."""
        name = type(error).__name__
        self._search(str(error), f"str({name})")
        self._search(repr(error), f"repr({name})")
        if isinstance(error, ModelOnexError):
            self._search(error.model_dump_json(), f"{name}.model_dump_json()")

    def _search(self, text: str, place: str) -> None:
        self._recording.texts_searched += 1
        if any(secret in text for secret in self._secrets):
            self._recording.leaks[place] += 1
