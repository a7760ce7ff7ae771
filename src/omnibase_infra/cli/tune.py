"""`onex-resilience tune`: settings that reach what the user wants, and what each of them costs and brings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from omnibase_infra.cli.command_parser import CommandParser
from omnibase_infra.cli.interruptible import interruptible
from omnibase_infra.cli.output_files import check_folders, write
from omnibase_infra.cli.progress import progress_bar
from omnibase_infra.cli.scenario_option import positive, read_scenario, seconds
from omnibase_infra.cli.text_table import text_table
from omnibase_infra.enums import EnumStackKind
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.simulator.search_space import search_space

if TYPE_CHECKING:
    from omnibase_infra.simulator.model_scenario import ModelScenario
    from omnibase_infra.simulator.model_tuning import ModelTuning
    from omnibase_infra.simulator.model_tuning_point import ModelTuningPoint


def main(arguments: Sequence[str]) -> int:
    """Search settings.

    Returns:
        0 when the settings found reach every aim, 1 when nothing found does or a file cannot be written, 2 for wrong
        arguments.
    """
    parser = _parser()
    try:
        return _tune(parser, parser.parse_args(arguments))
    except ProtocolConfigurationError as error:
        parser.error(error.message)


def _parser() -> CommandParser:
    space = search_space()
    parser = CommandParser(
        prog="onex-resilience tune",
        description="Searches settings that reach every aim in every scenario with every seed, and answer the most "
        "calls doing so. Prints what each setting costs and brings, the choices that no other beats, and the TOML to "
        "paste; 1 when nothing found reaches the aims.",
        epilog="Example: onex-resilience tune orders --scenario database-failover --scenario database-slow-queries "
        "--aim 'p99<=300ms' --aim 'amplification<=1.3' --toml orders.toml",
    )
    parser.add_argument("target", metavar="service", help=f"a service, or one of {', '.join(FACTORIES)}")
    parser.add_argument(
        "--transport", choices=FACTORIES, metavar="NAME", help="of the service, for scenarios of several"
    )
    parser.add_argument(
        "--scenario",
        action="append",
        required=True,
        metavar="NAME",
        dest="scenarios",
        help="as simulate takes it; may be given several times",
    )
    parser.add_argument(
        "--aim",
        action="append",
        required=True,
        metavar="CHECK",
        dest="aims",
        help="what to reach, as simulate's --check takes it: 'p99<=300ms', 'amplification<=1.3', 'recover<=5s', "
        "'success_rate>=95%%'; may be given several times",
    )
    parser.add_argument("--file", metavar="TOML", help="in place of the file that ONEX_RESILIENCE_FILE names")
    parser.add_argument("--from-trace", metavar="FILE", help="latency and errors from a CSV or OpenTelemetry JSON file")
    parser.add_argument("--seconds", type=seconds, help="how long each goes on, instead of what the scenario says")
    parser.add_argument(
        "--seeds", type=positive, metavar="N", help=f"judge by so many, from 0 on (default: {space.seeds})"
    )
    parser.add_argument(
        "--budget", type=positive, metavar="N", help=f"choices of settings to try (default: {space.budget})"
    )
    parser.add_argument("--processes", type=positive, metavar="N", help="at a time (default: one for each CPU)")
    parser.add_argument("--toml", metavar="FILE", help="write the settings to a file instead of printing them")
    parser.add_argument("--json", metavar="FILE", help="write all that was found")
    return parser


def _tune(parser: CommandParser, given: argparse.Namespace) -> int:
    from omnibase_infra.simulator.checks import parse_check
    from omnibase_infra.simulator.model_stack import ModelStack
    from omnibase_infra.simulator.tuned_file import tuned_file
    from omnibase_infra.simulator.tuner import tune

    check_folders(parser, toml=given.toml, json=given.json)
    scenarios = _scenarios(parser, given)
    service = None if given.target in FACTORIES else given.target
    stack = ModelStack(name="tuned", kind=EnumStackKind.PRESET, service=service, file=given.file)
    with progress_bar(f"{given.target}, {', '.join(scenario.name for scenario in scenarios)}") as progress:
        work = partial(
            tune,
            stack,
            scenarios,
            [parse_check(text) for text in dict.fromkeys(given.aims)],
            seeds=None if given.seeds is None else range(given.seeds),
            budget=given.budget,
            processes=given.processes,
            progress=progress,
        )
        tuning = interruptible(work)
    print(_report(tuning))
    settings = tuned_file(tuning)
    if given.toml is None:
        print(f"\n{settings}", end="")
    print()
    written = [
        write("tune", given.toml, lambda path: path.write_text(settings, encoding="utf-8")),
        write("tune", given.json, lambda path: path.write_text(tuning.model_dump_json(indent=2) + "\n", "utf-8")),
    ]
    return 0 if tuning.is_reached and all(written) else 1


def _scenarios(parser: CommandParser, given: argparse.Namespace) -> list[ModelScenario]:
    transport: str | None = given.transport
    if given.target in FACTORIES:
        if transport not in {None, given.target}:
            parser.error(f"argument --transport: {given.target} is a transport itself")
        transport = given.target
    return [read_scenario(name, transport, given.seconds, given.from_trace) for name in dict.fromkeys(given.scenarios)]


def _report(tuning: ModelTuning) -> str:
    fields = list(tuning.preset.figures)
    return "\n\n".join([_verdict(tuning), _steps(tuning, fields), _front(tuning, fields)])


def _verdict(tuning: ModelTuning) -> str:
    from omnibase_infra.simulator.tuning_words import missed

    tried = f"{tuning.tried} choices of settings tried"
    if not tuning.is_reached:
        return f"No settings found reach every aim ({tried}); the nearest found: {missed(tuning.chosen)}."
    if not tuning.chosen.settings:
        return f"The settings in effect reach every aim, and nothing better was found ({tried})."
    already = " The settings in effect do so too, but these do better." if not tuning.preset.missed else ""
    return f"These settings reach every aim ({tried}).{already}"


def _steps(tuning: ModelTuning, fields: Sequence[str]) -> str:
    from omnibase_infra.simulator.tuning_words import label

    rows = [["step by step", *map(label, fields)], ["as it is now", *_figures(tuning.preset, fields)]]
    for step in tuning.steps:
        changes = (f"{key} {_value(step.before[key])} → {after}" for key, after in step.after.items())
        rows.append([", ".join(changes), *_figures(step.point, fields)])
    return text_table(rows)


def _front(tuning: ModelTuning, fields: Sequence[str]) -> str:
    from omnibase_infra.simulator.tuning_words import label

    rows = [[*map(label, fields), "aims", "what no other choice beats"]]
    for point in tuning.front:
        settings = ", ".join(f"{key} {value}" for key, value in point.settings.items()) or "as it is now"
        reached = f"{len(point.missed)} missed" if point.missed else "reached"
        rows.append([*_figures(point, fields), reached, settings])
    return text_table(rows, left=[len(fields) + 1])


def _figures(point: ModelTuningPoint, fields: Sequence[str]) -> list[str]:
    from omnibase_infra.simulator.tuning_words import reading

    return [reading(field, point) for field in fields]


def _value(value: float | None) -> str:
    return "off" if value is None else f"{value}"
