"""What is shown while the demo runs: a live table on a terminal, plain lines elsewhere."""

from collections import Counter
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from omnibase_infra.cli.demo.recording import Recording
from omnibase_infra.enums import EnumCircuitState

_REFRESH_PER_SECOND = 5
_WINDOW_SECONDS = 1.0
_EVENTS_SHOWN = 12
_STYLES = {
    EnumCircuitState.CLOSED: "bold green",
    EnumCircuitState.HALF_OPEN: "bold yellow",
    EnumCircuitState.OPEN: "bold red",
}


class Display(Protocol):
    """Shows the course of a run. Entered before the first sample, left after the last."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def event(self, at: float, text: str) -> None:
        """Something worth a line happened."""
        ...

    def tick(self, now: float, recording: Recording) -> None:
        """Called a few times a second."""
        ...


def choose_display(console: Console) -> Display:
    """A live table where it can be drawn in colour, else plain lines."""
    return _LiveTable(console) if console.is_terminal and not console.no_color else _PlainLines(console)


def _last_second(now: float, recording: Recording) -> Counter[str]:
    """Counts of the last second; a sample list is walked from its end."""
    counts: Counter[str] = Counter()
    for call in reversed(recording.calls):
        if call.at < now - _WINDOW_SECONDS:
            break
        counts[call.outcome] += 1
    for at in reversed(recording.retries):
        if at < now - _WINDOW_SECONDS:
            break
        counts["retries"] += 1
    for query in reversed(recording.queries):
        if query.at < now - _WINDOW_SECONDS:
            break
        counts["dead"] += not query.server_up
    return counts


class _PlainLines:
    """One line a second, and one for each event."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = _WINDOW_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def event(self, at: float, text: str) -> None:
        self._print(f"{at:6.2f} s  {text}")

    def tick(self, now: float, recording: Recording) -> None:
        if now < self._next:
            return
        self._next = now - now % _WINDOW_SECONDS + _WINDOW_SECONDS
        counts = _last_second(now, recording)
        self._print(
            f"{now:6.2f} s  circuit {recording.state.value:<9}  per second: "
            f"{counts['success']:4} ok  {counts['rejected']:4} rejected  {counts['failed']:3} failed  "
            f"{counts['retries']:3} retries"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


class _LiveTable:
    """A table that is redrawn in place, with the events below it."""

    def __init__(self, console: Console) -> None:
        self._events: list[tuple[float, str]] = []
        self._totals: Counter[str] = Counter()
        self._counted = self._queries_counted = 0
        self._latest: tuple[float, Recording] | None = None
        self._live = Live(console=console, refresh_per_second=_REFRESH_PER_SECOND, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start(refresh=False)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def event(self, at: float, text: str) -> None:
        self._events.append((at, text))

    def tick(self, now: float, recording: Recording) -> None:
        self._totals.update(call.outcome for call in recording.calls[self._counted :])
        self._counted = len(recording.calls)
        self._totals["dead"] += sum(not query.server_up for query in recording.queries[self._queries_counted :])
        self._queries_counted = len(recording.queries)
        self._latest = (now, recording)

    def _render(self) -> Group | Text:
        if self._latest is None:
            return Text("starting")
        now, recording = self._latest
        counts = _last_second(now, recording)
        rows = [
            ("successes", self._totals["success"], counts["success"], "green"),
            ("rejected at once", self._totals["rejected"], counts["rejected"], "yellow"),
            ("failed", self._totals["failed"], counts["failed"], "red"),
            ("retries", len(recording.retries), counts["retries"], "cyan"),
            ("queries to the dead server", self._totals["dead"], counts["dead"], "magenta"),
        ]
        table = Table(title=f"{now:5.1f} s", title_justify="left", min_width=52)
        table.add_column("circuit")
        state = Text(recording.state.value.replace("_", "-"), style=_STYLES.get(recording.state, "bold"))
        table.add_column(state, justify="right", min_width=9)
        table.add_column("per second", justify="right")
        for label, total, rate, style in rows:
            table.add_row(label, f"{total:,}", Text(f"{rate:,}", style=style if rate else "dim"))
        events = [Text(f"{at:6.2f} s  {text}") for at, text in self._events[-_EVENTS_SHOWN:]]
        return Group(table, *events)
