"""What a recording comes to: the numbers, and whether what the demo set out to show holds."""

from collections import Counter
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from omnibase_infra.cli.demo.recording import Recording
from omnibase_infra.enums import EnumCircuitState


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the demo sets out to show; `found` says it as it turned out."""

    holds: bool
    found: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of one run; None where something did not come to pass."""

    calls: int
    successes: int
    rejected: int
    failed: int
    retries: int
    saved_by_retry: int
    errors: dict[str, int]
    """Calls by ONEX type and code."""
    seconds_to_open: float | None
    seconds_to_recover: float | None
    calls_while_down: int
    queries_to_dead_server: int
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether everything the demo set out to show holds."""
        return all(check.holds for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        """The summary as plain data, for JSON."""
        return {"ok": self.ok, **asdict(self)}


def summarise(recording: Recording) -> Summary:
    """Count a recording and judge it."""
    outcomes = Counter(call.outcome for call in recording.calls)
    errors = Counter(f"{call.error_type} {call.error_code}" for call in recording.calls if call.error_type is not None)
    crashed, restored = recording.crashed_at, recording.restored_at
    opened = _first(recording, EnumCircuitState.OPEN, crashed)
    closed = _first(recording, EnumCircuitState.CLOSED, restored)
    return Summary(
        calls=len(recording.calls),
        successes=outcomes["success"],
        rejected=outcomes["rejected"],
        failed=outcomes["failed"],
        retries=len(recording.retries),
        saved_by_retry=sum(call.outcome == "success" and call.queries > 1 for call in recording.calls),
        errors=dict(errors.most_common()),
        seconds_to_open=None if opened is None or crashed is None else opened - crashed,
        seconds_to_recover=None if closed is None or restored is None else closed - restored,
        calls_while_down=sum(_within(call.at, crashed, restored) for call in recording.calls),
        queries_to_dead_server=sum(not query.server_up for query in recording.queries),
        checks=_checks(recording, opened, closed),
    )


def _first(recording: Recording, state: EnumCircuitState, since: float | None) -> float | None:
    if since is None:
        return None
    return next((change.at for change in recording.states if change.state is state and change.at >= since), None)


def _within(at: float, start: float | None, end: float | None) -> bool:
    return start is not None and at >= start and (end is None or at < end)


def _checks(recording: Recording, opened: float | None, closed: float | None) -> tuple[Check, ...]:
    def successes(start: float, end: float) -> int:
        return sum(call.outcome == "success" and start <= call.at < end for call in recording.calls)

    end = recording.ended_at
    before = successes(0.0, end if recording.crashed_at is None else recording.crashed_at)
    after = 0 if closed is None else successes(closed, end)
    foreign = ", ".join(f"{name} ({count})" for name, count in recording.foreign_errors.items())
    leaks = ", ".join(f"{place} ({count})" for place, count in recording.leaks.items())
    return (
        Check(before > 0, f"{before:,} calls succeeded before the crash"),
        Check(opened is not None, "the circuit opened" if opened is not None else "the circuit did not open"),
        Check(
            closed is not None,
            "the circuit closed again by itself" if closed is not None else "the circuit did not close again",
        ),
        Check(after > 0, f"{after:,} calls succeeded after the recovery"),
        Check(
            not foreign,
            "every exception was of the ONEX family" if not foreign else f"exceptions of other families: {foreign}",
        ),
        Check(
            not leaks,
            f"the password is in none of {recording.texts_searched:,} error texts and log records"
            if not leaks
            else f"the password is in: {leaks}",
        ),
    )


def print_report(summary: Summary, console: Console) -> None:
    """Print the numbers and the verdicts."""
    table = Table(title="What the callers saw", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    table.add_row("calls", f"{summary.calls:,}", "")
    thanks = f"{summary.saved_by_retry:,} of them thanks to a retry" if summary.saved_by_retry else ""
    table.add_row("  successes", f"{summary.successes:,}", thanks)
    table.add_row("  rejected at once", f"{summary.rejected:,}", "without asking the database")
    table.add_row("  failed", f"{summary.failed:,}", "after their last attempt")
    table.add_row("retries", f"{summary.retries:,}", "")
    table.add_row("time to open", _seconds(summary.seconds_to_open), "from the crash")
    table.add_row("time to recover", _seconds(summary.seconds_to_recover), "from the server's restart")
    table.add_row(
        "queries to the dead server",
        f"{summary.queries_to_dead_server:,}",
        f"while {summary.calls_while_down:,} calls came in",
    )
    console.print(table)
    if summary.errors:
        errors = Table(
            title="\nErrors by type and code", title_justify="left", show_header=False, box=None, pad_edge=False
        )
        errors.add_column(no_wrap=True)
        errors.add_column(justify="right")
        for name, count in summary.errors.items():
            errors.add_row(name, f"{count:,}")
        console.print(errors)
    console.print()
    for check in summary.checks:
        mark = "[green]holds[/]" if check.holds else "[bold red]FAILS[/]"
        console.print(f"{mark}  {check.found}", highlight=False)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"
