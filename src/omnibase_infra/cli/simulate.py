"""`onex-resilience simulate`: how the call, a stack by hand, the preset and the user's settings fare in a failure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omnibase_infra.cli.command_parser import CommandParser
from omnibase_infra.cli.interruptible import interruptible
from omnibase_infra.cli.output_files import check_folders, write
from omnibase_infra.cli.progress import progress_bar
from omnibase_infra.cli.result_table import show
from omnibase_infra.cli.scenario_option import positive, read_scenario, seconds
from omnibase_infra.cli.setting_option import read_settings
from omnibase_infra.enums import EnumStackKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES

if TYPE_CHECKING:
    from omnibase_infra.simulator.checks import Check
    from omnibase_infra.simulator.model_scenario import ModelScenario
    from omnibase_infra.simulator.model_simulation import ModelSimulation
    from omnibase_infra.simulator.model_stack import ModelStack

YOURS: Final = "yours"
_PRESET: Final = "preset"
_SHIPPED: Final = "shipped"
_PICTURES: Final = (".png", ".svg", ".pdf")


def main(arguments: Sequence[str]) -> int:
    """Simulate a scenario.

    Returns:
        0 when every check holds, 1 when one does not or something cannot be written, 2 for wrong arguments.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return _list(given.target) if given.list else _simulate(parser, given)
    except ProtocolConfigurationError as error:
        parser.error(error.message)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="onex-resilience simulate",
        description="Runs a scenario on a virtual clock with the code that ships, and compares the naked call, a stack "
        "of tenacity and circuitbreaker by hand, the preset and, when one of the options with (*) is given, yours.",
        epilog="Example: onex-resilience simulate database --scenario failover --set retry.max_attempts=2 "
        "--check 'amplification<=1.2' --html failover.html",
    )
    parser.add_argument("target", nargs="?", choices=FACTORIES, metavar="transport", help=", ".join(FACTORIES))
    parser.add_argument("--scenario", metavar="NAME", help="a shipped one, see --list, or a file that ends in .toml")
    parser.add_argument("--list", action="store_true", help="list the shipped scenarios")
    parser.add_argument("--service", help="(*) yours is the service's: [services.SERVICE] over the transport's preset")
    parser.add_argument("--profile", help="(*) yours is the preset's profile, such as tuned")
    parser.add_argument("--against", metavar="TOML", help="(*) yours is what this presets file says")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="(*) yours has this setting, such as retry.max_attempts=5; may be given several times",
    )
    parser.add_argument("--file", metavar="TOML", help="in place of the file that ONEX_RESILIENCE_FILE names")
    parser.add_argument("--from-trace", metavar="FILE", help="latency and errors from a CSV or OpenTelemetry JSON file")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default: 0)")
    parser.add_argument("--seconds", type=seconds, help="how long it goes on, instead of what the scenario says")
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="CHECK",
        dest="checks",
        help="what yours, or without it the preset, must reach, such as 'amplification<=1.2', 'recover<=5s' or "
        "'p99<=300ms'; 'shipped' for the scenario's own; may be given several times",
    )
    parser.add_argument("--processes", type=positive, metavar="N", help="at a time (default: one for each CPU)")
    parser.add_argument("--json", metavar="FILE", help="write all that was found")
    parser.add_argument("--html", metavar="FILE", help="write a page with the course as charts")
    parser.add_argument("--png", metavar="FILE", help="write the course as a picture, .png, .svg or .pdf")
    return parser


def _list(transport: str | None) -> int:
    from omnibase_infra.simulator.scenario_files import shipped_scenarios

    shipped = shipped_scenarios(transport)
    print("\n".join(f"{each.transport} --scenario {each.name}\n    {each.incident}" for each in shipped))
    return 0


