"""The command `onex-resilience`. A sub-command's module is imported only when it runs."""

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from omnibase_infra import __version__
from omnibase_infra.cli.command_parser import CommandParser


class _CommandModule(Protocol):
    def main(self, arguments: Sequence[str]) -> int: ...


@dataclass(frozen=True, slots=True)
class _Command:
    module: str
    help: str


_COMMANDS = {
    "classify": _Command("omnibase_infra.cli.classify", "say what an exception is to the policies, and why"),
    "explain": _Command("omnibase_infra.cli.explain", "say what the settings of a transport or a service come to"),
    "simulate": _Command("omnibase_infra.cli.simulate", "see what settings do in an outage before production does"),
    "tune": _Command("omnibase_infra.cli.tune", "search the settings that reach what you want in such outages"),
    "state": _Command("omnibase_infra.cli.state", "list, trip and reset the circuits that workers share"),
    "bench": _Command("omnibase_infra.cli.bench", "measure what the policies cost, beside every peer; in a checkout"),
    "demo": _Command("omnibase_infra.cli.demo.command", "watch the stack carry a real PostgreSQL through a crash"),
}


_INTERRUPTED = 128 + signal.SIGINT
"""What a shell shows for what Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit status; 2 when the arguments make no sense, 130 when it was interrupted."""
    parser = CommandParser(
        prog="onex-resilience",
        description="Resilience for Python services: circuit breakers, retries and rate limiters.",
        epilog="\n".join(["commands:", *(f"  {name:<10}{command.help}" for name, command in _COMMANDS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("command", choices=_COMMANDS, metavar="command", help="one of those below; each knows --help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        parser.exit(2)
    parsed = parser.parse_args(arguments)
    try:
        module = cast("_CommandModule", import_module(_COMMANDS[parsed.command].module))
        return module.main(parsed.arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
