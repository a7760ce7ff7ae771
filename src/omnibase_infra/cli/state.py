"""`onex-resilience state`: the circuits and rate limits that workers share, as their store has them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from omnibase_infra.cli.command_parser import CommandParser
from omnibase_infra.enums import EnumCircuitState, EnumRateLimitStrategy
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_seconds
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import CircuitStore, Reading, Step
from omnibase_infra.infrastructure.resilience.shared_state.clients import blocking_client, close_client
from omnibase_infra.infrastructure.resilience.shared_state.limit_states import LimitState, LimitStates
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig
from omnibase_infra.utils.util_sanitize import sanitize
from omnibase_infra.utils.util_store_url import STORE_URLS, is_cluster_url, is_store_url, shown_url

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.shared_state.clients import BlockingClient

_TIMEOUT: Final = 5.0
"""Seconds that a person waits for a store that does not answer."""

_EVERY: Final = 1.0
"""Seconds between two looks of `--watch`."""

_CLEAR: Final = "\x1b[H\x1b[J"


def main(arguments: Sequence[str]) -> int:
    """List what the store has, or change one circuit for all workers; 1 when that fails, 2 when it makes no sense."""
    parser = CommandParser(
        prog="onex-resilience state",
        description="The circuits and rate limits that workers share, those of services that run pybreaker too. "
        "`trip` opens a circuit for all workers, `reset` closes it; `reset` of a rate limit has it begin anew.",
    )
    parser.add_argument("action", nargs="?", choices=("list", "trip", "reset"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", help="of the circuit, or of the rate limit as it is listed")
    parser.add_argument("--url", required=True, help=f"the store, such as {STORE_URLS}, or the same with valkey")
    parser.add_argument(
        "--for", dest="seconds", type=float, metavar="SECONDS", help="how long a tripped circuit stays open"
    )
    parser.add_argument("--yes", action="store_true", help="change it without asking")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=_EVERY,
        metavar="SECONDS",
        help="list again and again until it is interrupted, every second unless said otherwise",
    )
    parsed = parser.parse_args(arguments)
    url, action, name = str(parsed.url), str(parsed.action), parsed.name
    if not is_store_url(url):
        parser.error(f"--url: must be a URL such as {STORE_URLS}, or the same with valkey")
    if (action == "list") != (name is None):
        parser.error("list takes no name" if name is not None else f"{action}: say which by its name")
    if parsed.seconds is not None and action != "trip":
        parser.error("--for: is of no use without trip")
    if parsed.watch is not None and action != "list":
        parser.error("--watch: is of no use but with list")
    try:
        checked_seconds("--for", parsed.seconds, zero=False)
        checked_seconds("--watch", parsed.watch, zero=False)
        client = blocking_client(url, _TIMEOUT)
    except ProtocolConfigurationError as error:
        parser.error(error.message)
    except Exception as exc:  # the driver's, whose text may quote the URL
        parser.error(f"--url: the client refuses it ({type(exc).__name__})")
    store = _Store(client, url)
    try:
        if action != "list":
            return store.change(action, str(name), parsed.seconds, is_sure=parsed.yes)
        if parsed.watch is not None:
            store.watch(parsed.watch, as_json=parsed.json)
        print(store.listed(as_json=parsed.json))
    except Exception as exc:  # the driver's, as above
        print(store.failed(exc), file=sys.stderr)
        return 1
    else:
        return 0
    finally:
        close_client(client)


class _Store:
    """What a person asks of a store."""

    def __init__(self, client: BlockingClient, url: str) -> None:
        self._where = shown_url(url)
        self._circuits = CircuitStore(client, is_cluster=is_cluster_url(url))
        self._limits = LimitStates(client)

    def watch(self, every: float, *, as_json: bool) -> None:
        """List until interrupted; a store that cannot be reached is told of, and asked again."""
        while True:
            try:
                listed = self.listed(as_json=as_json)
            except Exception as exc:  # the driver's
                listed = json.dumps({"error": self.failed(exc)}) if as_json else self.failed(exc)
            top = _CLEAR if sys.stdout.isatty() and not as_json else ""
            print(f"{top}{listed}", flush=True)
            time.sleep(every)

    def failed(self, exc: Exception) -> str:
        """That the store cannot be used, in our own words."""
        return f"{self._where}: cannot be used ({type(exc).__name__})"

    def listed(self, *, as_json: bool) -> str:
        """Every circuit and limit."""
        names = self._circuits.names()
        readings = dict(zip(names, self._circuits.run([_step(name) for name in names]), strict=True)) if names else {}
        limits = self._limits.all()
        if as_json:
            circuits = {name: asdict(reading) for name, reading in readings.items()}
            return json.dumps({"circuits": circuits, "limits": [asdict(limit) for limit in limits]})
        rows = [("circuit", sanitize(name), str(reading.state), _told(reading)) for name, reading in readings.items()]
        rows += [("limit", sanitize(limit.name), _free(limit), _bound(limit)) for limit in limits]
        if not rows:
            return "nothing is shared there"
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def change(self, action: str, name: str, seconds: float | None, *, is_sure: bool) -> int:
        """Change a circuit, or have limits begin anew, once a person is sure."""
        is_circuit = name in self._circuits.names()
        is_limit = not is_circuit and action == "reset" and any(limit.name == name for limit in self._limits.all())
        shown = sanitize(name)
        if not is_circuit and not is_limit:
            print(f"{self._where} has no circuit '{shown}'; `list` shows those there are", file=sys.stderr)
            return 1
        what = "rate limit" if is_limit else "circuit"
        if not is_sure and not _confirmed(f"{action} the {what} '{shown}' of {self._where} for all workers?"):
            print("nothing was changed", file=sys.stderr)
            return 1
        if is_limit:
            self._limits.clear(name)
            print(f"limit '{shown}' begins anew")
            return 0
        (reading,) = self._circuits.run([_step(name, action, seconds)])
        print(f"circuit '{shown}' is {reading.state}{f' for {reading.left:.3g} s' if reading.left else ''}")
        return 0


def _told(reading: Reading) -> str:
    told: list[str] = []
    if reading.state is EnumCircuitState.OPEN:
        told.append(f"probe in {reading.left:.3g} s" if reading.left else "due for a probe")
    if reading.leases:
        told.append(f"probes under way: {reading.leases}")
    if reading.reports:
        told.append(f"workers that report a failure: {reading.reports}")
    return ", ".join(told)


def _free(limit: LimitState) -> str:
    return f"{max(0.0, limit.free):.0%} free"


def _bound(limit: LimitState) -> str:
    if limit.strategy is EnumRateLimitStrategy.TOKEN_BUCKET:
        return f"{limit.strategy}, full in {limit.full_in:.3g} s"
    taken = f"{limit.taken:.4g} of {limit.calls} in {limit.window} s"
    return f"{limit.strategy}, {taken}, moves on in {limit.moves_in:.3g} s"


def _step(name: str, step: str = "read", seconds: float | None = None) -> Step:
    config = ModelCircuitBreakerConfig(shared=ModelSharedCircuitConfig())
    return Step(name, config, step, recovery=seconds)


def _confirmed(question: str) -> bool:
    """Whether a person says yes; where nobody can be asked, nobody does."""
    if not sys.stdin.isatty():
        print("give --yes where nobody can be asked", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