def _simulate(parser: CommandParser, given: argparse.Namespace) -> int:
    from omnibase_infra.simulator.engine import simulate

    if given.target is None or given.scenario is None:
        parser.error("give a transport and a --scenario, as in: database --scenario failover; --list shows all")
    if given.png is not None and Path(given.png).suffix.lower() not in _PICTURES:
        parser.error(f"argument --png: must end in {', '.join(_PICTURES)}")
    if given.png is not None and find_spec("matplotlib") is None:
        parser.error("argument --png: needs matplotlib: pip install 'onex-resilience[simulator]'")
    check_folders(parser, json=given.json, html=given.html, png=given.png)
    scenario = read_scenario(given.scenario, given.target, given.seconds, given.from_trace)
    checks = _checks(given.checks, scenario, given.from_trace)
    stacks = _stacks(given)
    with progress_bar(f"{scenario.transport}, {scenario.name}") as progress:
        work = partial(simulate, scenario, stacks, seed=given.seed, processes=given.processes, progress=progress)
        simulation = interruptible(work)
    show(simulation)
    held = _judge(simulation, checks)
    return 0 if _all_written(given, simulation) and held else 1


def _stacks(given: argparse.Namespace) -> list[ModelStack]:
    """What is compared.

    Raises:
        ProtocolConfigurationError: When a setting is wrong, or makes no sense together with the others.
    """
    from omnibase_infra.simulator.model_stack import ModelStack
    from omnibase_infra.simulator.tuner_runs import waste

    stacks = [
        ModelStack(name="naked", kind=EnumStackKind.NAKED),
        ModelStack(name="naive", kind=EnumStackKind.NAIVE),
        ModelStack(name=_PRESET, kind=EnumStackKind.PRESET, file=given.file),
    ]
    if given.settings or any(option is not None for option in (given.service, given.profile, given.against)):
        stacks.append(
            ModelStack(
                name=YOURS,
                kind=EnumStackKind.PRESET,
                service=given.service,
                profile=given.profile,
                file=given.file if given.against is None else given.against,
                settings=read_settings(given.target, given.settings),
            )
        )
    for stack in stacks:
        if stack.kind is EnumStackKind.PRESET and all("." in key for key in stack.settings):
            for sentence in waste(stack, given.target):
                print(f"warning: {stack.name}: {sentence}", file=sys.stderr)
    return stacks


def _checks(given: Sequence[str], scenario: ModelScenario, from_trace: str | None) -> list[Check]:
    from omnibase_infra.simulator.checks import parse_check

    if _SHIPPED in given and not scenario.checks:
        why = "it has none" if from_trace is None else "they are not for the numbers of a trace"
        raise ProtocolConfigurationError(f"--check shipped: scenario {scenario.name}: {why}", parameter="--check")
    texts = [text for each in given for text in (scenario.checks if each == _SHIPPED else (each,))]
    return [parse_check(text) for text in dict.fromkeys(texts)]


def _judge(simulation: ModelSimulation, checks: Sequence[Check]) -> bool:
    """Say of each check whether it holds; whether all do."""
    if not checks:
        return True
    variant = next(each for each in reversed(simulation.variants) if each.name in {YOURS, _PRESET})
    print(f"\nchecks of {variant.name}:")
    for check in checks:
        word = "✓ holds" if check.holds(variant.measures) else "✗ fails"
        print(f"  {word}  {check.shown(variant.measures)}")
    return all(check.holds(variant.measures) for check in checks)


def _all_written(given: argparse.Namespace, simulation: ModelSimulation) -> bool:
    from omnibase_infra.simulator.page import html_page

    def png(path: Path) -> None:
        from omnibase_infra.simulator.chart import write_png

        write_png(simulation, path)

    wanted: list[tuple[str | None, Callable[[Path], object]]] = [
        (given.json, lambda path: path.write_text(simulation.model_dump_json(indent=2) + "\n", encoding="utf-8")),
        (given.html, lambda path: path.write_text(html_page(simulation), encoding="utf-8")),
        (given.png, png),
    ]
    written = [write("simulate", path, into) for path, into in wanted]
    return all(written)
