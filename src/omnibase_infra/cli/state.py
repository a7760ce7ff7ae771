"""`onex-resilience state`: the circuits and rate limits that workers share, as their store has them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from omnibase_infra.cli.command_parser import CommandParser
from omnibase_infra.enums import EnumCircuitState
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_seconds
from omnibase_infra.infrastructure.resilience.shared_state.circuit_store import CircuitStore, Reading, Step
from omnibase_infra.infrastructure.resilience.shared_state.clients import blocking_client
from omnibase_infra.infrastructure.resilience.shared_state.limit_storages import KEY_PREFIX
from omnibase_infra.models.resilience import ModelCircuitBreakerConfig, ModelSharedCircuitConfig
from omnibase_infra.utils.util_sanitize import sanitize
from omnibase_infra.utils.util_store_url import is_store_url, shown_url

if TYPE_CHECKING:
    from omnibase_infra.infrastructure.resilience.shared_state.clients import BlockingClient

_TIMEOUT: Final = 5.0
"""Seconds that a person waits for a store that does not answer."""

_BUCKETS: Final = f"{KEY_PREFIX}:rate-limit:"


def main(arguments: Sequence[str]) -> int:
    """List what the store has, or change one circuit for all workers; 1 when that fails, 2 when it makes no sense."""
    parser = CommandParser(
        prog="onex-resilience state",
        description="The circuits and rate limits that workers share, those of services that run pybreaker too. "
        "`trip` opens a circuit for all workers, `reset` closes it; `reset` of a rate limit makes its bucket full.",
    )
    parser.add_argument("action", nargs="?", choices=("list", "trip", "reset"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", help="of the circuit, or of the rate limit as it is listed")
    parser.add_argument("--url", required=True, help="the store, such as redis://host:6379/0 or valkey://host:6379/0")
    parser.add_argument(
        "--for", dest="seconds", type=float, metavar="SECONDS", help="how long a tripped circuit stays open"
    )
    parser.add_argument("--yes", action="store_true", help="change it without asking")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parser.parse_args(arguments)
    url, action, name = str(parsed.url), str(parsed.action), parsed.name
    if not is_store_url(url):
        parser.error("--url: must be a URL such as redis://host:6379/0 or valkey://host:6379/0")
    if (action == "list") != (name is None):
        parser.error("list takes no name" if name is not None else f"{action}: say which by its name")
    if parsed.seconds is not None and action != "trip":
        parser.error("--for: is of no use without trip")
    try:
        checked_seconds("--for", parsed.seconds, zero=False)
        client = blocking_client(url, _TIMEOUT)
    except ProtocolConfigurationError as error:
        parser.error(error.message)
    try:
        if action == "list":
            _list(client, as_json=parsed.json)
            return 0
        return _change(client, action, str(name), parsed.seconds, where=shown_url(url), is_sure=parsed.yes)
    except Exception as exc:  # the driver's, whose text may quote the URL
        print(f"{shown_url(url)}: cannot be used ({type(exc).__name__})", file=sys.stderr)
        return 1
    finally:
        with suppress(Exception):
            client.close()


def _list(client: BlockingClient, *, as_json: bool) -> None:
    store = CircuitStore(client)
    names = store.names()
    readings = dict(zip(names, store.run([_step(name) for name in names]), strict=True)) if names else {}
    buckets = {key: max(0, client.pttl(key)) / 1000 for key in sorted(client.scan_iter(f"{_BUCKETS}*", 1000))}
    if as_json:
        limits = {key.removeprefix(_BUCKETS): {"full_in": seconds} for key, seconds in buckets.items()}
        print(json.dumps({"circuits": {name: asdict(reading) for name, reading in readings.items()}, "limits": limits}))
        return
    rows = [("circuit", sanitize(name), str(reading.state), _told(reading)) for name, reading in readings.items()]
    rows += [
        ("limit", sanitize(key.removeprefix(_BUCKETS)), "in use", f"full in {seconds:.3g} s")
        for key, seconds in buckets.items()
    ]
    if not rows:
        print("nothing is shared there")
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _told(reading: Reading) -> str:
    told: list[str] = []
    if reading.state is EnumCircuitState.OPEN:
        told.append(f"probe in {reading.left:.3g} s" if reading.left else "due for a probe")
    if reading.leases:
        told.append(f"probes under way: {reading.leases}")
    if reading.reports:
        told.append(f"workers that report a failure: {reading.reports}")
    return ", ".join(told)


def _change(client: BlockingClient, action: str, name: str, seconds: float | None, *, where: str, is_sure: bool) -> int:
    store = CircuitStore(client)
    is_circuit = name in store.names()
    is_bucket = not is_circuit and action == "reset" and client.pttl(_BUCKETS + name) > 0
    shown = sanitize(name)
    if not is_circuit and not is_bucket:
        print(f"{where} has no circuit '{shown}'; `list` shows those there are", file=sys.stderr)
        return 1
    what = "rate limit" if is_bucket else "circuit"
    if not is_sure and not _confirmed(f"{action} the {what} '{shown}' of {where} for all workers?"):
        print("nothing was changed", file=sys.stderr)
        return 1
    if is_bucket:
        client.delete(_BUCKETS + name)
        print(f"limit '{shown}' is full again")
        return 0
    (reading,) = store.run([_step(name, action, seconds)])
    print(f"circuit '{shown}' is {reading.state}{f' for {reading.left:.3g} s' if reading.left else ''}")
    return 0


def _step(name: str, step: str = "read", seconds: float | None = None) -> Step:
    config = ModelCircuitBreakerConfig(shared=ModelSharedCircuitConfig())
    return Step(name, config, step, recovery=seconds)


def _confirmed(question: str) -> bool:
    """Whether a person says yes; where nobody can be asked, nobody does."""
    if not sys.stdin.isatty():
        print("give --yes where nobody can be asked", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
