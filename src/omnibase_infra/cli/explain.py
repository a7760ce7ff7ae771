"""`onex-resilience explain`: what the settings of a transport or a service come to."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence

from omnibase_infra.cli.command_parser import CommandParser
from omnibase_infra.enums import EnumBreakerScope
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES
from omnibase_infra.presets import load_presets


def main(arguments: Sequence[str]) -> int:
    """Print what the whole stack of a transport's presets does; 2 when the settings make no sense."""
    parser = CommandParser(
        prog="onex-resilience explain",
        description="The order of a transport's whole stack, the longest a call can take, the load in an outage, when "
        "the circuit opens, and what becomes of each kind of failure: from the presets, the file and the environment.",
    )
    parser.add_argument("transport", choices=FACTORIES, metavar="transport", help=", ".join(FACTORIES))
    parser.add_argument("--service", help="read [services.SERVICE] over the transport's preset")
    parser.add_argument("--profile", help="read [profiles.PROFILE] over the transport's preset, such as tuned")
    parser.add_argument("--file", metavar="TOML", help="in place of the file that ONEX_RESILIENCE_FILE names")
    parser.add_argument(
        "--breaker-scope",
        choices=[scope.value for scope in EnumBreakerScope],
        default=EnumBreakerScope.ATTEMPT.value,
        help="whether the circuit breaker counts attempts (default) or whole calls",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parser.parse_args(arguments)
    with warnings.catch_warnings(record=True) as wasteful:
        warnings.simplefilter("always")
        try:
            if parsed.file is not None:
                load_presets(parsed.file)
            pipeline = FACTORIES[parsed.transport](
                parsed.service, profile=parsed.profile, breaker_scope=parsed.breaker_scope
            )
        except ProtocolConfigurationError as error:
            parser.error(error.message)
    for warning in wasteful:
        print(f"warning: {warning.message}", file=sys.stderr)
    explanation = pipeline.explain()
    print(json.dumps(explanation.model_dump(mode="json"), indent=2) if parsed.json else explanation)
    return 0
